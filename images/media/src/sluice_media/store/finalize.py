"""The finaliser: makes one MP4 from one file's chunks.

The chunks' bytes, one after another, are exactly the recorded stream. ONE FFmpeg copies them (never
the concat demuxer, which adds 0.09 s at every join). FFmpeg reads a claim's chunks itself; chunks
from a bucket, or that overlap, are piped into it. The MP4 is hashed, verified and moved to its key;
only then may its chunks be deleted.

The MP4 needs as much scratch space as its chunks have bytes, because its index is moved to the
front at the end. For a bucket the scratch space is the pod's own disk. An MP4 that does not fit
there is written without scratch space: as fragments, directly into a multipart upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sluice_media.contract import FileState, RecordedFile, StorageReason
from sluice_media.ffmpeg.argv import Mp4Spec, mp4_argv
from sluice_media.ffmpeg.probe import probe
from sluice_media.ffmpeg.process import Child, ChildError, start_child
from sluice_media.formats.mpegts.mux import track_pid
from sluice_media.formats.units import TICKS_PER_SECOND, Codec
from sluice_media.recording.keys import chunk_key, mp4_key, mp4_name
from sluice_media.recording.merge import MergedFile
from sluice_media.storage import local_file
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, Written
from sluice_media.store.chunk_source import ChunkError, ChunkSource
from sluice_media.store.fragments import FragmentCounter, FragmentError
from sluice_media.store.verify import (
    FinalizeError,
    count_pictures,
    mapped_tracks,
    verify_boxes,
    verify_seconds,
    verify_units,
)

NICE = 10
_STALL_SECONDS = 600.0
_SCRATCH_MARGIN_BYTES = 16 << 20
"""Additional scratch space, less than the 64 MiB that recorders leave free for MP4s, so that a
recording that fills a claim can be finalised. An MP4 is smaller than its chunks: a chunk has a PES
header and stuffing of at least 40 bytes for each unit, an MP4's index about 20."""
_BLOCK_BYTES = 4 << 20
_OTHER_FILES = 256
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Timings:
    """The duration of each step, in seconds."""

    remux_seconds: float = 0.0
    """From the first chunk to the end of FFmpeg."""
    chunk_hash_cpu_seconds: float = 0.0
    """CPU time of checking the chunks, within the former."""
    sync_seconds: float = 0.0
    """Sync of the finished file to the disk."""
    transfer_seconds: float = 0.0
    """Digest of the file, and its move or upload to its key."""
    transfer_cpu_seconds: float = 0.0
    """CPU time of the whole process during the transfer."""


@dataclass(slots=True, frozen=True)
class FinalizeJob:
    """One MP4 to make."""

    recording_uid: str
    prefix: str
    stream_title: str
    uri_base: str
    file: MergedFile
    scratch_limit_bytes: int | None = None
    """Size limit of the scratch folder's volume; None when only its disk limits it."""
    timings: Timings = field(default_factory=Timings)

    @property
    def name(self) -> str:
        return mp4_name(self.recording_uid, self.file.index)

    @property
    def key(self) -> str:
        return mp4_key(self.prefix, self.recording_uid, self.file.index)


def end_of(file: MergedFile) -> datetime:
    return file.ended_at or file.last_utc or file.started_at


def recording_title(stream_title: str, ended_at: datetime) -> str:
    """Return the title of a file: ``Stream Record: {stream title}, {end time UTC}``."""
    return f"Stream Record: {stream_title}, {ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def scratch_bytes(file: MergedFile) -> int:
    """Return the scratch space that the file's MP4 needs, without the chunks."""
    return file.size_bytes + _SCRATCH_MARGIN_BYTES


def mp4_spec(job: FinalizeJob, output: Path | None) -> Mp4Spec:
    """Return FFmpeg's specification of the MP4. Raises FinalizeError when no track has a unit."""
    file = job.file
    if not any(file.units.values()):
        raise FinalizeError("nothing was recorded into this file")
    probe_bytes, probe_ticks = _probe_reach(file)
    return Mp4Spec(
        output=output,
        tracks={track_pid(t.track): Codec(t.codec) for t in mapped_tracks(file.tracks, file.units)},
        title=recording_title(job.stream_title, end_of(file)),
        created_at=file.started_at.astimezone(UTC),
        probe_bytes=probe_bytes,
        probe_us=probe_ticks * 1_000_000 // TICKS_PER_SECOND,
    )


