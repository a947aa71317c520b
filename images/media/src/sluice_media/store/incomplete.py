"""The damage report of a recording that may not be complete (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from sluice_media.contract import IncompleteReason, RecordedFile
from sluice_media.recording.journals import JournalFault
from sluice_media.store.kept import KeptChunks


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
    """Return the damage of a recording as fields of its result.

    ``taken_back`` is the number of chunks that the store has put back into files although no
    recorder's journal names them."""
    lost = sum(file.lost_chunks for file in files)
    missing = sum(fault.is_missing for fault in faults)
    damaged = len(faults) - missing
    unnamed = kept.unnamed if kept is not None else 0
    late = kept.late if kept is not None else 0
    lists = kept.damaged_manifests if kept is not None else 0
    found = [
        (
            IncompleteReason.CHUNKS_LOST,
            _counted(lost, "chunk"),
            "missing or damaged in the store; the gaps of the files say where",
        ),
        (
            IncompleteReason.SEGMENT_MISSING,
            _counted(missing, "segment", " of the journal"),
            "missing; chunks may be missing in the files",
        ),
        (
            IncompleteReason.JOURNAL_DAMAGED,
            _counted(damaged, "segment", " of the journal"),
            "damaged; chunks may be missing in the files",
        ),
        (
            IncompleteReason.CHUNKS_UNNAMED,
            _counted(unnamed, "chunk"),
            "named by no journal, and in no file",
        ),
        (
            IncompleteReason.CHUNKS_LATE,
            _counted(late, "chunk"),
            "in no file, because the MP4 was made before the chunks came",
        ),
        (
            IncompleteReason.MANIFEST_DAMAGED,
            _counted(lists, "list", " of the chunks in an MP4"),
            "damaged; all chunks of that file are kept",
        ),
    ]
    reports: list[tuple[str, str]] = [
        (reason, f"{counted} {text}.") for reason, counted, text in found if counted
    ]
    if faults and taken_back:
        reports.append(("", f"{_counted(taken_back, 'chunk')} back in place."))
    return Incompleteness(
        incomplete_reason=reports[0][0] if reports else None,
        incomplete_message=" ".join(sentence for _, sentence in reports) or None,
        faulty_segments=len(faults),
        lost_chunks=lost,
        kept_chunks=len(kept.chunks) if kept is not None else 0,
        kept_since=kept.since if kept is not None else None,
    )


def _counted(count: int, noun: str, more: str = "") -> str:
    """Return the beginning of a sentence; nothing when there is nothing to count."""
    if not count:
        return ""
    return f"1 {noun}{more} is" if count == 1 else f"{count} {noun}s{more} are"
