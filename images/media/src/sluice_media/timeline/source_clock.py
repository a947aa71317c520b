"""The clock of a source, made steady: its times only go on, whatever the source does.

In: the units of one source in its own times, and when they came. Out: the same units on one clock.
A gateway does this for its publishers, so that every hub of a publisher counts in the same times.
A hub does it for the sources that it pulls.

- A source whose clock jumps while its units keep coming has lost nothing. From the jump on another
  shift counts, so that the unit goes on one frame behind the one before it in its track. The other
  tracks take the same shift where their own jump comes, a little earlier or later: lip sync stays.
- A clock that jumps after 2 s without any unit may hide a loss. The time that passed counts: the
  hub finds a hole as long as the silence.
- Tracks whose clocks began more than 10 s apart have no common clock. The first unit of the later
  track is put beside the unit that came last before it.
- Pictures to be shown before they are decoded (FLV can say so) get an earlier decoding time from
  the first such picture on, by as much as is needed. The times of display stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.units import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit

_BACKWARDS = TICKS_PER_SECOND // 5
"""A longer step back is a jump. Encoders that write the time of display as that of decoding step
back by four pictures at most."""
MOST_APART_TICKS = 10 * TICKS_PER_SECOND
"""Tracks that are further apart have no common clock. A longer step ahead of all tracks is a jump;
with a shorter one the source left something out."""
_RESTART = TICKS_PER_SECOND
"""A longer step back after a silence: the source has begun anew, and media is missing."""
_NEAR = TICKS_PER_SECOND
"""So far from its expected time a track may be when it follows another one over a jump: a file
that begins again rarely has sound and pictures of exactly the same length."""
_SILENCE_SECONDS = 2.0
_SHORTEST_FRAME = TICKS_PER_MS
"""FLV carries milliseconds. Sources that count in these are shifted by whole ones."""
_LONGEST_FRAME = TICKS_PER_SECOND
_LONGEST_AHEAD = TICKS_PER_SECOND
"""16 pictures, the most that a decoder reorders, at 16 pictures a second."""


@dataclass(slots=True)
class _Track:
    shift: int
    """Steady time minus time of the source."""
    last: int
    """Steady DTS of the last unit."""
    came_at: float
    """Monotonic seconds."""
    frame: int = 0
    """Duration of one frame, as last seen."""
    pending: int = 0
    """Another track's last jump, which this track has not followed yet; 0: none."""
    overlaps: bool = False
    """It followed a jump to a time before its last unit: units up to there are left out."""
    ahead: int = 0
    """How much earlier than the source says pictures are decoded."""


