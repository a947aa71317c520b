"""Chunk files. In: units. Out: closed transport stream files of at most 6 s.

An open chunk is a file of the spool, flushed every 200 ms, with an index beside it: one JSON line
for each flushed batch, with the length up to which the chunk is whole. After a crash, the next
attempt cuts the file there, and has every unit that was flushed.

Chunks are cut on any unit. A random access in the last third is preferred, because a chunk that
begins with one can be played on its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from sluice_media.contract import TrackInfo
from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, UnitFlags
from sluice_media.record.plan import PlannedFile, utc_of
from sluice_media.recording.journal import ChunkEntry, FileEntry, TrackSpan
from sluice_media.recording.keys import chunk_name
from sluice_media.recording.media_time import MediaTime
from sluice_media.timeline.framing import track_formats

CHUNK_SECONDS = 6
CHUNK_TICKS = CHUNK_SECONDS * TICKS_PER_SECOND
CHUNK_PREFERRED_TICKS = 4 * TICKS_PER_SECOND
JOINT_SECONDS = 1
FLUSH_BYTES = 1 << 20
FLUSH_SECONDS = 0.2

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class ClosedChunk:
    """A chunk in the spool that is complete; the file is deleted once the store has it."""

    path: Path
    file: FileEntry
    """The entry of its file at the time when the chunk was closed, without chunks."""
    entry: ChunkEntry


def index_path(chunk: Path) -> Path:
    return chunk.with_suffix(".idx")


class _Muxer:
    """The multiplexer of one file in this attempt; when a track joins, another continues it.

    In the finished file, its output follows the bytes of another multiplexer. The first unit of
    each track is marked, so that a jump of the continuity counters is no error.
    """

    def __init__(self, tracks: Sequence[TrackInfo], after: _Muxer | None = None) -> None:
        formats = track_formats(tracks)
        self._ts: TsMuxer = TsMuxer(formats, after=after._ts if after is not None else None)
        self._tracks = frozenset(f.track for f in formats)
        self._begun: set[int] = set(after._begun) if after is not None else set()

    def write(self, unit: AccessUnit, *, with_psi: bool) -> bytes:
        if unit.track not in self._begun:
            if unit.track not in self._tracks:
                raise CodecError("the unit belongs to a track that the format does not name")
            self._begun.add(unit.track)
            unit = replace(unit, flags=unit.flags | UnitFlags.DISCONTINUITY)
        return self._ts.write(unit, with_psi=with_psi)


@dataclass(slots=True)
class _Span:
    """A :class:`TrackSpan` that grows while units are written."""

    units: int
    first_dts: int
    last_dts: int
    end_dts: int


class _OpenChunk:
    def __init__(self, path: Path, first: AccessUnit, file: FileEntry, now: float) -> None:
        self.path = path
        self.opened_at = now
        self.first_dts = first.dts
        self.independent = first.is_random_access
        self._last = first
        self.media = MediaTime()
        self.size = 0
        self._spans: dict[int, _Span] = {}
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._sha = hashlib.sha256()
        self._data = path.open("xb", buffering=0)
        self._index = index_path(path).open("xb", buffering=0)
        self.note_file(file)

    @property
    def seconds(self) -> float:
        return (self._last.dts - self.first_dts) / TICKS_PER_SECOND

    def note_file(self, file: FileEntry) -> None:
        """Write the file's entry into the index."""
        self._index.write(b'{"file":' + file.to_json().encode() + b"}\n")

    def add(self, unit: AccessUnit, data: bytes) -> None:
        self._batch.append(data)
        self._batch_bytes += len(data)
        dts = unit.dts
        span = self._spans.get(unit.track)
        if span is None:
            self._spans[unit.track] = _Span(1, dts, dts, dts)
        else:
            span.units += 1
            span.end_dts = dts + min(dts - span.last_dts, TICKS_PER_SECOND)
            span.last_dts = dts
        self.media.add(dts, self._spans[unit.track].end_dts)
        self._last = unit
        if self._batch_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the batch to the kernel, so that a crash of this process does not lose it."""
        if not self._batch:
            return
        batch = memoryview(b"".join(self._batch))
        self._sha.update(batch)
        written = 0
        while written < len(batch):
            written += self._data.write(batch[written:]) or 0
        self.size += len(batch)
        self._batch.clear()
        self._batch_bytes = 0
        self._index.write(b'{"chunk":' + self.entry().to_json().encode() + b"}\n")

    def entry(self) -> ChunkEntry:
        # Without validation: these values are our own, and this is written with every batch.
        spans, runs = self._spans, self.media.runs
        return ChunkEntry.model_construct(
            name=self.path.name,
            first_dts=min(span.first_dts for span in spans.values()),
            end_dts=max(span.end_dts for span in spans.values()),
            size_bytes=self.size,
            sha256=self._sha.copy().hexdigest(),
            independent=self.independent,
            last_utc=utc_of(self._last),
            tracks={
                track: TrackSpan.model_construct(
                    units=span.units,
                    first_dts=span.first_dts,
                    last_dts=span.last_dts,
                    end_dts=span.end_dts,
                )
                for track, span in spans.items()
            },
            runs=runs if len(runs) > 1 else [],
        )

    def close(self) -> None:
        self.flush()
        self._data.close()
        self._index.close()

    def abandon(self) -> None:
        """Close the files without a flush."""
        for file in (self._data, self._index):
            with contextlib.suppress(OSError):
                file.close()


class ChunkCutter:
    """Writes the units of one file after another into chunks of at most 6 s.

    Raises OSError when the spool cannot be written."""

    def __init__(
        self,
        folder: Path,
        first_sequence: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._flushed_at = 0.0
        self._sequence = first_sequence
        self._muxer: _Muxer | None = None
        self._muxer_file: PlannedFile | None = None
        self._open: _OpenChunk | None = None
        self._file: PlannedFile | None = None
        self.unusable_units = 0

    @property
    def open_bytes(self) -> int:
        return self._open.size if self._open is not None else 0

    def write(self, file: PlannedFile, units: Iterable[AccessUnit]) -> list[ClosedChunk]:
        """Write units, and return the chunks that they ended."""
        closed: list[ClosedChunk] = []
        if self._file is not file:
            closed += self.close()
            self._file = file
        for unit in units:
            if self._open is not None and self._is_full(self._open, unit):
                closed += self.close()
            if self._muxer is None or self._muxer_file is not file:
                self._muxer, self._muxer_file = _Muxer(file.tracks), file
            try:
                data = self._muxer.write(unit, with_psi=self._open is None)
            except CodecError as broken:
                self.unusable_units += 1
                _log.warning("unit_not_usable", track=unit.track, dts=unit.dts, error=str(broken))
                continue
            if self._open is None:
                path = self._folder / chunk_name(file.index, self._sequence)
                self._sequence += 1
                self._open = _OpenChunk(path, unit, file.entry(), self._clock())
            self._open.add(unit, data)
        return closed

    def changed(self, file: PlannedFile, *, tracks: bool) -> None:
        """Note changed gaps, anchors or tracks of the file."""
        if tracks and self._muxer_file is file:
            self._muxer = _Muxer(file.tracks, after=self._muxer)
        if self._open is not None and self._file is file:
            self._open.note_file(file.entry())

    def joint(self) -> list[ClosedChunk]:
        """Close the chunk at a jump in time, because players need a new chunk there. A chunk that
        would be shorter than 1 s stays open."""
        if self._open is None or self._open.seconds < JOINT_SECONDS:
            return []
        return self.close()

    def tend(self) -> list[ClosedChunk]:
        """Flush every FLUSH_SECONDS, and close a chunk whose source fell silent. Must be called
        several times a second."""
        if self._open is None:
            return []
        now = self._clock()
        if now - self._open.opened_at >= CHUNK_SECONDS + 1:
            return self.close()
        if now - self._flushed_at >= FLUSH_SECONDS:
            self.flush()
        return []

    def flush(self) -> None:
        """Write everything to the kernel, so that a crash of this process does not lose it."""
        if self._open is not None:
            self._open.flush()
            self._flushed_at = self._clock()

    def abandon(self) -> None:
        """Close the files after a disk fault. The attempt that adopts the chunk cuts it."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def close(self) -> list[ClosedChunk]:
        """Close the open chunk, if there is one, and return it."""
        chunk, file = self._open, self._file
        if chunk is None or file is None:
            return []
        chunk.close()
        self._open = None
        return [ClosedChunk(chunk.path, file.entry(), chunk.entry())]

    @staticmethod
    def _is_full(chunk: _OpenChunk, unit: AccessUnit) -> bool:
        length = unit.dts - chunk.first_dts
        limit = CHUNK_PREFERRED_TICKS if unit.is_random_access else CHUNK_TICKS
        return length >= limit or chunk.media.is_hole(unit.dts)