def _probe_reach(file: MergedFile) -> tuple[int, int]:
    """Return the bytes and ticks that FFmpeg has to probe: up to the first unit of every track and,
    where the first chunk is lost, up to a keyframe with the decoder configuration."""
    missing = {track for track, units in file.units.items() if units}
    decodable = not file.chunks or file.chunks[0].entry.independent
    size = ticks = 0
    for chunk in file.chunks:
        if not missing and decodable:
            break
        entry = chunk.entry
        size += entry.size_bytes
        for track in missing & entry.tracks.keys():
            ticks = max(ticks, entry.tracks[track].first_dts - file.first_dts)
        if not decodable:
            decodable, ticks = entry.independent, max(ticks, entry.end_dts - file.first_dts)
        missing -= entry.tracks.keys()
    return size, ticks


async def finalize(storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
    """Make the MP4 and return its result. ``scratch`` is a folder for temporary files.

    Raises ChunkError with all permanently lost chunks, FinalizeError and StorageError; then only
    the chunks remain."""
    source = ChunkSource(storage, job.prefix, job.file.chunks, job.file.tracks)
    try:
        if await _has_room(storage, job, scratch):
            return await _by_scratch(source, job, scratch / job.name)
        return await _by_stream(source, job)
    except ChunkError as error:
        raise ChunkError(error.lost | await source.find_lost()) from None
    except (ChildError, FragmentError) as error:
        raise FinalizeError(str(error)) from error
    except OSError as error:
        raise FinalizeError(f"the scratch folder cannot be used: {error.strerror}") from error
    finally:
        job.timings.chunk_hash_cpu_seconds = source.hash_seconds


async def _has_room(storage: ObjectStore, job: FinalizeJob, scratch: Path) -> bool:
    """Return whether the MP4 fits into the scratch folder. Raises StorageError/NoSpace on a claim,
    where there is no other way."""
    needed, is_claim = scratch_bytes(job.file), storage.root is not None
    available = await asyncio.to_thread(_available, scratch)
    if is_claim and available < needed:
        # Delete an MP4 that was made but not noted: it is made again, and must not exist twice.
        await storage.delete(job.key)
        available = await asyncio.to_thread(_available, scratch)
    if not is_claim and job.scratch_limit_bytes is not None:
        available = min(available, job.scratch_limit_bytes)
    _log.info("scratch_space", needed_bytes=needed, available_bytes=available)
    if available < needed and is_claim:
        raise StorageError(
            StorageReason.NO_SPACE,
            f"the MP4 needs {_mib(needed)} MiB of free space, and {available >> 20} MiB are free: "
            f"{_mib(needed - available)} MiB are missing",
        )
    return available >= needed


def _available(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def _mib(size_bytes: int) -> int:
    return -(-size_bytes >> 20)


async def _by_scratch(source: ChunkSource, job: FinalizeJob, path: Path) -> RecordedFile:
    storage, timings = source.storage, job.timings
    try:
        began = time.monotonic()
        spec = mp4_spec(job, path)
        await _remux(source, job, spec)
        remuxed = time.monotonic()
        await asyncio.to_thread(_sync, path)
        synced = time.monotonic()
        probed = await probe(path)
        await _verify([stream.nb_frames for stream in probed.streams], source)
        verify_seconds(probed.format.duration, job.file.duration_seconds)
        await asyncio.to_thread(verify_boxes, path)
        moving, cpu = time.monotonic(), time.process_time()
        written = await storage.move_in(job.key, path)
        timings.remux_seconds, timings.sync_seconds = remuxed - began, synced - remuxed
        timings.transfer_seconds = time.monotonic() - moving
        timings.transfer_cpu_seconds = time.process_time() - cpu
    finally:
        await asyncio.to_thread(_discard, path)
    return _ready(job, spec, written, probed.format.duration)


async def _by_stream(source: ChunkSource, job: FinalizeJob) -> RecordedFile:
    """Make the MP4 without scratch space: upload its fragments while FFmpeg writes them."""
    began = time.monotonic()
    spec = mp4_spec(job, None)
    counter = FragmentCounter()
    async with start_child(
        mp4_argv(spec), stdin=True, stdout=True, nice=NICE, io_idle=True
    ) as child:

        async def fragments() -> AsyncIterator[bytes]:
            while piece := await _read(child):
                counter.feed(piece)
                yield piece
            await feeding
            # Before the upload is completed: a half MP4 must not take the place of a whole one.
            await _verify(list(counter.samples.values()), source)

        feeding = asyncio.create_task(_feed_or_stop(source, job, child))
        try:
            written = await source.storage.put_stream(job.key, fragments(), job.file.size_bytes)
        finally:
            feeding.cancel()
            await asyncio.wait((feeding,))
    job.timings.remux_seconds = time.monotonic() - began
    _log.warning("mp4_made_of_fragments", recording=job.recording_uid, file=job.file.index)
    needed = _mib(scratch_bytes(job.file))
    return _ready(job, spec, written, job.file.duration_seconds).model_copy(
        update={"message": f"a fragmented MP4, because {needed} MiB of scratch space were not free"}
    )


async def _read(child: Child) -> bytes:
    """Read a large block: a pipe returns few bytes, and each block costs a thread switch."""
    pieces: list[bytes] = []
    left = _BLOCK_BYTES
    try:
        while left:
            async with asyncio.timeout(_STALL_SECONDS):
                piece = await child.read(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
    except TimeoutError:
        raise FinalizeError("ffmpeg did not get any further") from None
    return b"".join(pieces)


async def _feed_or_stop(source: ChunkSource, job: FinalizeJob, child: Child) -> None:
    """Feed FFmpeg, and stop it when that fails, so that its output ends too."""
    try:
        await _feed(source, job, child)
    except BaseException:
        await child.stop()
        raise


async def _remux(source: ChunkSource, job: FinalizeJob, spec: Mp4Spec) -> None:
    root, chunks = source.storage.root, job.file.chunks
    is_whole = all(chunk.is_whole for chunk in chunks)
    if root is not None and is_whole and _may_open(len(chunks)):
        await _remux_files(source, root, job, spec)
        return
    async with start_child(mp4_argv(spec), stdin=True, nice=NICE, io_idle=True) as child:
        await _feed(source, job, child)


async def _remux_files(source: ChunkSource, root: Path, job: FinalizeJob, spec: Mp4Spec) -> None:
    """Let FFmpeg read whole chunks from the claim, and check their digests meanwhile."""
    assert spec.output is not None
    file = job.file
    keys = (chunk_key(job.prefix, chunk.attempt, chunk.entry.name) for chunk in file.chunks)
    listing = spec.output.with_suffix(".chunks")
    text = "".join(f"file:{root / key}\n" for key in keys)
    await asyncio.to_thread(listing.write_text, text)
    checking = asyncio.create_task(source.check())
    try:
        argv = mp4_argv(replace(spec, listing=listing))
        try:
            async with (
                start_child(argv, nice=NICE, io_idle=True) as child,
                asyncio.timeout(_STALL_SECONDS + file.size_bytes / (2 << 20)),
            ):
                await child.finish()
        except ChildError:
            await checking  # it raises the more exact error of a chunk
            raise
        await checking
    except TimeoutError:
        raise FinalizeError("ffmpeg did not get any further") from None
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        await asyncio.to_thread(_discard, listing)


def _may_open(count: int) -> bool:
    """Raise the limit of open files, because FFmpeg opens all chunks at once. Return whether the
    limit suffices."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return True
    if hard != resource.RLIM_INFINITY and needed > hard:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return True


async def _feed(source: ChunkSource, job: FinalizeJob, child: Child) -> None:
    """Write all chunks to FFmpeg, and wait for its end."""
    try:
        async with contextlib.aclosing(source.blocks()) as blocks:
            async for data in blocks:
                async with asyncio.timeout(_STALL_SECONDS):
                    await child.feed(data)
        # The index is moved to the front now: the whole file is read and written once more.
        async with asyncio.timeout(_STALL_SECONDS + job.file.size_bytes / (4 << 20)):
            await child.finish()
    except TimeoutError:
        raise FinalizeError("ffmpeg did not get any further") from None


def _ready(job: FinalizeJob, spec: Mp4Spec, written: Written, seconds: float) -> RecordedFile:
    file = job.file
    return RecordedFile(
        index=file.index,
        name=job.name,
        title=spec.title,
        state=FileState.READY,
        started_at=file.started_at,
        ended_at=end_of(file),
        duration_seconds=round(seconds, 3),
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        uri=f"{job.uri_base}{job.key}",
        gaps=[gap.public() for gap in file.gaps],
        end_reason=file.end_reason,
    )


async def _verify(found: Sequence[int], source: ChunkSource) -> None:
    """Raise UnitsDifferError unless the MP4 holds all units of the chunks."""

    async def pictures(codec: Codec) -> int:
        count = 0
        async with contextlib.aclosing(source.blocks()) as blocks:
            async for data in blocks:
                count += await asyncio.to_thread(count_pictures, bytes(data), codec)
        return count

    await verify_units(found, source.tracks, source.units, pictures)


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # the folder is emptied at the next start
        _log.warning("scratch_not_deleted", error=error.strerror)


def _sync(path: Path) -> None:
    """Sync the file: only this call reports that the disk failed to write it."""
    try:
        local_file.flush(path)
    except OSError as error:
        raise FinalizeError(f"the MP4 cannot be written: {error.strerror}") from error
