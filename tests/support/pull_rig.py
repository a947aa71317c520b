"""Sources on loopback, a sink that reads what is pulled, and a pull between them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import AddressGuard, PullStatus
from sluice_media.formats.errors import MediaError, UnsupportedCodec
from sluice_media.formats.mpegts.demux import VIDEO_TRACK, TsDemuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.net.address_guard import Resolver, system_resolver
from sluice_media.pull import (
    BadMedia,
    PullMetrics,
    PullSettings,
    UnsupportedMedia,
    run_pull,
)
from tests.support import clip_store

__all__ = [
    "LOOPBACK",
    "PullRig",
    "RigLeg",
    "RtspSource",
    "make_source_clip",
    "playing",
    "settings",
]

LOOPBACK = AddressGuard(allowed=["127.0.0.1/32"])
SILENCE_SECONDS = 2.0


def settings(*uris: str | None, generation: int = 1, **fields: object) -> PullSettings:
    """Settings with short waits; loopback is allowed."""
    values: dict[str, object] = {
        "authorities": {},
        "stall_seconds": 3.0,
        "retry_seconds": 0.5,
        "inactivity_seconds": 0.0,
        "restart": "",
        "given_up": False,
        "warm": False,
        "takeover_seconds": 0.8,
        "guard": LOOPBACK,
        **fields,
    }
    return PullSettings(
        uris=tuple(SecretStr(uri) if uri is not None else None for uri in uris),
        generation=generation,
        **values,  # type: ignore[arg-type]
    )


def make_source_clip(
    path: Path,
    *,
    seconds: float = 60,
    audio: str = "aac",
    gop: int = 25,
    video: str = "libx264",
    b_frames: int = 2,
) -> Path:
    """Make a small clip with video and a tone; the file name chooses the container."""
    codec = ["-c:v", video, "-g", str(gop), "-b:v", "300k"]
    if video == "libx264":
        codec += ["-preset", "ultrafast", "-bf", str(b_frames)]
    arguments = [
        "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
        "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
        *codec, "-pix_fmt", "yuv420p", "-c:a", audio, "-t", str(seconds),
    ]  # fmt: skip
    clip_store.encode(arguments, path)
    return path


@dataclass(slots=True)
class RigLeg:
    """A leg that reads the transport stream, and delivers when the hub accepts it."""

    index: int
    standby: bool
    opened_at: float
    demuxer: TsDemuxer = field(default_factory=TsDemuxer)
    units: list[AccessUnit] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """Arrival of each video frame, in monotonic seconds."""
    first_picture_at: float | None = None
    taken_over_at: float | None = None
    closed: tuple[str, str] | None = None
    closed_at: float | None = None

    @property
    def delivers(self) -> bool:
        if not self.arrivals or self.closed is not None:
            return False
        return time.monotonic() - self.arrivals[-1] < SILENCE_SECONDS

    def feed(self, data: bytes) -> None:
        assert self.closed is None, "a closed leg was fed"
        assert len(data) % 188 == 0
        try:
            for event in self.demuxer.feed(data, time.time_ns() // 1_000):
                if isinstance(event, AccessUnit):
                    self._unit(event)
        except UnsupportedCodec as unsupported:
            raise UnsupportedMedia(str(unsupported)) from unsupported
        except MediaError as bad:
            raise BadMedia(str(bad)) from bad

    def _unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        if unit.track != VIDEO_TRACK or not (self.arrivals or unit.is_random_access):
            return
        self.arrivals.append(time.monotonic())
        self.first_picture_at = self.first_picture_at or self.arrivals[-1]

    @property
    def pictures(self) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.track == VIDEO_TRACK]

    def take_over(self) -> None:
        assert self.standby, "only a standby takes over"
        self.taken_over_at = time.monotonic()

    def close(self, reason: str, message: str) -> None:
        assert self.closed is None, "a leg was closed twice"
        self.closed, self.closed_at = (reason, message), time.monotonic()


class PullRig:
    """A running pull, with everything that it reported."""

    def __init__(self) -> None:
        self.legs: list[RigLeg] = []
        self.statuses: list[PullStatus] = []
        self.registry = CollectorRegistry()
        self.metrics = PullMetrics(self.registry)
        self.tls: ssl.SSLContext | None = None
        self.began_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._settings: asyncio.Queue[PullSettings | None] = asyncio.Queue()

    # The sink.
    def open(self, index: int, standby: bool) -> RigLeg:
        leg = RigLeg(index, standby, time.monotonic())
        self.legs.append(leg)
        return leg

    @property
    def status(self) -> PullStatus:
        return self.statuses[-1] if self.statuses else PullStatus()

    def on_air(self, index: int) -> Callable[[], bool]:
        return lambda: bool(
            self.statuses and self.status.uri_index == index and self.status.delivers
        )

    def reports(self, *texts: str) -> Callable[[], bool]:
        return lambda: any(
            all(text in (status.message or "") for text in texts) for status in self.statuses
        )

    def configure(self, changed: PullSettings | None) -> None:
        self._settings.put_nowait(changed)

    def tries(self, outcome: str) -> float:
        value = self.registry.get_sample_value("sluice_pull_tries_total", {"outcome": outcome})
        return value or 0.0

    async def until(self, condition: Callable[[], bool], timeout: float = 40) -> float:
        """Wait until ``condition`` holds; return the seconds since the pull began."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, self.statuses[-3:]
            assert self._task is not None
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.02)
        return time.monotonic() - self.began_at

    @asynccontextmanager
    async def pulling(
        self, first: PullSettings | None, resolver: Resolver = system_resolver
    ) -> AsyncIterator[PullRig]:
        self.configure(first)
        self.began_at = time.monotonic()
        task = self._task = asyncio.create_task(
            run_pull(
                self._changes(),
                self,
                self.statuses.append,
                self.metrics,
                resolver=resolver,
                tls=self.tls,
            )
        )
        try:
            yield self
            assert not task.done(), task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert all(leg.closed for leg in self.legs), "a leg was left open"

    async def _changes(self) -> AsyncIterator[PullSettings | None]:
        while True:
            yield await self._settings.get()


