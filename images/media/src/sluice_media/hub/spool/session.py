"""A session on the pod's disk: its segments, and the place at which a reader starts in them.

Pure: the records themselves are in files (see :mod:`sluice_media.hub.spool.format`). In: records
that were written, acknowledgements of recorders. Out: places to read from, segments to delete.
Sequence numbers are those of the session's ring: the spool has the records before the ring's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sluice_media.contract import TimelineGap
from sluice_media.formats.units import TICKS_PER_SECOND, UnitFlags
from sluice_media.hub.output.ring import Entry
from sluice_media.hub.output.splicer import TrackEnd
from sluice_media.timeline.framing import RECORD_HEAD, UNIT_HEAD, RecordType, encode

ENTRY_TICKS = TICKS_PER_SECOND
"""Minimum distance of two random access points in the index: each audio frame may be one."""
TRACK_SKEW_TICKS = 2 * TICKS_PER_SECOND
"""Distance from the newest track beyond which an earlier track end is ignored in the check that a
recorder holds the whole session."""

_UNIT, _FORMAT, _ANCHOR, _END = map(
    int, (RecordType.UNIT, RecordType.FORMAT, RecordType.ANCHOR, RecordType.END)
)
_RANDOM_ACCESS = int(UnitFlags.RANDOM_ACCESS)


class Mark(NamedTuple):
    """A ``format`` or ``anchor`` record, in force behind ``seq``."""

    seq: int
    is_format: bool
    data: bytes


class SegmentEntry(NamedTuple):
    """A random access point and its offset in the file."""

    at: Entry
    offset: int


@dataclass(slots=True)
class Progress:
    """The state of a session behind its last written record."""

    next_seq: int
    tracks: dict[int, TrackEnd] = field(default_factory=dict)
    format: bytes = b""
    anchor: bytes = b""
    max_dts: int | None = None
    last_us: int = 0
    end: bytes = b""
    """The ``end`` record; empty until it is written."""

    @property
    def ended(self) -> bool:
        return bool(self.end)


@dataclass(slots=True, eq=False)
class Segment:
    """One file: consecutive records."""

    first_seq: int
    before_dts: int | None
    """Highest DTS of a unit before the segment; None at the beginning of the timeline."""
    format: bytes
    anchor: bytes
    """Anchor record in force at the segment's beginning, as ``format`` is."""
    data_at: int
    """Offset of the first record in the file."""
    size: int
    """Bytes of the file up to the end of its last whole record."""
    end_seq: int
    begun_us: int = 0
    """Wall clock at which the first record was written."""
    max_dts: int | None = None
    entries: list[SegmentEntry] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    sealed: bool = False
    """True when nothing is added any more."""
    failures: int = 0
    """Number of reads that failed."""

    @property
    def bytes_held(self) -> int:
        return self.size - self.data_at

    def add(self, data: bytes, progress: Progress) -> None:
        """Note a record that was written to the file, and move ``progress`` behind it."""
        seq, offset = self.end_seq, self.size
        self.end_seq, self.size = seq + 1, offset + len(data)
        progress.next_seq = self.end_seq
        kind = data[0]
        if kind == _UNIT:
            track, flags, dts, pts, utc_us = UNIT_HEAD.unpack_from(data, RECORD_HEAD.size)
            if flags & _RANDOM_ACCESS and (
                not self.entries or dts - self.entries[-1].at.dts >= ENTRY_TICKS
            ):
                self.entries.append(SegmentEntry(Entry(seq, dts, utc_us), offset))
            progress.tracks[track] = TrackEnd.after(progress.tracks.get(track), dts, pts)
            progress.max_dts = dts if progress.max_dts is None else max(dts, progress.max_dts)
            self.max_dts = dts if self.max_dts is None else max(dts, self.max_dts)
            progress.last_us = utc_us
        elif kind == _FORMAT:
            progress.format = data
            self.marks.append(Mark(seq, True, data))
        elif kind == _ANCHOR:
            progress.anchor = data
            self.marks.append(Mark(seq, False, data))
        elif kind == _END:
            progress.end = data

    def head(self, seq: int) -> bytes:
        """Return the format and anchor in force at the record ``seq``."""
        form, anchor = self.format, self.anchor
        for mark in self.marks:
            if mark.seq >= seq:
                break
            if mark.is_format:
                form = mark.data
            else:
                anchor = mark.data
        return form + anchor


@dataclass(slots=True, eq=False)
class Place:
    """A reader's position in the spool."""

    segment: Segment
    seq: int
    offset: int
    head: bytes = b""
    """Records to send before the one at ``seq``."""
    dts: int = 0
    """Highest DTS that was read or skipped."""
    behind_dts: int | None = None
    """DTS behind which to begin in the segment; None: begin at ``offset``."""


