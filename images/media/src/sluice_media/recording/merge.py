"""Puts the journals of all attempts together: which bytes, in which order, are a file (pure).

Attempts of one Recording follow each other, and now and then overlap (a node that was given up
for lost comes back). All of them saw the *same* sequence of units, so a unit is identified by
timeline, track and DTS, and the first durable copy of it wins. An attempt that starts after
another one begins exactly behind what that one made durable, so that merging is concatenation;
only where two overlap must a chunk be trimmed.
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
    attempt: str
    entry: ChunkEntry
    skip_through: dict[int, int] | None = None
    """Track -> DTS up to which its units are in earlier chunks already; None: take all of them."""
    media: MediaTime | None = None
    """Of the file, when there is a hole before or in this chunk; None: its times are right."""

    @property
    def is_whole(self) -> bool:
        """Whether its bytes go into the MP4 as they are."""
        return self.skip_through is None and self.media is None

    @property
    def id(self) -> tuple[str, str]:
        """Attempt and name."""
        return self.attempt, self.entry.name


@dataclass(slots=True)
class MergedFile:
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
    """Track -> DTS of the last unit held."""
    units: dict[int, int] = field(default_factory=dict)
    """Track -> number of units (an upper bound where chunks are trimmed)."""
    end_dts: int = 0
    media: MediaTime = field(default_factory=MediaTime)
    """Where it has media."""
    last_utc: datetime | None = None

    @property
    def duration_seconds(self) -> float:
        """Of its media, without holes."""
        return self.media.total_ticks / TICKS_PER_SECOND

    @property
    def size_bytes(self) -> int:
        return sum(chunk.entry.size_bytes for chunk in self.chunks)

    def place(self) -> None:
        """Find the holes between and in the chunks, and place chunks and gaps accordingly. To be
        called again when chunks were taken out."""
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
    """The files of a Recording, oldest first, with indexes that no two of them share."""
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
    # The newest attempt decides whether it goes on: an older one that comes back from a lost node
    # may have closed what its successor still writes.
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
    """Consecutive chunks of one attempt that were not looked at yet."""

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
        """Whether a unit of a track of ``other`` is still here that came before it."""
        ahead = self.first_dts[self.at]
        return any(
            ahead.get(t, span.first_dts) < span.first_dts for t, span in other.tracks.items()
        )


def in_order(
    attempts: Iterable[tuple[str, Sequence[ChunkEntry]]],
) -> Iterator[tuple[str, ChunkEntry]]:
    """Yield all chunks that several attempts hold of one file, in the order of their units."""
    # Again and again a chunk that no other chunk comes before. DTS of different tracks say little
    # about the order (tracks interleave loosely), those of one track say all.
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
    """Split a journal's chunks where a track steps back. A recorder that adopted chunks in a wrong
    order wrote such a journal, and taken as it stands its earlier chunks look like duplicates."""
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