class SourceClock:
    """Makes the times of one source steady."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._base = 0
        """Shift of the first track that begins."""
        self.moved = False
        """The unit that was taken last is the first of its track behind a jump."""

    def shift(self, track: int | None) -> int:
        """Steady DTS minus DTS of the source, for the next unit of the track."""
        known = self._tracks.get(track) if track is not None else None
        return known.shift if known else self._base

    def restart(self, track: int | None) -> None:
        """Forget where the tracks stand: their media was interrupted. The shift of ``track`` stays
        in force."""
        self._base = self.shift(track)
        self._tracks.clear()

    def take(self, unit: AccessUnit, came_at: float, *, lead: int | None) -> AccessUnit | None:
        """Return the unit in steady times, or None for sound that overlaps what came before a jump.

        ``lead`` is the track whose own times count (video; None: the first one that comes).
        """
        dts = self.place(unit.track, unit.dts, came_at, lead=lead)
        if dts is None:
            return None
        track = self._tracks[unit.track]
        composition = unit.pts - unit.dts
        if composition < -track.ahead and composition >= -_LONGEST_AHEAD:
            track.ahead = -composition
        if dts == unit.dts and not track.ahead:
            return unit
        pts = dts + composition
        return AccessUnit(unit.track, dts - track.ahead, pts, unit.flags, unit.utc_us, unit.payload)

    def place(self, number: int, dts: int, came_at: float, *, lead: int | None) -> int | None:
        """Return the steady DTS of the next unit of a track, as :meth:`take` does."""
        self.moved = False
        track = self._tracks.get(number)
        if track is None:
            return self._begin(number, dts, came_at, lead).last
        source, dts = dts, dts + track.shift
        step = dts - track.last
        if track.overlaps:
            if -_NEAR - _BACKWARDS <= step <= 0:
                return None
            track.overlaps = False
        if track.pending and self._follows(track, dts, came_at):
            if (follow := self._follow(track, source, is_lead=number == lead)) is None:
                return None
            dts = follow
        elif self._jumps(track, dts, came_at):
            dts = self._jump(track, dts, came_at)
        step = dts - track.last
        if 0 < step <= _LONGEST_FRAME:
            track.frame = step
        track.last, track.came_at = dts, came_at
        return dts

    # ------------------------------------------------------------------ where tracks begin

    def _begin(self, number: int, dts: int, came_at: float, lead: int | None) -> _Track:
        """Take a track's first unit; tracks without a common clock are put side by side."""
        others = list(self._tracks.values())
        shift = self._base
        if others:
            latest = self._latest()
            shifts = [*dict.fromkeys(other.shift for other in others), shift]
            fitting = [s for s in shifts if abs(dts + s - latest) <= MOST_APART_TICKS]
            if fitting:
                shift = fitting[0]
            elif number == lead:
                # Its times count: what the gateway keeps is found by them.
                for other in others:
                    other.shift += dts - latest
                    other.last += dts - latest
            else:
                shift = latest - dts
        track = self._tracks[number] = _Track(shift, dts + shift, came_at)
        return track

    # ------------------------------------------------------------------ jumps

    def _jumps(self, track: _Track, dts: int, came_at: float) -> bool:
        step = dts - track.last
        if step < -_BACKWARDS:
            return True
        most = MOST_APART_TICKS + self._silence(came_at)
        return step > most and dts > self._latest() + most

    def _jump(self, track: _Track, dts: int, came_at: float) -> int:
        """Go on one frame behind the track's last unit; behind a silence of all tracks, as much
        later. A track that was away for a while goes on beside the others."""
        place = track.last + max(track.frame, _SHORTEST_FRAME)
        if not place - _RESTART <= dts <= place:
            place = max(place, track.last + self._silence(came_at))
        if came_at - track.came_at >= _SILENCE_SECONDS:
            place = max(place, self._latest())
        for other in self._tracks.values():
            other.pending = 0 if other is track else place - dts
        track.shift += place - dts
        self.moved = True
        return place

    def _follows(self, track: _Track, dts: int, came_at: float) -> bool:
        """Whether the unit is behind the jump that another track has made."""
        away = came_at - track.came_at
        ticks = round(away * TICKS_PER_SECOND) if away >= _SILENCE_SECONDS else track.frame
        off = dts - track.last - ticks
        return abs(off + track.pending) < min(abs(off), _NEAR)

    def _follow(self, track: _Track, source: int, *, is_lead: bool) -> int | None:
        track.shift += track.pending
        track.pending = 0
        self.moved = True
        dts = source + track.shift
        frame = max(track.frame, _SHORTEST_FRAME)
        overlap = track.last + frame - dts
        if overlap <= frame // 2:
            return dts
        if not is_lead:
            track.overlaps = dts <= track.last
            return None if track.overlaps else dts
        # No picture is left out: all tracks go on later.
        for other in self._tracks.values():
            other.shift += overlap
        return dts + overlap

    def _silence(self, came_at: float) -> int:
        """Ticks since the last unit of any track; 0 when that is less than 2 s."""
        away = came_at - max(track.came_at for track in self._tracks.values())
        return round(away * 1_000) * TICKS_PER_MS if away >= _SILENCE_SECONDS else 0

    def _latest(self) -> int:
        return max(track.last for track in self._tracks.values())
