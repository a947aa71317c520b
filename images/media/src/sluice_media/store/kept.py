"""Chunks that are in no MP4: they are reported, and kept for some time.

A chunk is in no MP4 when no readable journal names it, when it is damaged, when another attempt's
chunks hold its units already, or when its attempt came back after the MP4 was made. At the end of a
recording ``kept.json`` lists such chunks with the time. They are deleted after ``originalSeconds``,
but not before seven days (:mod:`.retention`).
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime

import structlog

from sluice_media.contract import Model, RecordedFile
from sluice_media.formats.mpegts.packets import CLOCK_TICKS
from sluice_media.formats.mpegts.pes_reader import unwrapped
from sluice_media.recording import keys
from sluice_media.recording.journal import ChunkEntry, Journal, named_chunks
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.chunk_source import ChunkId
from sluice_media.store.spans import Span, joined
from sluice_media.store.trim import read_units, track_pids

_log = structlog.get_logger(__name__)


class Manifest(Model):
    """Content of ``<prefix>/files/<file>.chunks.json``: the chunks in a verified MP4."""

    chunks: list[ChunkId]
    made: RecordedFile
    """The result of the MP4, which cannot be made again once its chunks are deleted."""

    def keys(self, prefix: str) -> list[str]:
        return [keys.chunk_key(prefix, attempt, name) for attempt, name in self.chunks]


class KeptChunks(Model):
    """Content of ``<prefix>/kept.json``."""

    since: datetime
    chunks: list[ChunkId]
    unnamed: int
    """Number of kept chunks that no journal names."""
    damaged_manifests: int = 0
    """Number of manifests that cannot be read. All chunks of their files are kept."""
    late: int = 0
    """Number of chunks that came after their MP4 was made, and have units that it lacks."""


class HeldUnits:
    """The units of the chunks that are in MP4s or kept as originals."""

    def __init__(self, prefix: str, journals: Iterable[Journal], held: Container[str]) -> None:
        """``held`` has the keys of these chunks."""
        spans: dict[tuple[str, int], list[Span]] = {}
        for journal in journals:
            for file in journal.files:
                for chunk in file.chunks:
                    if keys.chunk_key(prefix, journal.attempt, chunk.name) in held:
                        for track, found in _stretches(chunk).items():
                            spans.setdefault((file.timeline, track), []).extend(found)
        self._stretches = {key: joined(found) for key, found in spans.items()}

    def covers(self, timeline: str, chunk: ChunkEntry) -> bool:
        """Return whether one held chunk covers each stretch of the chunk. If not, several held
        chunks may have its units: ask :meth:`contains`."""
        return all(
            self._has(timeline, track, first, last)
            for track, found in _stretches(chunk).items()
            for first, last in found
        )

    def contains(self, timeline: str, units: Mapping[int, Iterable[int]]) -> bool:
        """Return whether held chunks have all of these units (track -> DTS)."""
        return all(
            self._has(timeline, track, dts, dts) for track, found in units.items() for dts in found
        )

    def contains_copy(self, timeline: str, units: Mapping[int, Sequence[int]]) -> bool:
        """Return whether held chunks have all of these units, whose DTS have 33 bits only.

        The 33-bit clock may have begun again since they were recorded. So they must be there in
        each turn of that clock in which the timeline has such times."""
        held = [
            s for (name, _), found in self._stretches.items() if name == timeline for s in found
        ]
        if not held:
            return False
        begin, end = min(first for first, _ in held), max(last for _, last in held)
        first = min(found[0] for found in units.values())
        last = max(found[-1] for found in units.values())
        earliest = -((last - begin) // CLOCK_TICKS) * CLOCK_TICKS
        shifts = range(earliest, end - first + 1, CLOCK_TICKS)
        return bool(shifts) and all(self.contains(timeline, _moved(units, s)) for s in shifts)

    def _has(self, timeline: str, track: int, first: int, last: int) -> bool:
        stretches = self._stretches.get((timeline, track), [])
        at = bisect_right(stretches, first, key=lambda stretch: stretch[0]) - 1
        return at >= 0 and last <= stretches[at][1]


def _stretches(chunk: ChunkEntry) -> dict[int, list[Span]]:
    """Track -> from the DTS of a unit to that of a later one, without the holes in the chunk."""
    return {
        track: [
            (max(first, span.first_dts), min(end, span.last_dts))
            for first, end in chunk.media
            if first <= span.last_dts and end >= span.first_dts
        ]
        for track, span in chunk.tracks.items()
    }


async def find_late(
    storage: ObjectStore,
    prefix: str,
    journals: Sequence[Journal],
    held: HeldUnits,
    chunks: Iterable[ChunkId],
) -> list[ChunkId]:
    """Return the whole chunks that a journal names and that have units which no held chunk has.

    An attempt that came back from a lost node named them after their MP4 was made. Raises
    StorageError."""
    named = {(j.attempt, c.name): (f, c) for j in journals for f in j.files for c in f.chunks}
    late = []
    for chunk in chunks:
        if chunk not in named:
            continue
        file, entry = named[chunk]
        if held.covers(file.timeline, entry):
            continue
        data = await _read(storage, prefix, chunk)
        if entry.sha256 and hashlib.sha256(data).hexdigest() != entry.sha256:
            continue  # damaged: ``lost_chunks`` of its file counts it
        units = await asyncio.to_thread(read_units, data, track_pids(file.tracks))
        if units:
            first = min(found[0] for found in units.values())
            shift = unwrapped(first, entry.first_dts) - first
            if held.contains(file.timeline, _moved(units, shift)):
                continue
        _log.warning("chunk_came_late", attempt=chunk[0], chunk=chunk[1])
        late.append(chunk)
    return late


def _moved(units: Mapping[int, Sequence[int]], shift: int) -> dict[int, list[int]]:
    return {track: [dts + shift for dts in found] for track, found in units.items()}


async def find_unnamed(
    storage: ObjectStore,
    prefix: str,
    journals: Sequence[Journal],
    held: HeldUnits,
    chunks: Iterable[tuple[ChunkId, int]],
) -> list[ChunkId]:
    """Return the chunks (given with their sizes) that no journal names, without copies.

    A recorder that died before it could name a chunk leaves a copy when its successor stored the
    same bytes, or recorded the same units, again. Raises StorageError."""
    named = named_chunks(journals)
    entries = (chunk for j in journals for file in j.files for chunk in file.chunks)
    digests = {(chunk.size_bytes, chunk.sha256) for chunk in entries if chunk.sha256}
    sizes = {size for size, _ in digests}
    unnamed = []
    for chunk, size in chunks:
        if chunk in named:
            continue
        data = await _read(storage, prefix, chunk)
        if size in sizes and (size, hashlib.sha256(data).hexdigest()) in digests:
            continue
        files = [f for j in journals for f in j.files if f.index == keys.file_index(chunk[1])]
        if len({file.timeline for file in files}) == 1:
            tracks = max((file.tracks for file in files), key=len)
            units = await asyncio.to_thread(read_units, data, track_pids(tracks))
            if units and held.contains_copy(files[0].timeline, units):
                continue
        _log.warning("chunk_in_no_journal", attempt=chunk[0], chunk=chunk[1], size_bytes=size)
        unnamed.append(chunk)
    return unnamed


async def _read(storage: ObjectStore, prefix: str, chunk: ChunkId) -> bytes:
    """Return the chunk; empty when it was deleted."""
    try:
        return await storage.get(keys.chunk_key(prefix, *chunk))
    except MissingObjectError:
        return b""
