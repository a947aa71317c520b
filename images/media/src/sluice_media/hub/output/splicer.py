"""The splicer: from a leg's own times to the times of the one timeline.

In: units of the active leg. Out: the same units with DTS and PTS of the output, or nothing for a
unit that does not belong there. DTS grows strictly per track, whatever the sources do; video and
audio share one offset, so lip sync is the source's own. A gap is collapsed: after it, media time
goes on one frame behind the last unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    TrackFormat,
    TrackKind,
    UnitFlags,
)

FIRST_DTS = TICKS_PER_SECOND
"""Where a new timeline begins: room for clock references and decoding delay before it."""

_BACKWARDS = TICKS_PER_SECOND
"""A source that steps back by more has restarted its clock; by less, it jitters."""
_FORWARDS = 10 * TICKS_PER_SECOND
"""A step ahead by more, of all tracks, is another clock; by less, the source left something out."""
_FORWARDS_AFTER_SILENCE = TICKS_PER_SECOND
"""After 2 s of silence: a smaller step means that nothing is missing, it only came late."""
_LONGEST_FRAME = TICKS_PER_SECOND
_DEFAULT_VIDEO_FRAME = 3_600
_AAC_SAMPLES_PER_FRAME = 1_024
_FLAGS = (
    (UnitFlags.NONE, UnitFlags.RANDOM_ACCESS),
    (UnitFlags.DISCONTINUITY, UnitFlags.DISCONTINUITY | UnitFlags.RANDOM_ACCESS),
)
"""By discontinuity and random access: putting flags together costs more than the rest of it."""
_DEFAULT_AUDIO_FRAME = 1_920


class TrackEnd(NamedTuple):
    """Where a track of the output stands."""

    dts: int
    pts: int
    """The highest so far."""
    frame: int
    """Duration of one frame, as last seen."""

    @classmethod
    def after(cls, before: TrackEnd | None, dts: int, pts: int) -> TrackEnd:
        """Behind one more unit of the output."""
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
    """Duration of one frame, as last seen."""
    last_source: int | None = None
    """Source DTS since the last splice."""
    fresh: bool = False
    """The next unit is the track's first after a discontinuity."""
    replaying: bool = False
    """A resumed leg sends units again; those that went out already are dropped."""


class Splicer:
    """State of the output clock over one session."""

    def __init__(self) -> None:
        self.offset = 0
        """Output DTS minus source DTS."""
        self.reference: int | None = None
        self.clamped = 0
        """Units whose DTS had to be moved to stay behind the one before."""
        self.dropped = 0
        """Units older than their splice, or out of step with their stream."""
        self._tracks: dict[int, _Track] = {}
        self._formats: dict[int, TrackFormat] = {}
        self._goes_on = False
        """Somebody else began the timeline: a track's first unit follows others unseen here."""
        self._entry_dts: int | None = None
        self._entry_pts: int | None = None
        """Where the source was entered; None: anywhere, nothing before it is to be dropped."""

    @property
    def started(self) -> bool:
        return bool(self._tracks)

    @property
    def last_dts(self) -> int:
        """The last DTS that went out; FIRST_DTS before the first unit."""
        return max((t.last_out for t in self._tracks.values()), default=FIRST_DTS)

    def take_formats(self, formats: tuple[TrackFormat, ...]) -> None:
        self._formats = {f.track: f for f in formats}

    def restore(self, tracks: Mapping[int, TrackEnd]) -> None:
        """The output stood there when another process had it: what was put out then and is sent
        again is dropped."""
        for number, (dts, pts, frame) in tracks.items():
            self._tracks[number] = _Track(dts, pts, frame)

    def enter(self, first: AccessUnit, floor: int = FIRST_DTS) -> int:
        """Goes on with a leg at ``first``, a random access point of its reference track.

        Returns the output DTS of ``first``: one frame behind everything that went out, ``floor``
        at least."""
        reorder = max(0, first.pts - first.dts)
        start = floor
        self._goes_on = floor > FIRST_DTS
        for number, track in self._tracks.items():
            start = max(start, track.last_out + track.frame)
            if number == first.track:
                # Pictures that were shown ahead of their turn must not be shown again behind it.
                start = max(start, track.last_pts + track.frame - reorder)
        self._begin(first, start - first.dts)
        self.interrupted()
        return start

    def resume(self, first: AccessUnit, offset: int) -> int:
        """Goes on with a leg whose offset is known: the same connection at another hub, or again.

        What went out already is dropped as it comes. Returns the number of ticks that are missing
        between the last unit and ``first`` (0: nothing)."""
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
        """Media is missing before the next unit of each track."""
        for track in self._tracks.values():
            track.fresh = True

    def join(self, offset: int) -> None:
        """Goes on with another leg that carries the same bitstream: whatever has not gone out is
        next, be it a random access point or not."""
        self.offset = offset
        self._entry_dts = self._entry_pts = None
        for track in self._tracks.values():
            track.last_source = None
            track.replaying = True

    def last_source(self) -> int | None:
        """Source DTS of the reference track's last unit since the last splice."""
        track = self._tracks.get(self.reference) if self.reference is not None else None
        return track.last_source if track else None

    def latest_source(self) -> int | None:
        """Source DTS of the last unit of all tracks since the last splice."""
        seen = [t.last_source for t in self._tracks.values() if t.last_source is not None]
        return max(seen, default=None)

    def in_step(self, unit: AccessUnit, *, after_silence: bool = False) -> bool:
        """Whether a unit continues its source's clock. False for a unit of the reference track:
        the source must be entered anew."""
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
        """The unit as it goes out, or None."""
        is_reference = unit.track == self.reference
        if self._leads_entry(unit, is_reference=is_reference):
            # Audio older than the picture entered at, or a picture that leads it and refers to
            # pictures nobody has.
            self.dropped += 1
            return None
        dts = unit.dts + self.offset
        track = self._tracks.get(unit.track)
        if track is None:
            frame = self._default_frame(unit.track)
            track = self._tracks[unit.track] = _Track(dts, dts, frame, fresh=self._goes_on)
        elif track.replaying and dts <= track.last_out + track.frame // 2:
            # Half a frame: a demuxer that starts anew may round a unit's time differently.
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
