"""Steady clock of a source: its times only increase, even when the source's own clock jumps.

The units of one source come in with their own times and with the times of their arrival. The units
go out on one clock. A gateway does this for its publishers, so that every hub of a publisher gets
the same times. A hub does it for the sources that it pulls.

- A source whose clock jumps while its units keep coming has lost nothing. From the jump on another
  shift is valid, which places the unit one frame after the former one in its track. Each other
  track takes this shift at its own jump, a little earlier or later, so that lip sync stays.
- A clock that jumps after 2 s without any unit may hide a loss. The shift then keeps the time that
  passed, so that the hub finds a gap as long as the silence.
- Tracks whose clocks began more than 10 s apart have no common clock. The first unit of the later
  track is placed at the last unit before it.
- FLV can contain pictures whose time of display is before their time of decoding. From the first
  such picture on, pictures get a decoding time that is earlier by this difference. The times of
  display stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.units import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit

_BACKWARDS = TICKS_PER_SECOND // 5
"""Maximum step back that is no jump. Encoders that write the time of display as time of decoding
step back by four pictures at most."""
MOST_APART_TICKS = 10 * TICKS_PER_SECOND
"""Maximum distance of tracks with a common clock. A longer step ahead of all tracks is a jump. A
shorter one is missing media."""
_RESTART = TICKS_PER_SECOND
"""Maximum step back, after a silence, that adds no gap. After a longer one the source has
restarted, and media is missing."""
_NEAR = TICKS_PER_SECOND
"""Maximum distance of a track from its expected time when it follows another track over a jump. A
file that is played in a loop rarely has audio and video of exactly the same length."""
_SILENCE_SECONDS = 2.0
_SHORTEST_FRAME = TICKS_PER_MS
"""One millisecond. FLV has times in milliseconds, and such sources are shifted by whole
milliseconds."""
_LONGEST_FRAME = TICKS_PER_SECOND
_LONGEST_AHEAD = TICKS_PER_SECOND
"""16 pictures, the most that a decoder reorders, at 16 pictures a second."""


@dataclass(slots=True)
class _Track:
    """State of one track."""

    shift: int
    """Steady time minus time of the source."""
    last: int
    """Steady DTS of the last unit."""
    came_at: float
    """Time of arrival of the last unit, in monotonic seconds."""
    frame: int = 0
    """Duration of the last frame."""
    pending: int = 0
    """Last jump of another track that this track has not followed yet; 0 for none."""
    overlaps: bool = False
    """True after a jump to a time before the track's last unit. Units up to that unit are left
    out."""
    sent: int | None = None
    """Last DTS that was returned; None before the first unit."""
    ahead: int = 0
    """Ticks that are subtracted from the source's DTS of pictures, so that DTS is not after PTS."""


class SourceClock:
    """State of one source's tracks, which makes their times steady."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._base = 0
        """Shift of the first track that begins."""
        self.moved = False
        """True when the last taken unit is the first of its track after a jump."""

    def shift(self, track: int | None) -> int:
        """Return the steady DTS minus the source's DTS for the next unit of the track."""
        known = self._tracks.get(track) if track is not None else None
        return known.shift if known else self._base

    def restart(self, track: int | None) -> None:
        """Forget the state of the tracks, because their media was interrupted. The shift of
        ``track`` stays valid."""
        self._base = self.shift(track)
        self._tracks.clear()

    def take(self, unit: AccessUnit, came_at: float, *, lead: int | None) -> AccessUnit | None:
        """Return the unit in steady times, or None for audio that overlaps the media before a jump.

        ``lead`` is the track whose own times are kept: video, or None for the first track that
        comes.
        """
        dts = self.place(unit.track, unit.dts, came_at, lead=lead)
        if dts is None:
            return None
        track = self._tracks[unit.track]
        composition = unit.pts - unit.dts
        if composition < -track.ahead and composition >= -_LONGEST_AHEAD:
            track.ahead = -composition
        pts = dts + composition
        dts -= track.ahead
        if track.sent is not None and dts <= track.sent:
            # DTS must grow where a unit is seen first. A unit that is sent again to another hub
            # then has the same time there, wherever the other hub begins.
            dts = track.sent + 1
            pts = max(pts, dts)
        track.sent = dts
        if dts == unit.dts and pts == unit.pts:
            return unit
        return AccessUnit(unit.track, dts, pts, unit.flags, unit.utc_us, unit.payload)

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

    # ------------------------------------------------------------------ first units

    def _begin(self, number: int, dts: int, came_at: float, lead: int | None) -> _Track:
        """Add a track with its first unit. A track without a common clock starts at the others'
        last unit."""
        others = list(self._tracks.values())
        shift = self._base
        if others:
            latest = self._latest()
            shifts = [*dict.fromkeys(other.shift for other in others), shift]
            fitting = [s for s in shifts if abs(dts + s - latest) <= MOST_APART_TICKS]
            if fitting:
                shift = fitting[0]
            elif number == lead:
                # The lead keeps its own times: the gateway finds its kept media by them.
                for other in others:
                    other.shift += dts - latest
                    other.last += dts - latest
                    if other.sent is not None:
                        other.sent += dts - latest
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
        """Return the DTS after a jump: one frame after the track's last unit, and later by a
        silence of all tracks. A track that was away for a while continues at the others' last
        unit."""
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
        """Return whether the unit comes after the jump that another track has made."""
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
        # A picture is never left out: all tracks continue later.
        for other in self._tracks.values():
            other.shift += overlap
        return dts + overlap

    def _silence(self, came_at: float) -> int:
        """Return the ticks since the last unit of any track; 0 for less than 2 s."""
        away = came_at - max(track.came_at for track in self._tracks.values())
        return round(away * 1_000) * TICKS_PER_MS if away >= _SILENCE_SECONDS else 0

    def _latest(self) -> int:
        return max(track.last for track in self._tracks.values())
