"""The recovery of chunks that no readable journal names, when their place in a file is certain.

A damaged or missing segment hides the chunks that only it names. A recorder that died before it
could name its last chunk hides that one. Such a chunk is added to the file whose index is in its
name when its bytes are whole, hold only tracks of that file and lie, in each track, in a hole of
the file or directly at its end. The result is stored as a journal of the chunk's attempt, so that
all readers find the same file.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import structlog

from sluice_media.formats.mpegts.packets import CLOCK_TICKS
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording import keys
from sluice_media.recording.journal import (
    ChunkEntry,
    FileEntry,
    Journal,
    TrackSpan,
    named_chunks,
    sealed,
)
from sluice_media.recording.merge import MergedChunk, MergedFile
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import RecordingView
from sluice_media.store.chunk_source import ChunkId
from sluice_media.store.trim import read_units, track_pids

_log = structlog.get_logger(__name__)


async def take_back(storage: ObjectStore, view: RecordingView, files: Iterable[MergedFile]) -> bool:
    """Add chunks that no journal names to ``files``. Return whether there were any; then the view
    must be loaded again. Raises StorageError."""
    named = named_chunks(view.journals)
    by_index: dict[int, set[tuple[str, int]]] = {}
    for journal in view.journals:
        for head in journal.files:
            by_index.setdefault(head.index, set()).add(head.identity)
    found: dict[str, list[FileEntry]] = {}
    for whole in files:
        file = whole
        identity = (file.timeline, file.first_dts)
        for chunk in sorted(view.chunks.keys() - named):
            index = keys.file_index(chunk[1])
            if index is None or by_index.get(index) != {identity}:
                continue
            fitting = await _read(storage, view.prefix, chunk, file)
            if fitting is None:
                continue
            place, entry = fitting
            # The next one may follow it.
            chunks = [*file.chunks[:place], MergedChunk(chunk[0], entry), *file.chunks[place:]]
            file = replace(file, chunks=chunks)
            found.setdefault(chunk[0], []).append(_part(view, identity, entry))
    for attempt, parts in found.items():
        await _write(storage, view, attempt, parts)
    return bool(found)


async def _read(
    storage: ObjectStore, prefix: str, chunk: ChunkId, file: MergedFile
) -> tuple[int, ChunkEntry] | None:
    """Return the chunk's position among those of the file, and its journal entry; None when the
    position is not certain."""
    try:
        data = await storage.get(keys.chunk_key(prefix, *chunk))
    except MissingObjectError:
        return None
    units = await asyncio.to_thread(read_units, data, track_pids(file.tracks))
    if not units:
        return None
    place = _place(file, units)
    if place is None:
        return None
    before = file.chunks[place - 1].entry
    shift = _shift(min(dts[0] for dts in units.values()), before.end_dts)
    spans = {track: _span([d + shift for d in dts]) for track, dts in units.items()}
    end_dts = max(span.end_dts for span in spans.values())
    wall = timedelta(seconds=(end_dts - before.end_dts) / TICKS_PER_SECOND)
    entry = ChunkEntry(
        name=chunk[1],
        first_dts=min(span.first_dts for span in spans.values()),
        end_dts=end_dts,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        independent=False,
        last_utc=before.last_utc + wall,
        tracks=spans,
    )
    return place, entry


def _place(file: MergedFile, units: dict[int, list[int]]) -> int | None:
    """Return the number of the file's chunks before the units; None when the units do not fit
    behind these."""
    ends = {track: (dts[0], dts[-1]) for track, dts in units.items()}
    begin = min(first for first, _ in ends.values())
    taken: dict[int, int] = {}
    followed = zip(file.chunks, [*file.chunks[1:], None], strict=True)
    for place, (before, after) in enumerate(followed, 1):
        for track, span in before.entry.tracks.items():
            taken[track] = max(span.last_dts, taken.get(track, span.last_dts))
        end = before.entry.end_dts
        shift = _shift(begin, end)
        if any(t in taken and first + shift <= taken[t] for t, (first, _) in ends.items()):
            continue
        if after is None:
            # The clock wraps after 26 hours: at the end only what follows directly is sure.
            return place if begin + shift - end <= TICKS_PER_SECOND else None
        following = after.entry.tracks
        if all(
            t not in following or last + shift < following[t].first_dts
            for t, (_, last) in ends.items()
        ):
            return place
    return None


def _shift(dts: int, near: int) -> int:
    """Return the shift of a time by whole wraps of the 33-bit clock to be nearest to ``near``."""
    return round((near - dts) / CLOCK_TICKS) * CLOCK_TICKS


def _span(dts: list[int]) -> TrackSpan:
    step = min(dts[-1] - dts[-2], TICKS_PER_SECOND) if len(dts) > 1 else 0
    return TrackSpan(units=len(dts), first_dts=dts[0], last_dts=dts[-1], end_dts=dts[-1] + step)


def _part(view: RecordingView, identity: tuple[str, int], entry: ChunkEntry) -> FileEntry:
    """Return the file's entry with this chunk alone."""
    entries = [f for journal in view.journals for f in journal.files if f.identity == identity]
    return entries[0].model_copy(update={"chunks": [entry], "gaps": [], "anchors": []})


async def _write(
    storage: ObjectStore, view: RecordingView, attempt: str, parts: list[FileEntry]
) -> None:
    key = keys.recovered_key(view.prefix, attempt)
    known = await load(storage, key, Journal)
    began = {journal.attempt: journal.started_at for journal in view.journals}
    # The newest attempt decides whether a file continues; this journal must not be the newest.
    oldest = min(began.values()) - timedelta(milliseconds=1)
    journal = Journal(
        attempt=attempt,
        recording_uid=view.uid,
        started_at=began.get(attempt, oldest),
        files=[*(known.files if known is not None else ()), *parts],
    )
    await storage.put(key, sealed(journal))
    _log.warning("chunks_found_again", recording=view.uid, attempt=attempt, chunks=len(parts))
