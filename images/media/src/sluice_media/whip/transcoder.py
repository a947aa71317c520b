"""The owner of a session's transcoder process: it feeds, watches, restarts and ends the process.

In: units as WebRTC carries them. Out: formats and units for the hub. Their times always increase,
also when a new process replaces one that crashed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import structlog

import sluice_media
from sluice_media.contract import TimelineFormat
from sluice_media.ffmpeg.redact import StderrTail
from sluice_media.formats.codecs.h264 import parse_avcc
from sluice_media.formats.units import AccessUnit, TrackFormat, TrackKind, UnitFlags
from sluice_media.timeline.framing import (
    FramingError,
    TimelineDecoder,
    encode_unit,
    track_formats,
)
from sluice_media.whip.child.options import Shape, TranscodeOptions
from sluice_media.whip.keyframes import is_keyframe
from sluice_media.whip.metrics import WhipMetrics
from sluice_media.whip.settings import WhipSettings

_MAX_BACKLOG_BYTES = 1 << 20
"""Maximum of bytes that the process has not read: about 2 s of media, which also covers its
start."""
_READ_BYTES = 256 << 10
_END_SECONDS = 1.0
_STEADY_SECONDS = 60.0
"""Run time of a process after which earlier crashes no longer count."""
_VIDEO_TRACK = 0
_ENVIRONMENT = {"PYTHONPATH": str(Path(sluice_media.__file__).parents[1])}
"""Environment of the process. It holds none of our settings, because hostile media might take the
process over."""
_log = structlog.get_logger(__name__)


class TranscoderFailed(RuntimeError):  # noqa: N818  names the fact
    """Too many crashes of the process. The text is its last line, redacted."""


class Transcoder:
    """One session's process, and the state that outlives a crash of it."""

    def __init__(
        self,
        settings: WhipSettings,
        metrics: WhipMetrics,
        *,
        on_formats: Callable[[Sequence[TrackFormat]], None],
        on_unit: Callable[[AccessUnit], None],
        on_keyframe_needed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._on_formats = on_formats
        self._on_unit = on_unit
        self._on_keyframe_needed = on_keyframe_needed
        self._options = TranscodeOptions(
            lines=settings.output_lines,
            frame_rate=settings.output_frame_rate,
            video_bitrate_kbps=settings.video_bitrate_kbps,
            audio_bitrate_kbps=settings.audio_bitrate_kbps,
            gop_seconds=settings.gop_seconds,
            threads=settings.encoder_threads,
            memory_bytes=settings.transcoder_memory_bytes,
            nice=settings.transcoder_nice,
        )
        self._process: asyncio.subprocess.Process | None = None
        self._formats: Sequence[TrackFormat] = ()
        self._last_dts: dict[int, int] = {}
        self._skipping = False
        """True while pictures are dropped until the next keyframe."""
        self._resumed: set[int] = set()
        """Tracks whose next unit follows a crash."""

    @property
    def pid(self) -> int | None:
        """Process id; None while no process runs."""
        return self._process.pid if self._process else None

    def feed(self, unit: AccessUnit) -> None:
        """Hand a unit to the process, or drop it when the process is too slow.

        After a drop, pictures are dropped until the next keyframe, which is requested.
        """
        stdin = self._process.stdin if self._process else None
        is_video = unit.track == _VIDEO_TRACK
        if stdin is None or stdin.transport.is_closing():
            self._skipping = True
            return
        if stdin.transport.get_write_buffer_size() > _MAX_BACKLOG_BYTES:
            if is_video:
                self._metrics.dropped_pictures.inc()
            if not self._skipping:
                self._skipping = True
                self._on_keyframe_needed()
            return
        if is_video and self._skipping:
            if not is_keyframe(unit.payload):
                self._metrics.dropped_pictures.inc()
                return
            self._skipping = False
        stdin.write(encode_unit(unit))

    async def run(self) -> None:
        """Run processes, one after the other, until cancelled. Raise TranscoderFailed."""
        crashes = 0
        while True:
            started_at = time.monotonic()
            error = await self._run_process()
            crashes = 1 if time.monotonic() - started_at > _STEADY_SECONDS else crashes + 1
            _log.warning("transcoder_crashed", error=error, crashes=crashes)
            if crashes > self._settings.transcoder_restarts:
                raise TranscoderFailed(error)
            self._metrics.transcoder_restarts.inc()
            self._skipping = True
            self._resumed = set(self._last_dts)
            self._on_keyframe_needed()

    async def _run_process(self) -> str:
        """Run one process until it ends by itself. Return its last line, or how it ended."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sluice_media.whip.child",
            self._options.to_argument(),
            env=_ENVIRONMENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._process = process
        tail = StderrTail()
        errors = asyncio.create_task(_drain(process, tail))
        try:
            try:
                await self._read(process)
            except FramingError as error:
                return str(error)
            await errors
            return tail.last or f"ended with code {await process.wait()}"
        finally:
            self._process = None
            await asyncio.shield(_end(process, errors))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        decoder = TimelineDecoder()
        while data := await process.stdout.read(_READ_BYTES):
            for record in decoder.feed(data):
                if isinstance(record, AccessUnit):
                    self._unit(record)
                elif isinstance(record, TimelineFormat):
                    self._format(track_formats(record.tracks))

    def _format(self, formats: Sequence[TrackFormat]) -> None:
        if formats == self._formats:
            return
        self._formats = formats
        for video in formats:
            if video.kind is TrackKind.VIDEO:
                rate = Fraction(parse_avcc(video.config).frame_rate or 0).limit_denominator(1_001)
                shape = Shape(video.width, video.height, rate.numerator, rate.denominator)
                self._options = replace(self._options, shape=shape)
        self._on_formats(formats)

    def _unit(self, unit: AccessUnit) -> None:
        if unit.dts <= self._last_dts.get(unit.track, unit.dts - 1):
            return  # the first units of a new process may be older than the last ones before it
        self._last_dts[unit.track] = unit.dts
        if unit.track in self._resumed:
            self._resumed.discard(unit.track)
            unit = replace(unit, flags=unit.flags | UnitFlags.DISCONTINUITY)
        self._on_unit(unit)


async def _drain(process: asyncio.subprocess.Process, tail: StderrTail) -> None:
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # a line longer than the reader's buffer: its head is dropped
            continue
        if not line:
            return
        tail.feed(line)


async def _end(process: asyncio.subprocess.Process, errors: asyncio.Task[None]) -> None:
    """Close the input, wait a moment, then kill the process: it has nothing to save."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    errors.cancel()
    await asyncio.gather(errors, return_exceptions=True)
