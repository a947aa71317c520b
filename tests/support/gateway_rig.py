"""A gateway on real sockets of 127.0.0.1, a hub that does as it is told, and a small publisher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry

from sluice_media.contract import HELLO_HEADER, LegAck, LegEnd, LegHello, Refusal
from sluice_media.formats.units import AccessUnit
from sluice_media.gateway.server import Gateway, running_gateway
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.net.upgrade import accept_upgrade
from sluice_media.protocols.rtmp import ClientEvent, ClientSession, MessageType
from sluice_media.publishing.locate import StreamNotFound
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, LegDecoder, LegMediaRejected
from tests.support import flv_samples as s
from tests.support.rtmp import media_message

KEY = "right-key"
GOP = 5
PICTURE_MS = 40
OUT_OFFSET = 1_000


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass(slots=True, eq=False)
class FakeLeg:
    hello: LegHello
    request: web.Request
    units: list[AccessUnit] = field(default_factory=list)
    notices: int = 0
    """How often the gateway has said that a picture comes."""
    acked_dts: int | None = None
    told_dts: int = 0
    """Source DTS that went out last, as the gateway was told."""
    end: LegEnd | None = None
    ended: str = ""
    """How the body ended: "eof" or "broken"."""

    @property
    def pictures(self) -> list[int]:
        """DTS in ms of the pictures, in their order."""
        return [u.dts // 90 for u in self.units if u.track == 0]


class FakeHub:
    """Speaks the leg protocol. What it does is decided by its attributes, at any moment."""

    def __init__(self, name: str = "hub") -> None:
        self.name = name
        self.legs: list[FakeLeg] = []
        self.refuse: tuple[int, Refusal | None] | None = None
        self.frozen = False
        self.reads = True
        self.acks: Callable[[FakeLeg], int | None] = lambda leg: None
        self.put_out: Callable[[FakeLeg], int] = lambda leg: 0
        """Source DTS of what went out last."""
        self.changes: dict[str, object] = {}
        """Of its acknowledgements."""
        self.ack_seconds = 0.05
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/legs", self._leg)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """As a killed process: every connection is reset."""
        for leg in self.legs:
            if leg.request.transport is not None:
                leg.request.transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _leg(self, request: web.Request) -> web.StreamResponse:
        if self.refuse is not None:
            status, refusal = self.refuse
            text = refusal.to_json() if refusal else "<html>no</html>"
            return web.Response(status=status, text=text)
        if request.headers["Authorization"] != f"Bearer {KEY}":
            body = Refusal(reason="BadKey", message="the stream key is wrong")
            return web.Response(status=401, text=body.to_json())
        upgraded = await accept_upgrade(request, LEG_PROTOCOL, buffer_bytes=64 << 10)
        leg = FakeLeg(LegHello.model_validate_json(request.headers[HELLO_HEADER]), request)
        self.legs.append(leg)
        writer = upgraded.writer
        reading = asyncio.create_task(self._read(leg, upgraded.reader))
        try:
            while not reading.done() and leg.end is None:
                if not self.frozen:
                    writer.write(self._ack(leg).to_json().encode() + b"\n")
                    await writer.drain()
                await asyncio.wait((reading,), timeout=self.ack_seconds)
            if leg.end is not None:
                writer.write(leg.end.to_json().encode() + b"\n")
        except OSError:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await upgraded.close(1)
        return upgraded.response

    def _ack(self, leg: FakeLeg) -> LegAck:
        leg.acked_dts = self.acks(leg)
        put_out = self.put_out(leg)
        ack = LegAck(
            stream_uid="uid",
            timeline=f"timeline-of-{self.name}",
            epoch=1,
            leg="primary",
            out_offset=OUT_OFFSET,
            acked_dts=leg.acked_dts,
            last_out_dts=put_out + OUT_OFFSET,
            last_out_utc=datetime.now(UTC),
        )
        leg.told_dts = put_out
        return ack.model_copy(update=self.changes)

    async def _read(self, leg: FakeLeg, reader: asyncio.StreamReader) -> None:
        decoder = LegDecoder()
        try:
            while data := await reader.read(256 << 10):
                while self.frozen or not self.reads:
                    await asyncio.sleep(0.02)
                for event in decoder.feed(data, 0):
                    if isinstance(event, AccessUnit):
                        leg.units.append(event)
                    else:
                        leg.notices += event.picture_comes
            leg.ended = "eof"
        except LegMediaRejected as rejected:
            leg.end = LegEnd(reason=rejected.reason, message=str(rejected))
        except OSError:
            leg.ended = "broken"


class RtmpPublisher:
    """Publishes made-up pictures and sound over a real socket."""

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
        """Times of the pictures sent, ms."""
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
        """Sends so many pictures (an IDR every GOP) and the sound between them."""
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
        """Sends one key picture of so many bytes as a slow uplink does."""
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
        """Sends past our own buffers what the other side takes of it, whatever that is."""
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
                # Acknowledgements come every 0.05 s; a busy machine may stand still for 0.6 s.
                "leg_silence_seconds": 1.5,
                "leg_answer_seconds": 1.5,
                **settings,
            }
        )
        self.registry = CollectorRegistry()
        self.hub = FakeHub()
        self.missing = 0
        """How many look-ups find no Service."""
        self.asked: list[tuple[str, str]] = []
        self.gateway: Gateway

    async def locate(self, namespace: str, stream: str) -> str:
        self.asked.append((namespace, stream))
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