class SpooledSession:
    """The segments of one session on disk."""

    def __init__(
        self,
        *,
        timeline: str,
        epoch: int,
        stream_uid: str,
        title: str,
        started_us: int,
        origin_seq: int,
        before_dts: int | None = None,
        auto: bool = False,
    ) -> None:
        self.timeline = timeline
        self.epoch = epoch
        self.stream_uid = stream_uid
        self.title = title
        self.started_us = started_us
        self.origin_seq = origin_seq
        """First record that was to be spooled."""
        self.auto = auto
        """True when its content began while ``autoRecord`` was on."""
        self.segments: list[Segment] = []
        self.progress = Progress(origin_seq, max_dts=before_dts)
        self.over_limit = False
        """True once content was dropped and logged."""
        self.bytes_held = 0

    @property
    def next_seq(self) -> int:
        """First record that is not on disk."""
        return self.progress.next_seq

    @property
    def first_seq(self) -> int:
        return self.segments[0].first_seq if self.segments else self.next_seq

    @property
    def open(self) -> Segment | None:
        """Segment that is being written; None when there is none."""
        if self.segments and not self.segments[-1].sealed:
            return self.segments[-1]
        return None

    def begin_segment(self, data_at: int, now_us: int) -> Segment:
        """Return a new segment at the present end. ``data_at`` is the length of its head."""
        progress = self.progress
        return Segment(
            progress.next_seq,
            progress.max_dts,
            progress.format,
            progress.anchor,
            data_at,
            data_at,
            progress.next_seq,
            begun_us=now_us,
        )

    def wrote(self, segment: Segment, records: Iterable[bytes]) -> None:
        """Note records that were appended to the file of ``segment``, the newest one."""
        if not self.segments or self.segments[-1] is not segment:
            self.segments.append(segment)
        before = segment.size
        for data in records:
            segment.add(data, self.progress)
        self.bytes_held += segment.size - before

    def restore(self, segment: Segment, progress: Progress) -> None:
        """Add a segment of an earlier process, with the progress at its end."""
        self.segments.append(segment)
        self.progress = progress
        self.bytes_held += segment.bytes_held

    def skip_to(self, seq: int, gone_dts: int) -> None:
        """Skip the records before ``seq``, up to ``gone_dts``, which are lost."""
        self.progress.next_seq = max(self.progress.next_seq, seq)
        highest = self.progress.max_dts
        self.progress.max_dts = gone_dts if highest is None else max(highest, gone_dts)

    def remove(self, segment: Segment) -> None:
        self.segments.remove(segment)
        self.bytes_held -= segment.bytes_held

    # ------------------------------------------------------------------ where readers start

    def first_place(self, since_us: int | None = None) -> Place | None:
        """Return the place of the first random access point; None when there is none.

        Its head has a gap when earlier content, from ``since_us`` or from the session's beginning,
        is missing."""
        began_us = max(self.started_us, since_us or 0)
        for segment in self.segments:
            for entry, offset in segment.entries[:1]:
                head = segment.head(entry.seq)
                if segment.first_seq > self.origin_seq:
                    head += _gap(entry.dts, entry.utc_us - began_us)
                return Place(segment, entry.seq, offset, head, entry.dts)
        return None

    def place_before_utc(self, utc_us: int) -> Place | None:
        """Return the place of the last random access point at or before a moment, or None."""
        for segment in reversed(self.segments):
            at = bisect_right(segment.entries, utc_us, key=lambda entry: entry.at.utc_us)
            if at:
                entry, offset = segment.entries[at - 1]
                head = segment.head(entry.seq)
                return Place(segment, entry.seq, offset, head, entry.dts)
        return None

    def place_behind(self, dts: int) -> Place | None:
        """Return the place behind ``dts``, with a gap when content directly behind it is missing;
        None when the spool holds nothing behind ``dts``."""
        end: int | None = None
        for segment in self.segments:
            if end != segment.first_seq and _lies_before(segment, dts):
                return self._behind_hole(segment, dts)
            end = segment.end_seq
            if segment.max_dts is not None and segment.max_dts > dts:
                return Place(segment, segment.first_seq, segment.data_at, b"", dts, dts)
        return None

    def next_place(self, place: Place) -> Place | None:
        """Return the next place of a reader whose segment has ended or was deleted; None when it is
        not in the spool."""
        for segment in self.segments:
            if segment.first_seq == place.seq:
                return Place(segment, segment.first_seq, segment.data_at, b"", place.dts)
            if segment.first_seq > place.seq:
                return self._behind_hole(segment, place.dts)
        return None

    def _behind_hole(self, first: Segment, dts: int) -> Place | None:
        """Return the first random access point from ``first`` on, with the gap behind ``dts``."""
        for segment in self.segments:
            if segment.first_seq < first.first_seq:
                continue
            for entry, offset in segment.entries[:1]:
                head = segment.head(entry.seq) + gap_to(entry, dts)
                return Place(segment, entry.seq, offset, head, entry.dts)
        return None

    # ------------------------------------------------------------------ what is held elsewhere

    def floor_behind(self, acked_dts: int) -> int:
        """Return the first record needed by a recorder that holds all up to ``acked_dts``."""
        for segment in self.segments:
            if segment.max_dts is not None and segment.max_dts > acked_dts:
                return segment.first_seq
        return self.next_seq

    def floor_since(self, utc_us: int) -> int:
        """Return the first record needed by a recorder that asks for content since a moment."""
        place = self.place_before_utc(utc_us)
        return place.seq if place is not None else self.first_seq

    def below(self, floor: int) -> list[Segment]:
        """Return the complete segments that hold nothing from ``floor`` on."""
        return [s for s in self.segments if s.sealed and s.end_seq <= floor]


def gap_to(entry: Entry, dts: int) -> bytes:
    """Return the ``gap`` record between ``dts`` and a random access point."""
    return _gap(entry.dts, (entry.dts - dts) * 1_000_000 // TICKS_PER_SECOND)


def end_dts(last: Collection[int]) -> int | None:
    """Return the lowest acknowledged DTS of a recorder that holds a session to its end: the end of
    the track that ended first. ``last`` has the DTS of the tracks' last units."""
    newest = max(last, default=0)
    return min((dts for dts in last if newest - dts < TRACK_SKEW_TICKS), default=None)


def _lies_before(segment: Segment, dts: int) -> bool:
    """Return whether units between ``dts`` and the segment are missing."""
    return segment.before_dts is not None and dts < segment.before_dts


def _gap(dts: int, missing_us: int) -> bytes:
    seconds = max(0.0, round(missing_us / 1_000_000, 3))
    return encode(TimelineGap(dts=dts, wall_seconds=seconds))
