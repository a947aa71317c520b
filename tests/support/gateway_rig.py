"""A gateway on real sockets of 127.0.0.1, a fake hub, and a small publisher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from sluice_media.gateway.server import Gateway, running_gateway
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.protocols.rtmp import ClientEvent, ClientSession, MessageType
from sluice_media.publishing.locate import StreamNotFound
from tests.support import flv_samples as s
from tests.support.fake_hub import FakeHub
from tests.support.fake_hub_legs import KEY
from tests.support.rtmp import media_message

GOP = 5
PICTURE_MS = 40


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class RtmpPublisher:
    """A publisher of synthetic video and audio over a real socket."""

    def __init__(
        self,
        port: int,
        app: str,
        stream_key: str,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._host, self._port = host, port
        self._tls = tls
        self.session = ClientSession(
            app=app, tc_url=f"rtmp://127.0.0.1/{app}", stream_key=stream_key
        )
        self.events: list[ClientEvent] = []
        self.closed = asyncio.Event()
        self.pictures: list[int] = []
        """Times of the sent video frames in ms."""
        self._next = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._receiving: asyncio.Task[None]

    async def __aenter__(self) -> RtmpPublisher:
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._tls
        )
        self._receiving = asyncio.create_task(self._receive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        await self._receiving

    async def _receive(self) -> None:
        try:
            self._writer.write(self.session.take_output())
            while data := await self._reader.read(65_536):
                self.events += self.session.feed(data)
                self._writer.write(self.session.take_output())
        except OSError:
            pass
        finally:
            self.closed.set()

    async def accepted(self, seconds: float = 20.0) -> None:
        await until(lambda: self.session.accepted, seconds)
        self._send(media_message(self.session, MessageType.VIDEO, 0, s.avc_config()))
        self._send(media_message(self.session, MessageType.AUDIO, 0, s.aac_config()))

    async def answer(self, seconds: float = 20.0) -> ClientEvent:
        await until(lambda: self.events, seconds)
        return self.events[-1]

    def play(self, pictures: int, *, size: int = 0) -> None:
        """Send this many video frames (an IDR every GOP) and the audio between them."""
        for _ in range(pictures):
            ms = self._next * PICTURE_MS
            body = s.IDR if self._next % GOP == 0 else s.PICTURE
            if size:
                body += s.sample(b"\x0c" + bytes(size))
            self._send(media_message(self.session, MessageType.VIDEO, ms, s.avc(body)))
            self._send(media_message(self.session, MessageType.AUDIO, ms, s.aac()))
            self.pictures.append(ms)
            self._next += 1

    async def play_slowly(self, size: int, seconds: float) -> None:
        """Send one keyframe of ``size`` bytes within ``seconds``, as over a slow uplink."""
        ms = self._next * PICTURE_MS
        body = s.IDR + s.sample(b"\x0c" + b"\x5a" * size)
        data = media_message(self.session, MessageType.VIDEO, ms, s.avc(body))
        step = -(-len(data) // round(seconds / 0.05))
        for at in range(0, len(data), step):
            self._send(data[at : at + step])
            await asyncio.sleep(0.05)
        self.pictures.append(ms)
        self._next += 1

    async def flood(self, data: bytes, stuck_seconds: float = 0.3) -> None:
        """Send as much of ``data`` as the other side accepts, without our own buffers."""
        left = memoryview(data)
        own = self._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(own)) as wire:
            tried_until = time.monotonic() + stuck_seconds
            while left and time.monotonic() < tried_until:
                try:
                    left = left[wire.send(left) :]
                    tried_until = time.monotonic() + stuck_seconds
                except BlockingIOError:
                    pass
                except ConnectionError:
                    return
                await asyncio.sleep(0.005)

    def end(self) -> None:
        self._send(self.session.close())

    def hang_up(self) -> None:
        self._writer.close()

    def _send(self, data: bytes) -> None:
        self._writer.write(data)


class Rig:
    def __init__(self, **settings: object) -> None:
        self.settings = GatewaySettings.model_validate(
            {
                "bind": "127.0.0.1",
                "rtmp_port": 0,
                "hold_new_seconds": 1.5,
                "hold_accepted_seconds": 4,
                "unknown_stream_seconds": 0.1,
                # Acknowledgements arrive every 0.05 s; a busy machine may pause for 0.6 s.
                "leg_silence_seconds": 1.5,
                "leg_answer_seconds": 1.5,
                **settings,
            }
        )
        self.registry = CollectorRegistry()
        self.hub = FakeHub()
        self.missing = 0
        """Number of lookups that find no Service."""
        self.lookups: list[tuple[str, str]] = []
        self.gateway: Gateway

    async def locate(self, namespace: str, stream: str) -> str:
        self.lookups.append((namespace, stream))
        if self.missing:
            self.missing -= 1
            raise StreamNotFound
        return self.hub.url

    def publisher(
        self, stream_key: str = f"stream?{KEY}", *, app: str = "namespace"
    ) -> RtmpPublisher:
        return RtmpPublisher(self.gateway.port, app, stream_key)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"sluice_gateway_{name}", labels) or 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        await self.hub.start()
        try:
            async with running_gateway(self.settings, self.locate, self.registry) as self.gateway:
                yield self
        finally:
            with contextlib.suppress(OSError):
                await self.hub.stop()
