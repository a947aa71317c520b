"""One session's output: an append-only sequence of records, and the start of a reader in it.

In: output units, formats, gaps, anchors and the end. Out: records in a :class:`Ring`, and for each
new reader a place in it with the records at the head of its reply.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from sluice_media.contract import (
    LegGrid,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineSegment,
)
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat, TrackKind
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.output.grid import Grid, Numbers
from sluice_media.hub.output.ring import KEEP_SECONDS, Entry, Ring
from sluice_media.hub.spool.session import Place, SpooledSession, end_dts, gap_to
from sluice_media.timeline.framing import Record, encode, encode_unit, track_infos

_NEAR = TICKS_PER_SECOND // 2
"""Distance by which an adopted timeline may begin behind a reader's position without a loss: one
frame, or an audio frame that came before its picture."""

RECENT_TICKS = int(KEEP_SECONDS) * TICKS_PER_SECOND
"""Maximum age of content from disk for readers that are not recorders."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Request:
    """The position from which a reader asks for content.

    Without ``timeline``, ``since_us`` and ``session_us``, ``whole`` decides."""

    timeline: str | None = None
    dts: int = 0
    """DTS of ``timeline`` after which content is requested."""
    held_until_us: int | None = None
    """Arrival time of the reader's last unit at its hub, microseconds UTC."""
    since_us: int | None = None
    """Wall clock; content is requested from the last random access point at or before it."""
    whole: bool = False
    """True: from the oldest content (a recorder). False: from the newest random access point."""
    recorder: bool = False
    """True for recorders, which also get old content from disk."""
    numbers: Numbers | None = None
    """Newest segment and format number that the reader has; None when it does not count them."""
    session_us: int | None = None
    """Start of the session that is requested from its beginning; None: any session."""


@dataclass(slots=True, frozen=True)
class Start:
    """The first record of a reply."""

    seq: int
    head: bytes
    """Records before the one at ``seq``: format, anchor, segment and, if content is missing, a
    gap."""
    place: Place | None = None
    """Place of the record and of its head in the spool; None when the record is in the ring."""


