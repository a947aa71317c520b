"""Cutter of a session's timeline into CMAF parts and segments.

In: the records of one session, in their order. Out: events, with the bytes of each part.

The events follow only from the records, so two pods that read one timeline write equal bytes, also
when they begin at different segments:

- A segment begins at the unit of the reference track that its record names, and on every other
  track at the first unit, behind the record, that is not older. A track whose unit does not come
  until the reference track is 1 s ahead begins its segment without one.
- A unit is placed when the next unit of its track arrives. Its duration is then exact. A unit
  without a next one lasts as long as the unit before it in its segment (AAC: a frame).
- A part ends when one more frame of the same duration would exceed :data:`PART_TICKS`.
- A cutter begins only at a unit that begins a segment, and writes no segment of which it may lack a
  unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineSegment
from sluice_media.formats.cmaf import Sample, fragment
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat, TrackKind
from sluice_media.timeline.framing import Record, track_formats

PART_TICKS = 46_800
"""Maximum duration of a part: 520 ms. With 500 ms, AAC at 48 kHz would leave a part of one frame in
every segment of 2 s, and 15 frames of 29.97 per second would not fit."""
LATE_TICKS = TICKS_PER_SECOND
"""Time after which a track's segment closes although no unit has come."""
LONGEST_SAMPLE = TICKS_PER_SECOND
"""Maximum duration of a sample. A longer step means that media is missing: players jump over a hole
but would show a frozen picture for the whole duration of a sample."""
PART_BITS = 10
"""The sequence number of a fragment is ``segment number << PART_BITS | part number``."""
_DEFAULT_PICTURE_TICKS = 3_600


@dataclass(slots=True, frozen=True)
class SegmentBegun:
    """A segment begins. The segment before it gets no more units of the reference track."""

    record: TimelineSegment
    formats: tuple[TrackFormat, ...]
    """The tracks of the segment."""


@dataclass(slots=True, frozen=True)
class PartClosed:
    """A part of a segment is complete."""

    track: int
    number: int
    index: int
    """Index of the part in the segment, from 0."""
    start: int
    """Decode time of its first sample in CMAF, 90 kHz; the PTS when that is a keyframe."""
    duration: int
    is_independent: bool
    """True when decoding can start at the part."""
    data: bytes
    arrived_us: int = 0
    """Arrival of its last sample at Sluice, by the clock of the hub's node, microseconds UTC."""


@dataclass(slots=True, frozen=True)
class TrackClosed:
    """A track's segment is complete. It has no part when no unit of the track came."""

    track: int
    number: int


@dataclass(slots=True, frozen=True)
class SegmentDropped:
    """Units of an open segment were lost on the way. The segment must not be used any more."""

    number: int


@dataclass(slots=True, frozen=True)
class SessionEnded:
    """The session is over, and all segments are closed."""


Event = SegmentBegun | PartClosed | TrackClosed | SegmentDropped | SessionEnded


def reference_track(formats: Sequence[TrackFormat]) -> int:
    """Return the track that the grid follows: the video track, else the first audio track."""
    for track_format in formats:
        if track_format.kind is TrackKind.VIDEO:
            return track_format.track
    return formats[0].track