@contextmanager
def playing(
    clip: Path, *output: str, seconds: float | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run FFmpeg as a source, which plays the clip in real time to ``output``."""
    length = ["-t", str(seconds)] if seconds is not None else []
    command = ["ffmpeg", "-v", "error", "-re", *length, "-i", str(clip), "-c", "copy", *output]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class RtspSource:
    """An RTSP server for one player at a time: MPEG-TS in RTP (RFC 2250), interleaved."""

    def __init__(self, packets: bytes, *, redirect: str | None = None, status: int = 200) -> None:
        self._packets = packets
        self._redirect = redirect
        self._status = status
        self.requests: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RtspSource]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer_requests(reader, writer)
        writer.close()

    async def _answer_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            method = head.partition(" ")[0]
            sequence = next(x for x in head.split("\r\n") if x.lower().startswith("cseq"))
            extra: Sequence[str] = ()
            body, status = "", "200 OK"
            if method == "DESCRIBE" and self._redirect:
                status, extra = "302 Moved", (f"Location: {self._redirect}",)
            elif method == "DESCRIBE" and self._status != 200:
                status = f"{self._status} No"
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                    "m=video 0 RTP/AVP 33\r\na=control:track1\r\n"
                )
                extra = ("Content-Type: application/sdp", f"Content-Length: {len(body)}")
            elif method == "SETUP":
                extra = ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1")
            answer = [f"RTSP/1.0 {status}", sequence, *extra, "", body]
            writer.write("\r\n".join(answer).encode())
            await writer.drain()
            if method == "PLAY":
                await self._play(writer)
                return

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        """Send the clip within 60 s, about its own speed."""
        step = 7 * 188
        pause = 60 * step / len(self._packets)
        for number, at in enumerate(range(0, len(self._packets), step)):
            payload = self._packets[at : at + step]
            header = b"\x80\x21" + (number & 0xFFFF).to_bytes(2, "big")
            header += (int(number * pause * 90_000) & 0xFFFF_FFFF).to_bytes(4, "big") + b"\0\0\0\1"
            packet = header + payload
            writer.write(b"$\0" + len(packet).to_bytes(2, "big") + packet)
            await writer.drain()
            await asyncio.sleep(pause)
