"""Segment table of one session: the content of all playlists.

In: the events of the cutter, and segments that another pod or the disk has. Out: segments, parts
and formats by their numbers, and facts that playlists print. Equal tables give equal playlists.
The table does not read a clock.
"""

from __future__ import annotations

from bisect import bisect_left

from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat
from sluice_media.play.cutter import (
    Event,
    PartClosed,
    SegmentBegun,
    SegmentDropped,
    SessionEnded,
    TrackClosed,
    reference_track,
)
from sluice_media.play.rates import RateWindow
from sluice_media.play.segment import Part, Segment, TrackSegment, number_of, utc_us

MAX_HOLE = 1_000
"""Maximum number of missing segments in a window. Behind a larger hole, a new window begins."""
_MIN_WINDOW_TARGETS = 4
"""Minimum window in target durations; HLS clients need at least 3."""
_MAX_AHEAD = 2
"""Segments beyond the last one for which a blocking request is answered (RFC 8216bis, 6.2.5.2)."""


class SegmentTable:
    """The window of a session's segments, oldest first. Numbers may be missing: a hole."""

    def __init__(self, session: str, started_us: int, window_seconds: int) -> None:
        self.session = session
        self.started_us = started_us
        """Start of the session, microseconds UTC. All pods read the same value in the timeline."""
        self.window_seconds = window_seconds
        self.segments: list[Segment] = []
        self.formats: dict[int, tuple[TrackFormat, ...]] = {}
        """Tracks by format number."""
        self.is_ended = False
        self.version = 0
        """Number of changes."""
        self.structure = 0
        """Number of changes other than a new part of the newest segments."""
        self.rewrites = 0
        """Number of changes of the window other than at its two ends."""
        self._by_number: dict[int, Segment] = {}
        self._rates: dict[int, RateWindow] = {}
        self._rates_at = -1

    def apply(self, event: Event) -> list[Segment]:
        """Take an event of the cutter. Return the segments that left the window."""
        self.version += 1
        if isinstance(event, PartClosed):
            segment = self._by_number.get(event.number)
            if segment is not None and not segment.tracks[event.track].is_closed:
                part = Part(
                    event.start,
                    event.duration,
                    len(event.data),
                    event.is_independent,
                    event.data,
                )
                segment.tracks[event.track].append(part)
            return []
        self.structure += 1
        if isinstance(event, SegmentBegun):
            return self._begin(event)
        if isinstance(event, TrackClosed):
            self._close(event)
        elif isinstance(event, SegmentDropped):
            return self._remove(event.number)
        elif isinstance(event, SessionEnded):
            self.is_ended = True
        return []

    def insert(self, segment: Segment, formats: tuple[TrackFormat, ...]) -> bool:
        """Add a closed segment that another pod or the disk has.

        Return False when the table has the segment with all its content already.
        """
        known = self._by_number.get(segment.number)
        if known is not None and (known.is_closed or not segment.is_closed):
            return False
        self.version += 1
        self.structure += 1
        self.formats.setdefault(segment.format_number, formats)
        index = bisect_left(self.segments, segment.number, key=number_of)
        self.segments[index : index + (known is not None)] = [segment]
        self._by_number[segment.number] = segment
        self.rewrites += 1
        self._link(index)
        return True

    def trim(self) -> list[Segment]:
        """Remove and return the segments that are older than the window."""
        if not self.segments:
            return []
        oldest_start = self.segments[-1].start - self.depth_seconds * TICKS_PER_SECOND
        count = 0
        while count + 1 < len(self.segments) and self.segments[count + 1].start <= oldest_start:
            count += 1
        return self._drop(count)

    def drop_until(self, number: int) -> list[Segment]:
        """Remove and return the segments below ``number``; the newest one always stays."""
        count = 0
        while count + 1 < len(self.segments) and self.segments[count].number < number:
            count += 1
        self.version += bool(count)
        return self._drop(count)

    def get(self, number: int) -> Segment | None:
        return self._by_number.get(number)

    def track(self, track: int, number: int) -> TrackSegment | None:
        """Return a track's segment; None when the table does not have it."""
        segment = self._by_number.get(number)
        return segment.tracks.get(track) if segment else None

    def part(self, track: int, number: int, index: int) -> Part | None:
        """Return a part; None when it does not exist yet, or not any more."""
        found = self.track(track, number)
        return found.parts[index] if found and 0 <= index < len(found.parts) else None

    @property
    def is_published(self) -> bool:
        """True when there are playlists: the reference track of a segment is complete."""
        return any(segment.is_published for segment in self.segments)

    @property
    def newest_format(self) -> int:
        """Format number of the newest published segment. The table must be published."""
        published = (s for s in reversed(self.segments) if s.is_published)
        return next(published).format_number

    @property
    def target_seconds(self) -> int:
        """Target duration: that of the newest segment, because it never shrinks."""
        return self.segments[-1].target_seconds

    @property
    def depth_seconds(self) -> int:
        """Length of the window in seconds."""
        return max(self.window_seconds, _MIN_WINDOW_TARGETS * self.target_seconds)

    @property
    def end(self) -> int:
        """Media time of the end of the newest part of the reference track, 90 kHz."""
        newest = self.segments[-1]
        return newest.start + newest.duration

    @property
    def tracks(self) -> list[int]:
        """Numbers of all tracks in the window, in ascending order."""
        return sorted({f.track for formats in self.formats.values() for f in formats})

    def format_of(self, track: int, format_number: int) -> TrackFormat | None:
        """Return the format of a track; None when the track is not in that format."""
        formats = self.formats.get(format_number, ())
        return next((f for f in formats if f.track == track), None)

    def last(self, track: int) -> tuple[int, int] | None:
        """Return the number of the newest segment of a track in its playlist, and the number of
        its parts. A segment that has only begun does not count. None before the first part."""
        for segment in reversed(self.segments):
            found = segment.tracks.get(track)
            if found is None:
                if segment.is_published:
                    return segment.number, 0
            elif found.parts or found.is_closed:
                return segment.number, len(found.parts)
        return None

    def has_reached(self, track: int, number: int, part: int | None) -> bool:
        """Return whether a playlist has the segment ``number``, or its part number ``part``.

        A part behind the last one of a closed segment is the first part of the next segment
        (RFC 8216bis, 6.2.5.2). Every request is reached when the session is over.
        """
        if self.is_ended:
            return True
        last = self.last(track)
        if last is None:
            return False
        if last[0] != number:
            return last[0] > number
        found = self.track(track, number)
        is_closed = found is None or found.is_closed
        if part is None:
            return is_closed
        return last[1] > part

    def is_too_far(self, track: int, number: int) -> bool:
        """Return whether a blocking request for a segment must be answered with 400."""
        last = self.last(track)
        newest = last[0] if last else -1
        return number > newest + _MAX_AHEAD

    def rate(self, track: int) -> tuple[int, int] | None:
        """Return the peak and the average bit rate of a track in the window, in bit/s, rounded up
        to steps; None before the first closed segment."""
        if self._rates_at != self.rewrites:
            self._rates, self._rates_at = {}, self.rewrites
        window = self._rates.setdefault(track, RateWindow())
        segments = self.segments
        if segments:
            window.drop_before(segments[0].number)
        for segment in segments[bisect_left(segments, window.next, key=number_of) :]:
            found = segment.tracks.get(track)
            if found is not None and not found.is_closed:
                break
            if found is not None:
                window.add(segment.number, found.size, found.duration)
        return window.rates()

    def _begin(self, event: SegmentBegun) -> list[Segment]:
        record = event.record
        newest = self.segments[-1].number if self.segments else record.number
        if record.number in self._by_number or record.number < newest:
            return []
        dropped: list[Segment] = []
        if record.number - newest > MAX_HOLE:
            dropped = self._drop(len(self.segments))
        segment = Segment(
            number=record.number,
            run=record.run,
            dts=record.dts,
            pts=record.pts,
            format_number=record.format_number,
            shift=record.shift,
            target_seconds=record.target_seconds,
            anchor_dts=record.anchor_dts,
            anchor_us=utc_us(record.anchor_utc),
            reference=reference_track(event.formats),
            tracks={f.track: TrackSegment() for f in event.formats},
        )
        self.formats[record.format_number] = event.formats
        self.segments.append(segment)
        self._by_number[segment.number] = segment
        self._link(len(self.segments) - 1)
        return dropped + self.trim()

    def _close(self, event: TrackClosed) -> None:
        segment = self._by_number.get(event.number)
        if segment is None:
            return
        track = segment.tracks[event.track]
        track.is_closed = True
        if track.is_empty:
            self.rewrites += 1
            self._link(self.segments.index(segment))

    def _remove(self, number: int) -> list[Segment]:
        segment = self._by_number.get(number)
        if segment is None or segment.is_closed:
            return []
        self.rewrites += 1
        self.segments.remove(segment)
        del self._by_number[number]
        return [segment]

    def _drop(self, count: int) -> list[Segment]:
        """Remove and return the oldest segments."""
        dropped = self.segments[:count]
        del self.segments[:count]
        for segment in dropped:
            del self._by_number[segment.number]
        oldest = self.segments[0].format_number if self.segments else None
        if dropped and dropped[0].format_number != oldest:
            needed = {segment.format_number for segment in self.segments}
            self.formats = {k: v for k, v in self.formats.items() if k in needed}
        return dropped

    def _link(self, index: int) -> None:
        """Set the periods of the segment at ``index``, and of those behind it that change."""
        before = self.segments[index - 1] if index else None
        for position in range(index, len(self.segments)):
            segment = self.segments[position]
            period = segment.period_behind(before)
            if position > index and period == segment.period:
                break
            segment.period = period
            before = segment