def read_spooled(chunk: Path) -> ClosedChunk | None:
    """Return a chunk that a dead process left, cut to its last whole batch.

    The bytes are checked against the index: after a power failure or a disk error the index can
    name more than the disk has. None when no batch is whole. Raises OSError."""
    file: FileEntry | None = None
    entry: ChunkEntry | None = None
    sha = hashlib.sha256()
    with chunk.open("rb") as data:
        for line in index_path(chunk).read_bytes().split(b"\n")[:-1]:
            try:
                record = json.loads(line)
                if "file" in record:
                    file = FileEntry.model_validate(record["file"])
                    continue
                found = ChunkEntry.model_validate(record["chunk"])
            except (ValueError, KeyError, TypeError):
                _log.warning("chunk_index_cut", chunk=chunk.name)
                break
            sha.update(data.read(found.size_bytes - (entry.size_bytes if entry else 0)))
            if data.tell() != found.size_bytes or sha.hexdigest() != found.sha256:
                _log.warning("chunk_cut", chunk=chunk.name, size_bytes=found.size_bytes)
                break
            entry = found
    if file is None or entry is None:
        return None
    if entry.size_bytes < chunk.stat().st_size:
        os.truncate(chunk, entry.size_bytes)
    return ClosedChunk(chunk, file, entry)
