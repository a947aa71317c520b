"""What a store says of a recording that may not be complete (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from sluice_media.contract import RecordedFile
from sluice_media.record.journals import JournalFault
from sluice_media.store.kept import KeptChunks

__all__ = ["Incompleteness", "incompleteness"]


class Incompleteness(TypedDict):
    """Fields of :class:`~sluice_media.contract.StoredResult`."""

    incomplete_reason: str | None
    incomplete_message: str | None
    faulty_segments: int
    lost_chunks: int
    kept_chunks: int
    kept_since: datetime | None


def incompleteness(
    files: Sequence[RecordedFile],
    faults: Sequence[JournalFault],
    taken_back: int,
    kept: KeptChunks | None,
) -> Incompleteness:
    """``taken_back``: how many chunks were found again that no recorder's journal names."""
    lost = sum(file.lost_chunks for file in files)
    missing = sum(fault.is_missing for fault in faults)
    damaged = len(faults) - missing
    unnamed = kept.unnamed if kept is not None else 0
    found = [
        ("ChunksLost", lost, "missing or damaged in the store; the gaps of the files say where"),
        ("SegmentMissing", missing, "missing; chunks may be missing in the files"),
        ("JournalDamaged", damaged, "damaged; chunks may be missing in the files"),
        ("ChunksUnnamed", unnamed, "named by no journal, and in no file"),
    ]
    said = [
        (reason, f"{_counted(count, reason)} {words}.") for reason, count, words in found if count
    ]
    if faults and taken_back:
        said.append(("", f"{_counted(taken_back, 'Chunks')} back in place."))
    return Incompleteness(
        incomplete_reason=said[0][0] if said else None,
        incomplete_message=" ".join(sentence for _, sentence in said) or None,
        faulty_segments=len(faults),
        lost_chunks=lost,
        kept_chunks=len(kept.chunks) if kept is not None else 0,
        kept_since=kept.since if kept is not None else None,
    )


def _counted(count: int, reason: str) -> str:
    what = "chunk" if reason.startswith("Chunks") else "segment of the journal"
    if count == 1:
        return f"1 {what} is"
    return f"{count} {what.replace('chunk', 'chunks').replace('segment', 'segments')} are"
