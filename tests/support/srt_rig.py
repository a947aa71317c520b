"""An SRT listener for the tests, and real publishers: FFmpeg and srt-live-transmit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from sluice_media.protocols.srt import (
    Admit,
    PublishRequest,
    Refuse,
    RejectCode,
    SrtCaller,
    SrtConnection,
    SrtListener,
    SrtListenerSettings,
    SrtTarget,
    Verdict,
    connect,
    running_srt_listener,
)
from tests.support import clip_store

__all__ = ["KEY", "OTHER_KEY", "PASSPHRASE", "Peer", "Rig", "make_ts", "read_until_end"]

KEY = "canary-key-5f0c2c6a"
OTHER_KEY = "canary-key-other-77"
PASSPHRASE = "canary-passphrase-1"


class Peer:
    """A publisher in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ended(self, seconds: float = 30) -> str:
        """Wait until the process ends; return its output."""
        async with asyncio.timeout(seconds):
            stdout, stderr = await self.process.communicate()
        return (stdout + stderr).decode()

    async def wait_for_output(self, text: str, seconds: float = 40) -> None:
        """Wait until the output contains ``text``. Some peers do not end by themselves after
        that."""
        assert self.process.stderr is not None
        output = b""
        async with asyncio.timeout(seconds):
            while text.encode() not in output:
                data = await self.process.stderr.read(4_096)
                assert data, output
                output += data


class Rig:
    """An SRT listener. ``demo/open`` accepts every caller; ``demo/secret`` requires a
    passphrase."""

    def __init__(self) -> None:
        self.lookups: list[str] = []
        self.lookup_seconds = 0.0
        self.latency_ms: int | None = None
        self.listener: SrtListener

    @asynccontextmanager
    async def running(
        self, bind: str = "127.0.0.1", port: int = 0, **settings: int
    ) -> AsyncIterator[Rig]:
        chosen = SrtListenerSettings(bind=bind, port=port, **settings)
        async with running_srt_listener(chosen, self._look_up) as self.listener:
            yield self

    async def _look_up(self, request: PublishRequest, remote: str) -> Verdict:
        assert remote in ("127.0.0.1", "::1")
        self.lookups.append(request.stream)
        await asyncio.sleep(self.lookup_seconds)
        if request.namespace != "demo":
            return Refuse(RejectCode.NOT_FOUND)
        if request.key.get_secret_value() not in (KEY, OTHER_KEY):
            return Refuse(RejectCode.UNAUTHORIZED)
        passphrase = SecretStr(PASSPHRASE) if request.stream == "secret" else None
        return Admit(f"demo/{request.stream}/primary", passphrase, self.latency_ms)

    async def accept(self, seconds: float = 20) -> SrtConnection:
        async with asyncio.timeout(seconds):
            return await self.listener.accept()

    @asynccontextmanager
    async def call(
        self,
        stream_id: str,
        passphrase: str | None = None,
        latency_ms: int = 120,
        host: str = "127.0.0.1",
    ) -> AsyncIterator[SrtCaller]:
        """Yield a connection of our own SRT caller."""
        target = SrtTarget(
            host,
            self.listener.port,
            SecretStr(stream_id),
            SecretStr(passphrase) if passphrase else None,
            latency_ms,
        )
        async with connect(target) as caller:
            yield caller

    @asynccontextmanager
    async def ffmpeg(
        self, source: Path, stream_id: str, options: str = "", *, rate: float = 1
    ) -> AsyncIterator[Peer]:
        """Start FFmpeg, which publishes a clip without encoding, at ``rate`` times its speed.
        Without ``linger`` it drops its unsent data at the end of its input."""
        url = f"srt://127.0.0.1:{self.listener.port}?streamid={stream_id}&pkt_size=1316&linger=2"
        async with _process(
            *("ffmpeg", "-hide_banner", "-v", "error", "-readrate", str(rate), "-i", str(source)),
            *("-map", "0", "-c", "copy", "-muxdelay", "0", "-f", "mpegts", url + options),
        ) as process:
            yield Peer(process)

    @asynccontextmanager
    async def live_transmit(
        self, source: Path, stream_id: str, options: str = "", seconds: float = 1
    ) -> AsyncIterator[Peer]:
        """Run srt-live-transmit and, once it is accepted, feed it the clip's bytes evenly over
        ``seconds``. It drops the bytes that it reads before it is connected."""
        url = f"srt://127.0.0.1:{self.listener.port}?mode=caller&streamid={stream_id}{options}"
        command = ("srt-live-transmit", "-a", "no", "-q", "-chunk", "1316", "file://con", url)
        former = set(self.listener.connections)
        async with _process(*command) as process:
            feeding = asyncio.create_task(self._feed(process, former, source.read_bytes(), seconds))
            try:
                yield Peer(process)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(
        self,
        process: asyncio.subprocess.Process,
        former: set[SrtConnection],
        data: bytes,
        seconds: float,
    ) -> None:
        assert process.stdin is not None
        while not (made := set(self.listener.connections) - former):
            await asyncio.sleep(0.02)
        [connection] = made
        await asyncio.sleep(0.5)  # it has to read the answer
        slice_bytes = 1_316 * max(1, round(len(data) / 1_316 / (seconds * 100)))
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), slice_bytes):
                process.stdin.write(data[at : at + slice_bytes])
                await process.stdin.drain()
                await asyncio.sleep(seconds * slice_bytes / len(data))
            # It forgets what it has not sent when its input ends.
            await asyncio.sleep(connection.latency_ms / 1_000 + 0.4)
            process.stdin.close()


@asynccontextmanager
async def _process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_until_end(connection: SrtConnection, seconds: float = 30) -> bytes:
    parts = []
    async with asyncio.timeout(seconds):
        while data := await connection.read():
            parts.append(data)
    return b"".join(parts)


def make_ts(path: Path, *, seconds: float = 1.2, bits: str = "2M", color: bool = False) -> Path:
    """Make a transport stream with H.264 with B-frames, and AAC."""
    source = "smptebars" if color else "testsrc2"
    command = ["-f", "lavfi", "-i", f"{source}=size=640x360:rate=25"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"]
    command += ["-b:v", bits, "-minrate", bits, "-maxrate", bits, "-bufsize", bits]
    command += ["-x264-params", "bframes=2:nal-hrd=cbr", "-c:a", "aac", "-ac", "2"]
    clip_store.encode([*command, "-t", str(seconds), "-f", "mpegts"], path)
    return path
