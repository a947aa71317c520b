"""Times of pictures for which the stream has none.

For each picture, in decoding order, its times in the PES packet come in, if there are any, with its
place in the order of display. DTS and PTS go out.

- DTS: a picture without times is decoded one frame after the former picture. The duration of a
  frame is measured between pictures with known times. Before there are two of them, it is the
  duration that the parameter sets declare.
- PTS: the picture order count gives the distance from a picture with a known time. Without that
  count (types 1 and 2 of H.264, mostly streams without B-frames), PTS minus DTS is that of the
  former picture.

Source: ISO/IEC 13818-1:2019, clause 2.7.4 and 2.7.5 (times may be left out and are then derived).
"""

from __future__ import annotations

from sluice_media.formats.codecs.slices import PictureOrder, Slices
from sluice_media.formats.mpegts.access_units import UnitTimes
from sluice_media.formats.units import TICKS_PER_SECOND

_DEFAULT_FRAME = 3_600
_LONGEST_FRAME = TICKS_PER_SECOND
_LONGEST_COMPOSITION = 10 * TICKS_PER_SECOND
_TRUSTED_PICTURES = 64
"""Number of pictures in a row with times of their own after which their order is not read any
more."""


class PictureTimes:
    """State of one video stream, from which missing times of its pictures are derived."""

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
        self._last: int | None = None
        """DTS of the last picture."""
        self._known_dts: int | None = None
        """Last DTS in the stream."""
        self._since_known = 0
        """Number of pictures with derived times since then."""
        self._frame: float | None = None
        """Measured duration of a frame, in ticks."""
        self._composition = 0
        self._highest = 0
        """Highest PTS so far."""
        self._known_order: tuple[int, int] | None = None
        """PTS and order count of a picture since the count was reset."""
        self._tick: float | None = None
        """Ticks of 90 kHz for one step of the order count."""
        self._timed_in_a_row = 0

    def lose(self) -> None:
        """Note that pictures are missing."""
        self._known_dts = None

    def stamp(self, times: UnitTimes | None, head: bytes) -> tuple[int, int] | None:
        """Return DTS and PTS of the next picture; None before the first picture with a time.

        ``head`` is the beginning of the picture's first slice.
        """
        known = times is not None and times.dts is not None
        self._timed_in_a_row = self._timed_in_a_row + 1 if known else 0
        order = None
        if self._timed_in_a_row < _TRUSTED_PICTURES:
            order = self._slices.order(head)
            if order is None or order.begins:
                self._known_order = None
        else:
            self._known_order = None
        if times is not None and times.dts is not None and times.pts is not None:
            dts, pts = self._known(times.dts, times.pts, order)
        elif self._last is None:
            return None
        else:
            dts, pts = self._derived(self._last, order)
        self._highest = max(self._highest, pts) if self._last is not None else pts
        self._last = dts
        self._composition = pts - dts
        return dts, pts

    def _known(self, dts: int, pts: int, order: PictureOrder | None) -> tuple[int, int]:
        if self._known_dts is not None:
            frame = (dts - self._known_dts) / (self._since_known + 1)
            if 0 < frame <= _LONGEST_FRAME:
                self._frame = frame
        if self._since_known and self._last is not None:
            behind = self._last - dts
            if 0 <= behind <= self._since_known * self._frame_ticks:
                dts = self._last + 1  # the derived times went too far
        self._known_dts, self._since_known = dts, 0
        if order is not None:
            if self._known_order is not None and self._known_order[1] != order.place:
                tick = (pts - self._known_order[0]) / (order.place - self._known_order[1])
                if 0 < tick <= _LONGEST_FRAME:
                    self._tick = tick
            self._known_order = (pts, order.place)
        return dts, max(pts, dts)

    def _derived(self, last: int, order: PictureOrder | None) -> tuple[int, int]:
        self._since_known += 1
        dts = last + max(1, round(self._frame_ticks))
        pts = dts + self._composition
        if order is None:
            return dts, pts
        if self._known_order is None:
            if order.begins:
                # All earlier pictures are displayed before this one.
                pts = max(dts, min(self._highest + round(self._frame_ticks), dts + _LONGEST_FRAME))
            self._known_order = (pts, order.place)
            return dts, pts
        before, count = self._known_order
        tick = self._tick or self._frame_ticks / self._slices.counts_per_frame
        pts = before + round((order.place - count) * tick)
        if pts - dts > _LONGEST_COMPOSITION:
            pts = dts
        return dts, max(pts, dts)

    @property
    def _frame_ticks(self) -> float:
        if self._frame is not None:
            return self._frame
        declared = self._slices.frame_seconds
        return declared * TICKS_PER_SECOND if declared else _DEFAULT_FRAME
