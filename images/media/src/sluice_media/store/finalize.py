"""Makes one MP4 of one file's chunks.

The chunks' bytes, one after another, are exactly the stream that was recorded; they are piped into
ONE FFmpeg that copies (never the concat demuxer: it adds 0.09 s at every join). What it wrote is
hashed, measured and moved to its place; only then may the chunks go.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sluice_media.contract import RecordedFile
from sluice_media.ffmpeg.argv import Mp4Spec, mp4_argv
from sluice_media.ffmpeg.probe import MediaProbe, probe
from sluice_media.ffmpeg.process import ChildError, start_child
from sluice_media.record.merge import MergedFile
from sluice_media.store.keys import chunk_key, mp4_key, mp4_name
from sluice_media.store.target import MissingObjectError, Target, TargetError
from sluice_media.store.trim import TrackCut, track_pids, trim
from sluice_media.units import TICKS_PER_SECOND, Codec, TrackKind

__all__ = ["FinalizeError", "FinalizeJob", "end_of", "finalize", "mp4_spec", "recording_title"]

NICE = 10
_STALL_SECONDS = 300.0
_SCRATCH_MARGIN_BYTES = 64 << 20
_COMPLETE_SHARE = 0.98
"""Of the frames and of the seconds recorded an MP4 must hold so many. Not all: a decoder joins the
two fields of an interlaced picture, and a demuxer drops what is damaged."""
_log = structlog.get_logger(__name__)


class FinalizeError(RuntimeError):
    """The MP4 could not be made; the text is a sentence. It will be tried again."""


@dataclass(slots=True, frozen=True)
class FinalizeJob:
    recording_uid: str
    prefix: str
    stream_title: str
    uri_base: str
    file: MergedFile


def end_of(file: MergedFile) -> datetime:
    return file.ended_at or file.last_utc or file.started_at


def recording_title(stream_title: str, ended_at: datetime) -> str:
    """The title of a file: ``Stream Record: {stream title}, {end time UTC}``."""
    return f"Stream Record: {stream_title}, {ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def mp4_spec(job: FinalizeJob, output: Path) -> Mp4Spec:
    """Raises FinalizeError when no track has a unit."""
    file = job.file
    codecs: dict[TrackKind, Codec] = {}
    for info in file.tracks:
        if file.units.get(info.track):
            codecs.setdefault(TrackKind(info.kind), Codec(info.codec))
    if not codecs:
        raise FinalizeError("nothing was recorded into this file")
    probe_bytes, probe_ticks = _probe_reach(file)
    return Mp4Spec(
        output=output,
        video=codecs.get(TrackKind.VIDEO),
        audio=codecs.get(TrackKind.AUDIO),
        title=recording_title(job.stream_title, end_of(file)),
        created_at=file.started_at.astimezone(UTC),
        probe_bytes=probe_bytes,
        probe_us=probe_ticks * 1_000_000 // TICKS_PER_SECOND,
    )


def _probe_reach(file: MergedFile) -> tuple[int, int]:
    """Bytes and ticks after which every track of the file has shown up."""
    missing = {track for track, units in file.units.items() if units}
    size = ticks = 0
    for chunk in file.chunks:
        if not missing:
            break
        size += chunk.entry.size_bytes
        for track in missing & chunk.entry.tracks.keys():
            ticks = max(ticks, chunk.entry.tracks[track].first_dts - file.first_dts)
        missing -= chunk.entry.tracks.keys()
    return size, ticks


async def finalize(target: Target, job: FinalizeJob, scratch: Path) -> RecordedFile:
    """Writes the MP4 and returns what is known of it. ``scratch`` is a folder for its making.

    Raises FinalizeError and TargetError; then nothing is left behind but the chunks."""
    file = job.file
    name = mp4_name(job.recording_uid, file.index)
    path = scratch / name
    try:
        await asyncio.to_thread(_make_room, scratch, file.size_bytes)
        spec = mp4_spec(job, path)
        await _remux(target, job, spec)
        sha256, size = await asyncio.to_thread(_settle, path)
        probed = await probe(path)
        _verify(probed, job)
        key = mp4_key(job.prefix, job.recording_uid, file.index)
        await target.move_in(key, path)
    except ChildError as error:
        raise FinalizeError(str(error)) from error
    except OSError as error:
        raise FinalizeError(f"the scratch folder cannot be used: {error.strerror}") from error
    finally:
        await asyncio.to_thread(_discard, path)
    return RecordedFile(
        index=file.index,
        name=name,
        title=spec.title,
        state="Ready",
        started_at=file.started_at,
        ended_at=end_of(file),
        duration_seconds=round(probed.format.duration, 3),
        size_bytes=size,
        sha256=sha256,
        uri=f"{job.uri_base}{key}",
        gaps=[gap.public() for gap in file.gaps],
        end_reason=file.end_reason,
    )


async def _remux(target: Target, job: FinalizeJob, spec: Mp4Spec) -> None:
    async with start_child(mp4_argv(spec), stdin=True, nice=NICE) as child:
        try:
            async for data in chunk_bytes(target, job):
                async with asyncio.timeout(_STALL_SECONDS):
                    await child.feed(data)
            # The index is moved to the front now: the whole file is read and written once more.
            seconds = _STALL_SECONDS + job.file.size_bytes / (4 << 20)
            async with asyncio.timeout(seconds):
                await child.finish()
        except TimeoutError:
            raise FinalizeError("ffmpeg did not get any further") from None


async def chunk_bytes(target: Target, job: FinalizeJob) -> AsyncIterator[bytes | memoryview]:
    """The file as one transport stream."""
    pids = track_pids(job.file.tracks)
    for chunk in job.file.chunks:
        key = chunk_key(job.prefix, chunk.attempt, chunk.entry.name)
        skip = chunk.skip_through
        try:
            if skip is None:
                async for part in target.stream(key):
                    yield part
                continue
            cuts = {
                track: TrackCut(span.first_dts, skip.get(track))
                for track, span in chunk.entry.tracks.items()
            }
            yield trim(await target.get(key), pids, cuts)
        except MissingObjectError:
            raise FinalizeError(f"chunk {chunk.entry.name} of it is missing in the store") from None


def _make_room(scratch: Path, size: int) -> None:
    """Raises TargetError/NoSpace when the MP4 would not fit."""
    scratch.mkdir(parents=True, exist_ok=True)
    stat = os.statvfs(scratch)
    available = stat.f_bavail * stat.f_frsize
    if available < size + _SCRATCH_MARGIN_BYTES:
        raise TargetError(
            "NoSpace",
            f"making the MP4 needs {size >> 20} MiB of free space, there are {available >> 20}",
        )


def _verify(probed: MediaProbe, job: FinalizeJob) -> None:
    """Raises FinalizeError when the MP4 does not hold what the chunks do, which are about to be
    deleted. FFmpeg's exit code does not tell: it is 0 also when the disk was full at the end."""
    for info in job.file.tracks:
        units = job.file.units.get(info.track, 0)
        found = sum(s.nb_frames for s in probed.streams if s.codec_type == info.kind)
        # Where attempts overlapped, `units` counts some twice; durations below still hold.
        is_exact = all(chunk.skip_through is None for chunk in job.file.chunks)
        if is_exact and found < units * _COMPLETE_SHARE - 1:
            raise FinalizeError(f"the MP4 holds {found} of {units} {info.kind} frames")
    # FFmpeg closes holes of more than 10 s.
    holes = sum(gap.wall_seconds for gap in job.file.gaps)
    expected, found_seconds = job.file.duration_seconds - holes, probed.format.duration
    if found_seconds < expected * _COMPLETE_SHARE - 1:
        raise FinalizeError(f"the MP4 holds {found_seconds:.0f} of {expected:.0f} seconds")


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # the folder is emptied at the next start
        _log.warning("scratch_not_deleted", error=error.strerror)


def _settle(path: Path) -> tuple[str, int]:
    """Brings the file to the disk; returns its digest and its size."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, file.tell()
    except OSError as error:
        raise FinalizeError(f"the MP4 cannot be read back: {error.strerror}") from error