class Cutter:
    """Cutter of one session; another session needs a new cutter."""

    def __init__(self) -> None:
        self.session: str | None = None
        """Id of the session; None before the first ``format`` record."""
        self._formats: tuple[TrackFormat, ...] = ()
        self._reference: int | None = None
        """Reference track of the newest formats."""
        self._next: TimelineSegment | None = None
        """Segment whose first unit has not come."""
        self._current: TimelineSegment | None = None
        self._tracks: dict[int, _Track] = {}
        self._open: list[int] = []
        """Numbers of the segments that some track has not closed, oldest first."""

    def feed(self, record: Record | TimelineSegment) -> list[Event]:
        """Return the events that follow from a record.

        Raises ValueError for the record of another session, FramingError for an unknown codec.
        """
        if isinstance(record, AccessUnit):
            return self._unit(record)
        if isinstance(record, TimelineSegment):
            # After a reconnect, the hub sends the record in force again.
            if self._current is None or record.number > self._current.number:
                self._next = record
        elif isinstance(record, TimelineFormat):
            if self.session not in (None, record.timeline):
                raise ValueError(f"session {record.timeline} needs a cutter of its own")
            self.session = record.timeline
            self._formats = track_formats(record.tracks)
            self._reference = reference_track(self._formats) if self._formats else None
        elif isinstance(record, TimelineEnd):
            return self._end()
        return []

    def drop_open(self) -> list[Event]:
        """Drop the open segments, because records were lost. Continue at the next segment."""
        events: list[Event] = [SegmentDropped(number) for number in self._open]
        self._open = []
        self._tracks = {}
        return events

    def _unit(self, unit: AccessUnit) -> list[Event]:
        events: list[Event] = []
        if self._next is not None and unit.track == self._reference:
            if unit.dts == self._next.dts:
                events = self._begin(self._next)
                self._next = None
            elif unit.dts > self._next.dts:
                # The unit is in the middle of the segment, so the units before it were lost.
                self._next = None
                events = self.drop_open()
        track = self._tracks.get(unit.track)
        if track is None:
            return events
        track.add(unit, events)
        if unit.track == self._reference:
            limit = unit.dts - LATE_TICKS
            for other in self._tracks.values():
                if other is not track and other.pending and other.pending[0].dts <= limit:
                    other.begin_late(limit, events)
        if len(self._open) > 1:
            self._forget_closed()
        return events

    def _begin(self, record: TimelineSegment) -> list[Event]:
        events: list[Event] = []
        if self._current is not None and record.number != self._current.number + 1:
            events = self.drop_open()
        self._current = record
        self._open.append(record.number)
        events.append(SegmentBegun(record, self._formats))
        formats = {f.track: f for f in self._formats}
        for number in formats:
            if number not in self._tracks:
                self._tracks[number] = _Track(number)
        for number, track in self._tracks.items():
            track.pending.append(_Boundary(record, formats.get(number)))
        return events

    def _end(self) -> list[Event]:
        events: list[Event] = []
        # The reference track first: the duration of its segment is that of a segment without units.
        for track in sorted(self._tracks.values(), key=lambda t: t.number != self._reference):
            track.finish(events)
        self._tracks, self._open, self._next = {}, [], None
        events.append(SessionEnded())
        return events

    def _forget_closed(self) -> None:
        oldest = min(track.oldest_open(self._open[-1]) for track in self._tracks.values())
        while self._open[0] < oldest:
            self._open.pop(0)
        for number in [n for n, track in self._tracks.items() if track.has_vanished()]:
            del self._tracks[number]


@dataclass(slots=True, frozen=True)
class _Boundary:
    """A segment, as one track sees it."""

    record: TimelineSegment
    track_format: TrackFormat | None
    """None when the track is not in the segment."""

    @property
    def dts(self) -> int:
        return self.record.dts


