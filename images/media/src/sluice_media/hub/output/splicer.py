"""The splicer: converts the times of a leg to the times of the timeline.

In: units of the active leg. Out: the units with output DTS and PTS; nothing for a unit that does
not belong to the output. DTS grows strictly per track for any source. Video and audio share one
offset, which keeps the source's lip sync. A gap is closed: after it, media time continues one frame
behind the last unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    TrackFormat,
    TrackKind,
    UnitFlags,
)

FIRST_DTS = TICKS_PER_SECOND
"""First DTS of a new timeline, with room for clock references and decoding delay before it."""

_BACKWARDS = TICKS_PER_SECOND
"""A larger step back means that the source has restarted its clock; a smaller one is jitter."""
_FORWARDS = 10 * TICKS_PER_SECOND
"""A larger step ahead of all tracks is another clock; a smaller one means that media is missing."""
_FORWARDS_AFTER_SILENCE = TICKS_PER_SECOND
"""After 2 s of silence, a smaller step means that no media is missing: it only arrived late."""
_LONGEST_FRAME = TICKS_PER_SECOND
_DEFAULT_VIDEO_FRAME = 3_600
_AAC_SAMPLES_PER_FRAME = 1_024
_FLAGS = (
    (UnitFlags.NONE, UnitFlags.RANDOM_ACCESS),
    (UnitFlags.DISCONTINUITY, UnitFlags.DISCONTINUITY | UnitFlags.RANDOM_ACCESS),
)
"""Unit flags by discontinuity and random access. Combining flags for each unit would cost more CPU
than the rest of the splicer."""
_DEFAULT_AUDIO_FRAME = 1_920


class TrackEnd(NamedTuple):
    """The last times of a track of the output."""

    dts: int
    pts: int
    """The highest PTS so far."""
    frame: int
    """Duration of the last frame."""

    @classmethod
    def after(cls, before: TrackEnd | None, dts: int, pts: int) -> TrackEnd:
        """Return the track's end after one more unit."""
        if before is None:
            return cls(dts, pts, _DEFAULT_AUDIO_FRAME)
        step = dts - before.dts
        frame = step if 0 < step <= _LONGEST_FRAME else before.frame
        return cls(dts, max(pts, before.pts), frame)


@dataclass(slots=True)
class _Track:
    last_out: int
    last_pts: int
    frame: int
    """Duration of the last frame."""
    _: KW_ONLY
    last_source: int | None = None
    """Source DTS of the last unit since the last splice."""
    fresh: bool = False
    """True when the next unit is the first after a discontinuity."""
    replaying: bool = False
    """True while a resumed leg repeats units; those that went out already are dropped."""


