"""Permanently lost chunks of a file, and the file that remains without them.

A chunk is lost when the store does not have it, or returns other bytes at each read. An MP4 is made
of all other chunks. The file has a gap where no other attempt's chunk replaces a lost one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sluice_media.contract import RecordedFile
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording.journal import GapEntry, Journal
from sluice_media.recording.keys import chunk_key
from sluice_media.recording.merge import MergedChunk, MergedFile, merge
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import RecordingView
from sluice_media.store.chunk_source import ChunkId, Loss
from sluice_media.store.spans import Span, joined


async def _find_missing(
    storage: ObjectStore, view: RecordingView, file: MergedFile
) -> dict[ChunkId, Loss]:
    """Return the chunks of a file that the store does not have, or has with another size.

    ``view`` has a listing of the store, which may be older than its journals. Raises
    StorageError."""
    lost: dict[ChunkId, Loss] = {}
    for chunk in file.chunks:
        size = chunk.entry.size_bytes
        if view.chunks.get(chunk.id) == size:
            continue
        try:
            found = await storage.size(chunk_key(view.prefix, *chunk.id))
        except MissingObjectError:
            lost[chunk.id] = Loss.MISSING
        else:
            if found != size:
                lost[chunk.id] = Loss.DAMAGED
    return lost


async def find_rest(
    storage: ObjectStore, view: RecordingView, file: MergedFile, lost: dict[ChunkId, Loss]
) -> MergedFile:
    """Return the file of the chunks that are there, and add the others to ``lost``.

    Raises StorageError."""
    while True:
        rest = without(file, view.journals, lost)
        missing = await _find_missing(storage, view, rest)
        if not missing:
            return rest
        lost.update(missing)


def without(file: MergedFile, journals: Iterable[Journal], lost: Collection[ChunkId]) -> MergedFile:
    """Return the file without the lost chunks. Other attempts' chunks replace a lost chunk; where
    there are none, the file has a gap."""
    if not lost:
        return file
    rest = next(
        f
        for f in merge(_less(journals, lost))
        if (f.timeline, f.first_dts) == (file.timeline, file.first_dts)
    )
    rest.index = file.index
    if not rest.chunks:
        return rest
    begin = min(span[0] for chunk in rest.chunks for span in _spans(chunk).values())
    # Where the first chunk is lost, the MP4 begins behind it.
    head = file.chunks[0].id in lost and begin > file.first_dts
    gaps = [*rest.gaps, *(_gap(start, end) for start, end in _holes(file, rest, lost))]
    rest.gaps = sorted(gaps, key=lambda gap: gap.dts)
    rest.first_dts = begin if head else file.first_dts
    rest.place()
    return rest


def with_holes(file: MergedFile) -> MergedFile:
    """Return the file with a gap at each hole of more than 1 s in its first track that no journal
    reports: an unreadable segment may have named the missing chunks."""
    track = min(file.units, default=0)
    spans = [c.entry.tracks[track] for c in file.chunks if track in c.entry.tracks]
    gaps = list(file.gaps)
    for before, after in itertools.pairwise(spans):
        start, end = before.end_dts, after.first_dts
        if end - start <= TICKS_PER_SECOND or any(start <= gap.dts <= end for gap in gaps):
            continue
        gaps.append(_gap(start, end))
    found = replace(file, gaps=sorted(gaps, key=lambda gap: gap.dts))
    found.place()
    return found


def with_losses(
    result: RecordedFile, file: MergedFile, lost: Mapping[ChunkId, Loss]
) -> RecordedFile:
    """Return the result of an MP4 that was made without the lost chunks of its file."""
    (_, name), loss = next(iter(lost.items()))
    report, first = f"{len(lost)} of {len(file.chunks)} chunks", f"{name} is {loss} in the store"
    if len(lost) == 1:
        report += f" is lost: {first}; gaps says where"
    else:
        report += f" are lost, the first one because {first}; gaps says where"
    message = f"{result.message}; {report}" if result.message else report
    return result.model_copy(update={"message": message, "lost_chunks": len(lost)})


def _less(journals: Iterable[Journal], lost: Collection[ChunkId]) -> list[Journal]:
    return [
        journal.model_copy(
            update={
                "files": [
                    entry.model_copy(
                        update={
                            "chunks": [
                                c for c in entry.chunks if (journal.attempt, c.name) not in lost
                            ]
                        }
                    )
                    for entry in journal.files
                ]
            }
        )
        for journal in journals
    ]


def _gap(start: int, end: int) -> GapEntry:
    """Return a gap that :meth:`MergedFile.place` has not placed yet."""
    seconds = round((end - start) / TICKS_PER_SECOND, 3)
    return GapEntry(dts=end, from_dts=start, at_seconds=0.0, wall_seconds=seconds)


def _spans(chunk: MergedChunk) -> dict[int, Span]:
    """Return, by track, the first DTS that is used of the chunk, and its end."""
    skip = chunk.skip_through or {}
    return {
        track: (max(span.first_dts, skip.get(track, span.first_dts - 1) + 1), span.end_dts)
        for track, span in chunk.entry.tracks.items()
    }


def _holes(file: MergedFile, rest: MergedFile, lost: Collection[ChunkId]) -> list[Span]:
    """Return the holes of all tracks, in order; overlapping holes are joined."""
    found: list[Span] = []
    for track in {track for chunk in file.chunks for track in chunk.entry.tracks}:
        gone = [_spans(c)[track] for c in file.chunks if c.id in lost and track in c.entry.tracks]
        kept = [_spans(c)[track] for c in rest.chunks if track in c.entry.tracks]
        for span in gone:
            found += _less_spans(span, kept)
    return joined(found)


def _less_spans(span: Span, kept: Sequence[Span]) -> list[Span]:
    """Return the parts of a span that ``kept``, which is in order, does not cover."""
    start, end = span
    parts: list[Span] = []
    for first, last in kept:
        if first >= end:
            break
        if first > start:
            parts.append((start, first))
        start = max(start, last)
    if start < end:
        parts.append((start, end))
    return parts