class _Track:
    """One track: the open segment, the units that are not in a part, and the next boundaries."""

    __slots__ = (
        "_arrived_us",
        "_before",
        "_held",
        "_last_dts",
        "_open",
        "_part",
        "_samples",
        "number",
        "pending",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.pending: deque[_Boundary] = deque()
        """Segments that have begun on the reference track and not on this one."""
        self._open: _Boundary | None = None
        self._held: AccessUnit | None = None
        """Newest unit of the open segment, whose duration is not known yet."""
        self._samples: list[Sample] = []
        """Units of the open part."""
        self._arrived_us = 0
        """Arrival of the newest of them."""
        self._before: int | None = None
        """Duration of the last sample in the open segment."""
        self._part = 0
        self._last_dts: int | None = None

    def add(self, unit: AccessUnit, events: list[Event]) -> None:
        """Take a unit. A unit that is not newer than the one before it was sent again."""
        dts = unit.dts
        if self._last_dts is not None and dts <= self._last_dts:
            return
        self._last_dts = dts
        held = self._held
        if held is not None:
            self._place(held, min(dts - held.dts, LONGEST_SAMPLE), events)
            self._held = None
        while self.pending and dts >= self.pending[0].dts:
            self._turn(events)
        if self._open is not None and self._open.track_format is not None:
            self._held = unit

    def begin_late(self, limit: int, events: list[Event]) -> None:
        """Begin all segments up to the DTS ``limit`` without a unit."""
        self._place_held(events)
        while self.pending and self.pending[0].dts <= limit:
            self._turn(events)

    def finish(self, events: list[Event]) -> None:
        """Close all segments."""
        self._place_held(events)
        while self.pending:
            self._turn(events)
        self._close(events)

    def oldest_open(self, newest: int) -> int:
        """Return the oldest segment that this track has not closed; ``newest`` without one."""
        if self._open is not None:
            return self._open.record.number
        return self.pending[0].record.number if self.pending else newest

    def has_vanished(self) -> bool:
        """Return whether the newest segment does not have the track."""
        is_open = self._open is not None and self._open.track_format is not None
        return not is_open and not self.pending

    def _turn(self, events: list[Event]) -> None:
        self._close(events)
        self._open = self.pending.popleft()
        self._part, self._before = 0, None

    def _close(self, events: list[Event]) -> None:
        if self._open is None or self._open.track_format is None:
            return
        self._close_part(events)
        events.append(TrackClosed(self.number, self._open.record.number))
        self._open = None

    def _place_held(self, events: list[Event]) -> None:
        if self._held is not None and self._open is not None and self._open.track_format:
            duration = _last_duration(self._open.track_format, self._before)
            self._place(self._held, duration, events)
            self._held = None

    def _place(self, unit: AccessUnit, duration: int, events: list[Event]) -> None:
        samples = self._samples
        if samples and unit.dts + duration - samples[0].dts > PART_TICKS:
            self._close_part(events)  # the unit is longer than those before it
            samples = self._samples
        samples.append(Sample(unit.dts, unit.pts, duration, unit.is_random_access, unit.payload))
        self._arrived_us = unit.utc_us
        self._before = duration
        if unit.dts + 2 * duration - samples[0].dts > PART_TICKS:
            self._close_part(events)

    def _close_part(self, events: list[Event]) -> None:
        samples, segment = self._samples, self._open
        if not samples or segment is None or segment.track_format is None:
            return
        is_video = segment.track_format.kind is TrackKind.VIDEO
        shift = segment.record.shift if is_video else 0
        first, last = samples[0], samples[-1]
        number = segment.record.number
        sequence = number << PART_BITS | self._part
        events.append(
            PartClosed(
                track=self.number,
                number=number,
                index=self._part,
                start=first.dts + shift,
                duration=last.dts + last.duration - first.dts,
                is_independent=first.is_sync or not is_video,
                data=fragment(sequence, samples, is_video=is_video, shift=shift),
                arrived_us=self._arrived_us,
            )
        )
        self._part += 1
        self._samples = []


def _last_duration(track_format: TrackFormat, before: int | None) -> int:
    """Return the duration of a unit without a next one; ``before`` is that of the unit before."""
    if track_format.kind is TrackKind.AUDIO:
        try:
            config = aac.parse_asc(track_format.config)
        except CodecError:
            return before or _DEFAULT_PICTURE_TICKS
        return config.samples_per_frame * TICKS_PER_SECOND // config.sample_rate
    if before is not None:
        return before
    rate = video_facts(track_format).frame_rate
    if rate is None or not 1 <= rate <= TICKS_PER_SECOND:
        return _DEFAULT_PICTURE_TICKS
    return round(TICKS_PER_SECOND / rate)
