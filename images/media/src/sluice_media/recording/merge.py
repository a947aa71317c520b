"""The merge of all attempts' journals into files: an ordered list of chunks each (pure).

Attempts of one Recording follow each other, and sometimes overlap (a node that counted as lost
comes back). All attempts read one sequence of units, so timeline, track and DTS identify a unit,
and its first durable copy wins. An attempt begins exactly behind the durable units of the former
one, so that the merge is a concatenation; chunks are trimmed only where two attempts overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sluice_media.contract import TimelineAnchor, TrackInfo
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording.journal import ChunkEntry, FileEntry, GapEntry, Journal
from sluice_media.recording.media_time import MediaTime


@dataclass(slots=True, frozen=True)
class MergedChunk:
    """One chunk of a merged file."""

    attempt: str
    entry: ChunkEntry
    skip_through: dict[int, int] | None = None
    """Track -> DTS up to which earlier chunks have its units; None: use all units."""
    media: MediaTime | None = None
    """Media time of the file, when there is a hole before or in this chunk; else None."""

    @property
    def is_whole(self) -> bool:
        """True when its bytes go into the MP4 unchanged."""
        return self.skip_through is None and self.media is None

    @property
    def id(self) -> tuple[str, str]:
        """Attempt and name."""
        return self.attempt, self.entry.name


@dataclass(slots=True)
class MergedFile:
    """One file of a Recording, merged from all attempts."""

    index: int
    timeline: str
    first_dts: int
    started_at: datetime
    session_started_at: datetime
    tracks: list[TrackInfo]
    chunks: list[MergedChunk] = field(default_factory=list)
    gaps: list[GapEntry] = field(default_factory=list)
    anchors: list[TimelineAnchor] = field(default_factory=list)
    closed: bool = False
    ended_at: datetime | None = None
    end_reason: str | None = None
    taken: dict[int, int] = field(default_factory=dict)
    """Track -> DTS of the last unit in the store."""
    units: dict[int, int] = field(default_factory=dict)
    """Track -> number of units (an upper bound where chunks are trimmed)."""
    end_dts: int = 0
    media: MediaTime = field(default_factory=MediaTime)
    """Ranges of DTS with media."""
    last_utc: datetime | None = None

    @property
    def duration_seconds(self) -> float:
        """Length of its media, without holes."""
        return self.media.total_ticks / TICKS_PER_SECOND

    @property
    def size_bytes(self) -> int:
        return sum(chunk.entry.size_bytes for chunk in self.chunks)

    def place(self) -> None:
        """Find the holes between and in the chunks, and place chunks and gaps accordingly. Must be
        called again after chunks were removed."""
        first_dts = self.first_dts
        covered = (run for chunk in self.chunks for run in chunk.entry.media)
        self.media = MediaTime(*((max(a, first_dts), max(b, first_dts)) for a, b in covered))
        self.gaps = [gap.placed(self.media) for gap in self.gaps]
        holes = self.media.holes
        self.chunks = [
            replace(
                chunk, media=self.media if holes and chunk.entry.end_dts > holes[0][0] else None
            )
            for chunk in self.chunks
        ]


def merge(journals: Iterable[Journal]) -> list[MergedFile]:
    """Return the files of a Recording, oldest first, with unique indexes."""
    groups: dict[tuple[str, int], list[tuple[Journal, FileEntry]]] = {}
    for journal in sorted(journals, key=lambda j: (j.started_at, j.attempt)):
        for entry in journal.files:
            groups.setdefault((entry.timeline, entry.first_dts), []).append((journal, entry))
    files = [_merge_file(group) for group in groups.values()]
    files.sort(key=lambda f: (f.started_at, f.index))
    last_index = 0
    for file in files:
        file.index = max(file.index, last_index + 1)
        last_index = file.index
    return files


def _merge_file(group: Sequence[tuple[Journal, FileEntry]]) -> MergedFile:
    head = group[0][1]
    file = MergedFile(
        index=min(entry.index for _, entry in group),
        timeline=head.timeline,
        first_dts=head.first_dts,
        started_at=head.started_at,
        session_started_at=head.session_started_at,
        tracks=max((entry.tracks for _, entry in group), key=len),
    )
    gaps: dict[int, GapEntry] = {}
    anchors: dict[int, TimelineAnchor] = {}
    for _, entry in group:
        for gap in entry.gaps:
            gaps.setdefault(gap.dts, gap)
        for anchor in entry.anchors:
            anchors.setdefault(anchor.dts, anchor)
    # The newest attempt decides whether the file continues: an older one that comes back from a
    # lost node may have closed a file that its successor still writes.
    newest = group[-1][1]
    file.closed, file.ended_at, file.end_reason = newest.closed, newest.ended_at, newest.end_reason
    file.anchors = [anchors[dts] for dts in sorted(anchors)]
    for attempt, chunk in in_order((j.attempt, entry.chunks) for j, entry in group):
        _take(file, attempt, chunk)
    file.gaps = [gaps[dts] for dts in sorted(gaps)]
    file.place()
    return file


@dataclass(slots=True)
class _Queue:
    """Consecutive chunks of one attempt that are not ordered yet."""

    attempt: str
    chunks: list[ChunkEntry]
    first_dts: list[dict[int, int]] = field(default_factory=list)
    """For each place: track -> DTS of its first unit from there on."""
    at: int = 0

    def __post_init__(self) -> None:
        ahead: dict[int, int] = {}
        for chunk in reversed(self.chunks):
            ahead = {**ahead, **{t: span.first_dts for t, span in chunk.tracks.items()}}
            self.first_dts.append(ahead)
        self.first_dts.reverse()

    @property
    def is_open(self) -> bool:
        return self.at < len(self.chunks)

    @property
    def head(self) -> ChunkEntry:
        return self.chunks[self.at]

    def holds_before(self, other: ChunkEntry) -> bool:
        """Return whether the queue has a unit of a track of ``other`` that precedes ``other``."""
        ahead = self.first_dts[self.at]
        return any(
            ahead.get(t, span.first_dts) < span.first_dts for t, span in other.tracks.items()
        )


def in_order(
    attempts: Iterable[tuple[str, Sequence[ChunkEntry]]],
) -> Iterator[tuple[str, ChunkEntry]]:
    """Yield the chunks of several attempts of one file, in the order of their units."""
    # Repeatedly choose a chunk that no other chunk precedes. Only DTS of one track are compared,
    # because tracks interleave loosely.
    queues = [
        _Queue(attempt, run) for attempt, chunks in attempts for run in _ascending_runs(chunks)
    ]
    while open_queues := [queue for queue in queues if queue.is_open]:
        earliest = [
            queue
            for queue in open_queues
            if not any(o.holds_before(queue.head) for o in open_queues if o is not queue)
        ]
        chosen = min(earliest or open_queues, key=lambda queue: queue.head.first_dts)
        yield chosen.attempt, chosen.head
        chosen.at += 1


def _ascending_runs(chunks: Iterable[ChunkEntry]) -> list[list[ChunkEntry]]:
    """Split a journal's chunks where a track's DTS steps back.

    A recorder that adopted chunks in a wrong order wrote such a journal. Without the split, its
    earlier chunks would look like duplicates."""
    runs: list[list[ChunkEntry]] = []
    last: dict[int, int] = {}
    for chunk in chunks:
        steps_back = any(
            t in last and span.first_dts <= last[t] for t, span in chunk.tracks.items()
        )
        if steps_back or not runs:
            runs.append([])
            last = {}
        runs[-1].append(chunk)
        last.update({track: span.last_dts for track, span in chunk.tracks.items()})
    return runs


def _take(file: MergedFile, attempt: str, entry: ChunkEntry) -> None:
    taken = file.taken
    known = {t: taken[t] for t in entry.tracks if t in taken}
    if all(t in known and span.last_dts <= known[t] for t, span in entry.tracks.items()):
        return
    overlaps = any(entry.tracks[t].first_dts <= dts for t, dts in known.items())
    file.chunks.append(MergedChunk(attempt, entry, known if overlaps else None))
    for track, span in entry.tracks.items():
        taken[track] = max(taken.get(track, span.last_dts), span.last_dts)
        file.units[track] = file.units.get(track, 0) + span.units
        file.end_dts = max(file.end_dts, span.end_dts)
    if file.last_utc is None or entry.last_utc > file.last_utc:
        file.last_utc = entry.last_utc
