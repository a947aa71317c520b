"""The journal of one attempt in segments, so that a long recording rewrites little (pure).

A segment is a :class:`~.journal.Journal` with the chunks, gaps and anchors since the former
segment, each under the head of its file at that time. The last segment is rewritten after each
stored chunk. Once it has SEGMENT_ENTRIES entries, it never changes again. :func:`join` makes the
attempt's journal from its segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sluice_media.recording.journal import ChunkEntry, FileEntry, Journal

SEGMENT_ENTRIES = 100
"""10 minutes of chunks: some 35 KB."""

Identity = tuple[str, int]


class SegmentedJournal:
    """The journal that one attempt writes. An entry may be noted twice, after a write that failed
    halfway."""

    def __init__(self, *, attempt: str, recording_uid: str, started_at: datetime) -> None:
        self.attempt = attempt
        self.started_at = started_at
        self._recording_uid = recording_uid
        self.number = 1
        """Number of the present segment."""
        self._files: dict[Identity, FileEntry] = {}
        self._chunks: dict[Identity, dict[str, ChunkEntry]] = {}
        self._in_closed: dict[Identity, tuple[set[int], set[int]]] = {}
        """DTS of the gaps and of the anchors that closed segments hold."""
        self._stop_requested_at: datetime | None = None

    def note_file(self, file: FileEntry) -> None:
        """Note a file: its present head with all gaps and anchors, without chunks."""
        gaps, anchors = self._in_closed.get(file.identity, (set(), set()))
        self._files[file.identity] = file.model_copy(
            update={
                "chunks": [],
                "gaps": [gap for gap in file.gaps if gap.dts not in gaps],
                "anchors": [anchor for anchor in file.anchors if anchor.dts not in anchors],
            }
        )

    def note_chunk(self, file: FileEntry, chunk: ChunkEntry) -> None:
        self.note_file(file)
        self._chunks.setdefault(file.identity, {})[chunk.name] = chunk

    def note_stop(self, at: datetime) -> None:
        self._stop_requested_at = at

    def segment(self, now: datetime) -> Journal:
        """Return the content of the present segment."""
        return Journal(
            attempt=self.attempt,
            recording_uid=self._recording_uid,
            started_at=self.started_at,
            files=[
                file.model_copy(update={"chunks": list(self._chunks.get(identity, {}).values())})
                for identity, file in self._files.items()
            ],
            stop_requested_at=self._stop_requested_at,
            written_at=now,
        )

    def stored(self) -> None:
        """Note that the present segment was stored; begin a new one when it is full."""
        entries = sum(
            1 + len(file.gaps) + len(file.anchors) + len(self._chunks.get(identity, ()))
            for identity, file in self._files.items()
        )
        if entries < SEGMENT_ENTRIES:
            return
        for identity, file in self._files.items():
            gaps, anchors = self._in_closed.setdefault(identity, (set(), set()))
            gaps.update(gap.dts for gap in file.gaps)
            anchors.update(anchor.dts for anchor in file.anchors)
        self.number += 1
        self._files.clear()
        self._chunks.clear()


def join(segments: Iterable[Journal]) -> Journal | None:
    """Join the segments of one attempt, which are in order; return None when there are none."""
    ordered = list(segments)
    if not ordered:
        return None
    parts: dict[Identity, list[FileEntry]] = {}
    for segment in ordered:
        for file in segment.files:
            parts.setdefault(file.identity, []).append(file)
    stops = [s.stop_requested_at for s in ordered if s.stop_requested_at is not None]
    return ordered[0].model_copy(
        update={
            "files": [_join_file(entries) for entries in parts.values()],
            "stop_requested_at": min(stops, default=None),
            "written_at": ordered[-1].written_at,
        }
    )


def _join_file(entries: list[FileEntry]) -> FileEntry:
    chunks = {chunk.name: chunk for entry in entries for chunk in entry.chunks}
    gaps = {gap.dts: gap for entry in entries for gap in entry.gaps}
    anchors = {anchor.dts: anchor for entry in entries for anchor in entry.anchors}
    return entries[-1].model_copy(
        update={
            "chunks": list(chunks.values()),
            "gaps": list(gaps.values()),
            "anchors": list(anchors.values()),
        }
    )
