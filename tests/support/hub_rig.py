"""A hub on 127.0.0.1, publishers that speak the leg protocol to it, and readers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import HELLO_HEADER, IngestConfig, LegAck, LegHello
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.hub.http.server import HubServer
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.metrics import HubMetrics
from sluice_media.net.upgrade import UpgradeRefused, open_upgraded
from sluice_media.publishing.leg import PREAMBLE
from sluice_media.timeline.framing import Record, TimelineDecoder, encode_unit
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, encode_formats
from tests.support.hub_world import config

AVCC = bytes.fromhex(
    "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb22c0fdf8f800"
)
VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, AVCC, width=640, height=360)
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"\x11\x90", sample_rate=48_000, channels=2)
HUB_TOKEN = "readers-token"
PICTURE_SECONDS = 0.04
GOP = 25


class Rig:
    """A running hub. Keys are changed by assigning to ``key`` and calling :meth:`configure`."""

    def __init__(self, spool_folder: Path | None = None, /, **changes: object) -> None:
        self.key = "right-key"
        self.backup_key: str | None = None
        self.passphrase: str | None = None
        self.hub = Hub(config(**changes))
        self.registry = CollectorRegistry()
        self.server = HubServer(
            self.hub,
            keys=self._keys,
            passphrase=lambda: SecretStr(self.passphrase) if self.passphrase else None,
            token=lambda: SecretStr(HUB_TOKEN),
            metrics=HubMetrics(self.registry, self.hub),
            spool_folder=spool_folder,
        )
        self.url = ""
        self.client: aiohttp.ClientSession

    def _keys(self) -> dict[LegName, SecretStr]:
        given = {LegName.PRIMARY: self.key, LegName.BACKUP: self.backup_key}
        return {name: SecretStr(key) for name, key in given.items() if key is not None}

    def configure(self, **changes: object) -> None:
        self.server.configure(config(**changes))

    @property
    def config(self) -> IngestConfig:
        return self.hub.config

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        async with (
            self.server.listen("127.0.0.1", 0) as port,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client,
            asyncio.TaskGroup() as group,
        ):
            self.url = f"http://127.0.0.1:{port}"
            self.client = client
            tasks = [group.create_task(self.server.run())]
            if self.server.spool is not None:
                await self.server.spool.load()
                tasks.append(group.create_task(self.server.spool.run()))
            yield self
            for task in tasks:
                task.cancel()

    @asynccontextmanager
    async def publisher(
        self,
        *,
        key: str | None = None,
        connection: str = "c1",
        protocol: str = "RTMP",
        resume: LegAck | None = None,
        first: int = 0,
    ) -> AsyncIterator[LegClient]:
        hello = LegHello(protocol=protocol, connection=connection, resume=resume)
        client = LegClient(first)
        async with client.connected(self.url, key or self.key, hello):
            yield client

    @asynccontextmanager
    async def reading(self, **query: str) -> AsyncIterator[RawReader]:
        """Yield a reader that reads until the end of the context."""
        async with self.client.get(
            f"{self.url}/v1/timeline",
            params=query,
            headers={"Authorization": f"Bearer {HUB_TOKEN}"},
        ) as response:
            response.raise_for_status()
            reader = RawReader(response)
            task = asyncio.create_task(reader.run())
            try:
                yield reader
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class LegClient:
    """The gateway's side of a leg, with an encoder."""

    def __init__(self, first: int = 0) -> None:
        self.status = 0
        self.refusal: dict[str, Any] = {}
        self.lines: list[dict[str, Any]] = []
        self.closed = asyncio.Event()
        self.number = first
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    @asynccontextmanager
    async def connected(self, url: str, key: str, hello: LegHello) -> AsyncIterator[LegClient]:
        """Open the leg at the hub of this URL. The hub may refuse it with a status and a reason."""
        headers = {HELLO_HEADER: hello.to_json(), "Authorization": f"Bearer {key}"}
        try:
            sock, begun = await open_upgraded(
                f"{url}/v1/legs", LEG_PROTOCOL, headers, method="POST"
            )
        except UpgradeRefused as refused:
            self.status, self.refusal = refused.status, json.loads(refused.body)
            yield self
            return
        self.status = 101
        reader, writer = await asyncio.open_connection(sock=sock)
        reader.feed_data(begun)
        tasks = [
            asyncio.create_task(self._listen(reader)),
            asyncio.create_task(self._send(writer)),
        ]
        try:
            yield self
        finally:
            self.close()
            if not self.closed.is_set():
                await asyncio.wait(tasks[1:], timeout=5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(PREAMBLE)
        with contextlib.suppress(OSError):
            while (data := await self._queue.get()) is not None:
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.lines.append(json.loads(line))
        self.closed.set()

    @property
    def end_reason(self) -> str | None:
        return next((line["reason"] for line in self.lines if line["type"] == "end"), None)

    @property
    def last_ack(self) -> LegAck:
        acks = [line for line in self.lines if line["type"] == "ack" and line["timeline"]]
        return LegAck.model_validate(acks[-1])

    def start(self, formats: tuple[TrackFormat, ...] = (VIDEO, AUDIO)) -> None:
        self.raw(encode_formats(formats))

    def raw(self, data: bytes) -> None:
        self._queue.put_nowait(data)

    def send(self, pictures: int, size: int = 200) -> None:
        """Send the next video frames with their audio at once. Each frame contains its number."""
        for number in range(self.number, self.number + pictures):
            dts = number * 3_600
            for unit in (
                AccessUnit(0, dts, dts, _flags(number), 0, picture(number, size)),
                AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"\x21" + number.to_bytes(4, "big")),
            ):
                self.raw(encode_unit(unit))
        self.number += pictures

    async def play(self, seconds: float, size: int = 200) -> None:
        """Send video and audio in real time."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        for index in range(round(seconds / PICTURE_SECONDS)):
            self.send(1, size)
            await asyncio.sleep(max(0.0, started + (index + 1) * PICTURE_SECONDS - loop.time()))

    def close(self) -> None:
        self._queue.put_nowait(None)


class RawReader:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.records: list[Record] = []
        self.clean_end = False
        self.done = asyncio.Event()
        self._response = response
        self._decoder = TimelineDecoder()

    async def run(self) -> None:
        try:
            async for data in self._response.content.iter_any():
                self.records += self._decoder.feed(data)
            self.clean_end = True
        except aiohttp.ClientError:
            pass
        finally:
            self.done.set()

    @property
    def units(self) -> list[AccessUnit]:
        return [record for record in self.records if isinstance(record, AccessUnit)]

    @property
    def pictures(self) -> list[int]:
        return numbers(self.units)

    def of(self, kind: type[Record]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


def numbers(units: list[AccessUnit]) -> list[int]:
    return [int.from_bytes(unit.payload[5:9], "big") for unit in units if unit.track == 0]


def picture(number: int, size: int) -> bytes:
    nal = bytes((0x65 if number % GOP == 0 else 0x41,)) + number.to_bytes(4, "big") + b"\x55" * size
    return len(nal).to_bytes(4, "big") + nal


def _flags(number: int) -> UnitFlags:
    return UnitFlags.NONE if number % GOP else UnitFlags.RANDOM_ACCESS