@dataclass(slots=True, kw_only=True)
class OutputTimeline:
    """The records of one session, in a ring and, when it is spooled, on disk."""

    id: str
    epoch: int
    stream_uid: str
    title: str
    started_us: int
    last_dts: int
    """DTS of the last unit that went out; before the first one, the start of the timeline."""
    grid: Grid
    """The numbering of its segments."""
    ring: Ring = field(default_factory=Ring)
    ended: bool = False
    auto: bool = False
    """True when its content began while ``autoRecord`` was on."""
    fully_recorded: bool = False
    """True when it has ended and every recorder that asked for it holds all of it."""
    spooled: SpooledSession | None = None
    """Its content on disk; None when it is not spooled."""
    formats: tuple[TrackFormat, ...] = ()
    _video_tracks: set[int] = field(default_factory=set)
    _last_us: int = 0
    _format_records: list[tuple[int, bytes]] = field(default_factory=list)
    _anchor_records: list[tuple[int, bytes]] = field(default_factory=list)
    _segment_records: list[tuple[int, bytes]] = field(default_factory=list)
    _segments: list[TimelineSegment] = field(default_factory=list)
    """The segments of ``_segment_records``."""
    _track_ends: dict[int, int] = field(default_factory=dict)
    """DTS of the last unit, by track."""

    @property
    def end_dts(self) -> int | None:
        """Lowest acknowledged DTS of a recorder that holds the whole timeline."""
        return end_dts(self._track_ends.values())

    @classmethod
    def restored(cls, spooled: SpooledSession) -> OutputTimeline:
        """Return the timeline of a session that an earlier process spooled."""
        progress = spooled.progress
        last_dts = progress.max_dts or 0
        timeline = cls(
            id=spooled.timeline,
            epoch=spooled.epoch,
            stream_uid=spooled.stream_uid,
            title=spooled.title,
            started_us=spooled.started_us,
            last_dts=last_dts,
            grid=Grid(0),  # an ended session has no more segments; revive() gets another grid
            ring=Ring(first=progress.next_seq - progress.ended, trimmed_dts=last_dts),
            ended=progress.ended,
            auto=spooled.auto,
            spooled=spooled,
        )
        timeline._last_us = progress.last_us
        if progress.ended:
            # Readers that miss only the end record read it from the ring.
            timeline._append(progress.end)
        timeline._track_ends = {track: end.dts for track, end in progress.tracks.items()}
        timeline._format_records.append((progress.next_seq - 1, progress.format))
        timeline._anchor_records.append((progress.next_seq - 1, progress.anchor))
        return timeline

    @property
    def last_us(self) -> int:
        """Arrival time of the last unit, microseconds UTC."""
        return self._last_us

    def revive(self, epoch: int, title: str, grid: Grid) -> None:
        """Continue a restored timeline in this process."""
        self.epoch, self.title, self.grid = epoch, title, grid
        if self.spooled is not None:
            self.spooled.epoch, self.spooled.title = epoch, title

    def enable_auto_record(self) -> None:
        """Mark the session for a Recording, because ``autoRecord`` is on."""
        self.auto = True
        if self.spooled is not None:
            self.spooled.auto = True

    def append_formats(self, formats: tuple[TrackFormat, ...]) -> None:
        """Append a format record."""
        if self.formats:
            self.grid.change_formats()
        self.formats = formats
        self._video_tracks = {f.track for f in formats if f.kind is TrackKind.VIDEO}
        record = TimelineFormat(
            timeline=self.id,
            epoch=self.epoch,
            stream_uid=self.stream_uid,
            title=self.title,
            session_started_at=datetime_of(self.started_us),
            tracks=track_infos(formats),
        )
        self._remember(self._format_records, record)

    def append_gap(self, dts: int, wall_seconds: float) -> None:
        """Append a gap: media is missing before the unit at ``dts``, which follows."""
        self._append(encode(TimelineGap(dts=dts, wall_seconds=max(0.0, round(wall_seconds, 3)))))

    def append_anchor(self, dts: int, utc_us: int) -> None:
        """Append an anchor: the wall clock of the unit at ``dts``, which follows."""
        self.grid.anchor(dts, utc_us)
        self._remember(self._anchor_records, TimelineAnchor(dts=dts, utc=datetime_of(utc_us)))

    def leg_grid(self, place_dts: int) -> LegGrid | None:
        """Return the grid for a hub that continues with media from ``place_dts`` on, or from before
        it; None before the first segment."""
        newest = self.grid.last
        if newest is None:
            return None
        segments = self._segments or [newest]
        at = bisect_right(segments, place_dts, key=lambda segment: segment.dts)
        return LegGrid(
            segment_seconds=self.grid.segment_seconds,
            segment=segments[max(0, at - 1)],
            place_dts=max(place_dts, segments[0].dts),
            newest_number=newest.number,
            newest_format_number=newest.format_number,
        )

    def append_unit(self, unit: AccessUnit, *, is_reference: bool) -> None:
        """Append a unit, and before it the record of the segment that it begins."""
        if is_reference:
            for segment in self.grid.place(unit, is_video=unit.track in self._video_tracks):
                self._remember(self._segment_records, segment)
                self._segments.append(segment)
                del self._segments[: len(self._segments) - len(self._segment_records)]
        self.last_dts, self._last_us = unit.dts, unit.utc_us
        self._track_ends[unit.track] = unit.dts
        self.ring.append(
            encode_unit(unit),
            dts=unit.dts,
            utc_us=unit.utc_us,
            is_unit=True,
            is_entry=unit.is_random_access,
        )

    def append_end(self, reason: str, finished_us: int) -> None:
        """Append the end record."""
        self._append(encode(TimelineEnd(reason=reason, finished_at=datetime_of(finished_us))))
        self.ended = True

    def release(self) -> None:
        """Release the ring except for the end record, which readers with all the rest ask for."""
        self.ring.release(self.ring.head - self.ended)

    def start(self, request: Request) -> Start:
        """Return the start of the reply to ``request``. The timeline must have a format."""
        if request.timeline == self.id:
            return self._start_behind(request)
        place = self._old_place(request)
        if place is not None and place.seq < self.ring.first:
            return Start(place.seq, b"", place)
        entry: Entry | None
        if request.session_us is not None:
            return self._start_of_session()
        if request.since_us is not None:
            entry = self.ring.entry_before_utc(request.since_us)
        else:
            entry = self.ring.oldest if request.whole else self.ring.newest
        seq = entry.seq if entry else self.ring.head
        return Start(seq, self.head(seq))

    def behind_hole(self, dts: int) -> Start:
        """Return the start at the ring's oldest content, behind a gap, for a reader that holds
        everything up to ``dts``."""
        oldest = self.ring.oldest
        if oldest is None:
            return Start(self.ring.first, b"")
        return Start(oldest.seq, self.head(oldest.seq) + gap_to(oldest, dts))

    def holds_content(self) -> bool:
        """Return whether there is a random access point for a reader to begin with."""
        on_disk = self.spooled is not None and self.spooled.first_place() is not None
        return on_disk or self.ring.oldest is not None

    def spool(self) -> None:
        """Begin to spool the timeline, from its oldest record on."""
        ring = self.ring
        self.spooled = SpooledSession(
            timeline=self.id,
            epoch=self.epoch,
            stream_uid=self.stream_uid,
            title=self.title,
            started_us=self.started_us,
            origin_seq=ring.first,
            before_dts=ring.trimmed_dts,
            auto=self.auto,
        )
        self.spool_from_ring(self.spooled)

    def spool_from_ring(self, spooled: SpooledSession) -> None:
        """Continue the spool at the ring's oldest record; the records before it are lost."""
        ring = self.ring
        if ring.trimmed_dts is not None:
            spooled.skip_to(ring.first, ring.trimmed_dts)
        progress = spooled.progress
        progress.format = _in_force(self._format_records, ring.first)
        progress.anchor = _in_force(self._anchor_records, ring.first)

    def seq_for_pin(self, since_us: int, acked_dts: int | None) -> int | None:
        """Return the first record that a Recording needs in the ring; None without an entry."""
        entry = (
            self.ring.entry_before_utc(since_us)
            if acked_dts is None
            else self.ring.entry_before_dts(acked_dts)
        )
        return entry.seq if entry else None

    def _old_place(self, request: Request) -> Place | None:
        """Return the place in the spool for a request of a session or a moment; None: not in the
        spool."""
        spooled = self.spooled
        if spooled is None or not (request.recorder or request.session_us is not None):
            return None
        if request.session_us is not None:
            return spooled.first_place()
        if request.since_us is None:
            return None
        oldest = self.ring.oldest
        if oldest is not None and oldest.utc_us <= request.since_us:
            return None
        return spooled.place_before_utc(request.since_us) or spooled.first_place(request.since_us)

    def _start_of_session(self) -> Start:
        """Return the start at the ring's oldest content, behind a gap when the session's beginning
        is missing."""
        oldest = self.ring.oldest
        if oldest is None:
            return Start(self.ring.head, self.head(self.ring.head))
        head = self.head(oldest.seq)
        if self.ring.trimmed_dts is not None:
            missing = max(0, oldest.utc_us - self.started_us) / 1_000_000
            head += encode(TimelineGap(dts=oldest.dts, wall_seconds=round(missing, 3)))
        return Start(oldest.seq, head)

    def _start_behind(self, request: Request) -> Start:
        ring, dts = self.ring, request.dts
        oldest = ring.oldest
        if ring.trimmed_dts is not None and ring.trimmed_dts > dts:
            recent = self.last_dts - dts <= RECENT_TICKS
            if self.spooled is not None and (request.recorder or recent):
                place = self.spooled.place_behind(dts)
                if place is not None and place.seq < ring.first:
                    return Start(place.seq, b"", place)
        if oldest is not None and self._has_lost(dts, oldest):
            return Start(oldest.seq, self.head(oldest.seq) + gap_to(oldest, dts))
        seq = ring.after(dts)
        # Records between the reader's last unit and the next one, such as a gap, are sent too.
        while seq > ring.first and not ring[seq - 1].is_unit:
            seq -= 1
        return Start(seq, self.head(seq))

    def _has_lost(self, dts: int, oldest: Entry) -> bool:
        if self.ring.trimmed_dts is not None:
            return self.ring.trimmed_dts > dts
        return oldest.dts > dts + _NEAR

    def head(self, seq: int) -> bytes:
        """Return the format, anchor and segment in force at ``seq``: empty at the beginning of the
        timeline, where the first ones follow."""
        heads = (self._format_records, self._anchor_records, self._segment_records)
        return b"".join(_in_force(records, seq) for records in heads)

    def _remember(self, records: list[tuple[int, bytes]], record: Record) -> None:
        data = encode(record)
        records.append((self.ring.head, data))
        # Of the records that have left the ring, only the last can still be in force.
        while len(records) > 1 and records[1][0] < self.ring.first:
            records.pop(0)
        self._append(data)

    def _append(self, data: bytes) -> None:
        self.ring.append(data, dts=self.last_dts, utc_us=self._last_us, is_unit=False)


def _in_force(records: list[tuple[int, bytes]], seq: int) -> bytes:
    return next((data for at, data in reversed(records) if at < seq), b"")