class Splicer:
    """The output clock of one session."""

    def __init__(self, before: Splicer | None = None) -> None:
        """Create a splicer, which continues the counters of the splicer ``before``."""
        self.offset = 0
        """Output DTS minus source DTS."""
        self.reference: int | None = None
        self.clamped: int = before.clamped if before else 0
        """Number of units, over all sessions, whose DTS had to be moved to grow."""
        self.dropped: int = before.dropped if before else 0
        """Number of units, over all sessions, that were older than their splice or out of step."""
        self._tracks: dict[int, _Track] = {}
        self._formats: dict[int, TrackFormat] = {}
        self._is_continued = False
        """True when an earlier hub began the timeline, so that a track's first unit here is not its
        first in the timeline."""
        self._entry_dts: int | None = None
        self._entry_pts: int | None = None
        """Source times of the unit at which the source was entered, before which units are dropped;
        None: no unit is dropped."""

    @property
    def started(self) -> bool:
        return bool(self._tracks)

    @property
    def last_dts(self) -> int:
        """Last DTS that went out; FIRST_DTS before the first unit."""
        return max((t.last_out for t in self._tracks.values()), default=FIRST_DTS)

    def take_formats(self, formats: tuple[TrackFormat, ...]) -> None:
        self._formats = {f.track: f for f in formats}

    def restore(self, tracks: Mapping[int, TrackEnd]) -> None:
        """Continue from the track ends of an earlier process. Units that went out then and are sent
        again are dropped."""
        for number, (dts, pts, frame) in tracks.items():
            self._tracks[number] = _Track(dts, pts, frame)

    def enter(self, first: AccessUnit, floor: int = FIRST_DTS) -> int:
        """Continue with a leg at ``first``, a random access point of its reference track.

        Return the output DTS of ``first``: one frame behind everything that went out, and at least
        ``floor``."""
        reorder = max(0, first.pts - first.dts)
        start = floor
        self._is_continued = floor > FIRST_DTS
        for number, track in self._tracks.items():
            start = max(start, track.last_out + track.frame)
            if number == first.track:
                # The new PTS must lie behind the highest PTS so far, in spite of reordering.
                start = max(start, track.last_pts + track.frame - reorder)
        self._begin(first, start - first.dts)
        self.interrupted()
        return start

    def resume(self, first: AccessUnit, offset: int) -> int:
        """Continue with a leg whose offset is known: its connection fed this hub or another one.

        Units that went out already are dropped. Return the number of missing ticks between the
        last unit and ``first``; 0 when no media is missing."""
        self._begin(first, offset)
        missing = 0
        for number, track in self._tracks.items():
            track.replaying = True
            if number == first.track:
                missing = first.dts + offset - track.last_out - track.frame
        if missing <= _FORWARDS_AFTER_SILENCE:
            return 0
        self.interrupted()
        return missing

    def interrupted(self) -> None:
        """Mark the next unit of each track as a discontinuity, because earlier media is missing."""
        for track in self._tracks.values():
            track.fresh = True

    def join(self, offset: int) -> None:
        """Continue with another leg that carries the same bitstream. The next unit may be any unit
        that has not gone out, not only a random access point."""
        self.offset = offset
        self._entry_dts = self._entry_pts = None
        for track in self._tracks.values():
            track.last_source = None
            track.replaying = True

    def last_source(self) -> int | None:
        """Return the source DTS of the reference track's last unit since the last splice."""
        track = self._tracks.get(self.reference) if self.reference is not None else None
        return track.last_source if track else None

    def latest_source(self) -> int | None:
        """Return the highest source DTS of all tracks since the last splice."""
        seen = [t.last_source for t in self._tracks.values() if t.last_source is not None]
        return max(seen, default=None)

    def in_step(self, unit: AccessUnit, *, after_silence: bool = False) -> bool:
        """Return whether a unit continues its source's clock.

        When a unit of the reference track does not, the source must be spliced in again."""
        track = self._tracks.get(unit.track)
        own = track.last_source if track else None
        limit = _FORWARDS_AFTER_SILENCE if after_silence else _FORWARDS
        if own is not None:
            step = unit.dts - own
            if step < -_BACKWARDS:
                return False
            if step <= limit:
                return True
        latest = self.latest_source()
        if latest is None:
            return True
        if unit.dts > latest + limit:
            return False
        return own is not None or unit.dts > latest - _FORWARDS

    def map(self, unit: AccessUnit) -> AccessUnit | None:
        """Return the unit with output times; None when it is dropped."""
        is_reference = unit.track == self.reference
        if self._leads_entry(unit, is_reference=is_reference):
            # Audio older than the entry picture, or a leading picture that refers to pictures
            # before the entry.
            self.dropped += 1
            return None
        dts = unit.dts + self.offset
        track = self._tracks.get(unit.track)
        if track is None:
            frame = self._default_frame(unit.track)
            track = self._tracks[unit.track] = _Track(dts, dts, frame, fresh=self._is_continued)
        elif track.replaying and dts <= track.last_out + track.frame // 2:
            # Half a frame of tolerance: a restarted demuxer may round a time differently.
            track.last_source = unit.dts
            return None
        elif dts <= track.last_out:
            self.clamped += 1
            dts = track.last_out + 1
        elif dts - track.last_out <= _LONGEST_FRAME and not track.fresh:
            track.frame = dts - track.last_out
        pts = max(unit.pts + self.offset, dts)
        is_entry = is_reference and (unit.is_random_access or not self._is_video(unit.track))
        flags = _FLAGS[track.fresh or unit.is_discontinuity][is_entry]
        track.last_out, track.last_source = dts, unit.dts
        track.last_pts = max(track.last_pts, pts)
        track.fresh = track.replaying = False
        return AccessUnit(unit.track, dts, pts, flags, unit.utc_us, unit.payload)

    def _begin(self, first: AccessUnit, offset: int) -> None:
        self.offset = offset
        self.reference = first.track
        self._entry_dts, self._entry_pts = first.dts, first.pts
        for track in self._tracks.values():
            track.last_source = None
            track.replaying = False

    def _leads_entry(self, unit: AccessUnit, *, is_reference: bool) -> bool:
        if self._entry_dts is None or self._entry_pts is None:
            return False
        return unit.dts < self._entry_dts or (is_reference and unit.pts < self._entry_pts)

    def _is_video(self, track: int) -> bool:
        known = self._formats.get(track)
        return known is not None and known.kind is TrackKind.VIDEO

    def _default_frame(self, track: int) -> int:
        known = self._formats.get(track)
        if known is None or known.kind is TrackKind.VIDEO:
            return _DEFAULT_VIDEO_FRAME
        if not known.sample_rate:
            return _DEFAULT_AUDIO_FRAME
        return _AAC_SAMPLES_PER_FRAME * TICKS_PER_SECOND // known.sample_rate
