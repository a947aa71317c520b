"""Estimate of the wall clock at which a leg's content was captured.

In: DTS and arrival time of a leg's reference units. Out: the wall clock of any DTS of that leg, and
the longest step between its frames. The estimate uses the unit with the shortest delay: units that
were held up on their way, or replayed by a gateway, arrive later than they were captured. Two legs
have independent media clocks; with this estimate their contents are compared at a switch.
"""

from __future__ import annotations

from sluice_media.formats.units import TICKS_PER_SECOND

_CREEP_DIVISOR = 1_000
"""The shortest delay grows by 1 ms per second of media: five times the drift of a poor quartz."""
_LONGEST_STEP = 2 * TICKS_PER_SECOND
_UNKNOWN_STEP = _LONGEST_STEP // 3
"""Frame step assumed before there are two frames, because the frame rate may be low."""
_STEP_DECAY = 8
"""Number of frames over which an old longest step decays."""


class ContentClock:
    """The shortest delay of one leg, and its longest recent frame step."""

    __slots__ = ("_delay_us", "_last_dts", "_step")

    def __init__(self) -> None:
        self._delay_us: int | None = None
        """Shortest arrival time minus media time, microseconds."""
        self._last_dts = 0
        self._step = _UNKNOWN_STEP

    @property
    def frame_seconds(self) -> float:
        """Longest recent step between two frames, seconds."""
        return self._step / TICKS_PER_SECOND

    def add(self, dts: int, utc_us: int) -> None:
        """Add a unit of the reference track."""
        delay = utc_us - _us(dts)
        if self._delay_us is None:
            self._delay_us, self._last_dts = delay, dts
            return
        step = dts - self._last_dts
        if step > 0:
            self._last_dts = dts
            self._delay_us += _us(step) // _CREEP_DIVISOR
            if step <= _LONGEST_STEP:
                self._step = max(step, self._step - self._step // _STEP_DECAY)
        self._delay_us = min(self._delay_us, delay)

    def utc_us(self, dts: int) -> int | None:
        """Return the capture time of ``dts``, plus the shortest delay, in microseconds UTC; None
        before the first unit."""
        return None if self._delay_us is None else _us(dts) + self._delay_us


def _us(ticks: int) -> int:
    return ticks * 100 // 9
