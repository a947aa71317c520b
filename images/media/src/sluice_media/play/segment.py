"""Segments of a session: parts, tracks and times, without their place in a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def track_name(track: int) -> str:
    """Return the name of a track in URLs: ``video``, ``audio``, ``audio2`` and so on."""
    if track == 0:
        return "video"
    return "audio" if track == 1 else f"audio{track}"


def track_number(name: str) -> int | None:
    """Return the track with that name in URLs; None when no track can have it."""
    if name in ("video", "audio"):
        return int(name == "audio")
    digits = name.removeprefix("audio")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 3
    return int(digits) if is_number and track_name(int(digits)) == name else None


def utc_us(moment: datetime) -> int:
    """Return a wall clock time as microseconds since the Unix epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def utc_text(moment_us: int) -> str:
    """Return a wall clock time in microseconds as RFC 3339 text with milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=moment_us // 1_000)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@dataclass(slots=True)
class Part:
    """A part of a track's segment."""

    start: int
    """Decode time of its first sample in CMAF, 90 kHz."""
    duration: int
    size: int
    is_independent: bool
    data: bytes | None
    """Its bytes; None when they are only on disk."""


@dataclass(slots=True)
class TrackSegment:
    """The part list of one track in one segment."""

    parts: list[Part] = field(default_factory=list)
    is_closed: bool = False
    size: int = 0
    """Sum of the parts' sizes in bytes."""

    @property
    def is_empty(self) -> bool:
        """True when the segment is closed and no unit of the track came."""
        return self.is_closed and not self.parts

    @property
    def start(self) -> int:
        """Decode time of the first sample in CMAF. There must be a part."""
        return self.parts[0].start

    @property
    def duration(self) -> int:
        """Ticks from the first sample to the end of the last one; 0 without a part."""
        if not self.parts:
            return 0
        last = self.parts[-1]
        return last.start + last.duration - self.parts[0].start

    def append(self, part: Part) -> None:
        self.parts.append(part)
        self.size += part.size


@dataclass(slots=True, frozen=True)
class Period:
    """Consecutive segments with one format and one relation of media time to presentation time."""

    number: int
    """Number of its first segment."""
    start: int
    """Media time at which it starts: the first segment's time in CMAF."""
    offset: int
    """Wall clock time of media time 0 in this period, in 1/9 of a microsecond. Later periods have
    no lower one: when another source repeats media, presentation times go on and do not overlap."""

    def wall_us(self, media_time: int) -> int:
        """Return the wall clock time at which a media time is presented, microseconds UTC."""
        return (self.offset + media_time * 100) // 9


@dataclass(slots=True)
class Segment:
    """A segment of the session with all its tracks."""

    number: int
    run: str
    dts: int
    pts: int
    format_number: int
    shift: int
    target_seconds: int
    anchor_dts: int
    anchor_us: int
    """Wall clock time of ``anchor_dts``, microseconds since the Unix epoch."""
    reference: int
    """Number of the reference track."""
    tracks: dict[int, TrackSegment]
    period: Period | None = None
    """Period of the segment. The table sets it, except for the first segment of a window that was
    copied: there it keeps a period that began before the window."""

    @property
    def start(self) -> int:
        """Media time of the segment in CMAF, 90 kHz: the PTS of its first picture."""
        return self.dts + self.shift

    @property
    def size(self) -> int:
        """Bytes of all parts so far."""
        return sum(track.size for track in self.tracks.values())

    @property
    def is_closed(self) -> bool:
        """True when no track gets another unit."""
        return all(track.is_closed for track in self.tracks.values())

    @property
    def is_published(self) -> bool:
        """True when the reference track is complete."""
        return self.tracks[self.reference].is_closed

    @property
    def duration(self) -> int:
        """Duration of the reference track so far, 90 kHz."""
        return self.tracks[self.reference].duration

    @property
    def offset(self) -> int:
        """Wall clock time of media time 0, in 1/9 of a microsecond."""
        return self.anchor_us * 9 - (self.anchor_dts + self.shift) * 100

    def wall_us(self, media_time: int) -> int:
        """Return the wall clock time of a media time in CMAF, microseconds UTC."""
        return (self.offset + media_time * 100) // 9

    def period_behind(self, before: Segment | None) -> Period:
        """Return the period of the segment. ``before`` is the segment before it in the window."""
        if before is None or before.period is None:
            return self.period or Period(self.number, self.start, self.offset)
        known = before.period
        if (
            self.number == before.number + 1
            and self.format_number == before.format_number
            and self.offset <= known.offset
            and self._units() == before._units()
        ):
            return known
        return Period(self.number, self.start, max(self.offset, known.offset))

    def _units(self) -> list[bool]:
        """Return, for each track, whether it has units or may still get them."""
        return [not track.is_empty for track in self.tracks.values()]


def number_of(segment: Segment) -> int:
    """Return the number of a segment, by which windows are sorted."""
    return segment.number
