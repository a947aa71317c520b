"""When the content of a leg was made, as well as arrival times can tell.

In: DTS and arrival of a leg's reference units. Out: the wall clock of any DTS of that leg, and the
longest step between its frames. What comes fastest through encoder and network is the measure: a
unit that was held up on its way, or replayed by a gateway, is older than its arrival says. Two
legs are independent clocks; this is what lets their contents be compared at a switch.
"""

from __future__ import annotations

from sluice_media.formats.units import TICKS_PER_SECOND

_CREEP_DIVISOR = 1_000
"""The measure ages by 1 ms per second of media: five times the drift of a poor quartz."""
_LONGEST_STEP = 2 * TICKS_PER_SECOND
_UNKNOWN_STEP = _LONGEST_STEP // 3
"""Before there are two frames, a leg may be a slow one."""
_STEP_DECAY = 8
"""A longer step than the present ones is forgotten over so many frames."""


class ContentClock:
    __slots__ = ("_delay_us", "_last_dts", "_step")

    def __init__(self) -> None:
        self._delay_us: int | None = None
        """Arrival minus media time of what came fastest, microseconds."""
        self._last_dts = 0
        self._step = _UNKNOWN_STEP

    @property
    def frame_seconds(self) -> float:
        """The longest step between two frames lately."""
        return self._step / TICKS_PER_SECOND

    def add(self, dts: int, utc_us: int) -> None:
        """Notes a unit of the reference track."""
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
        """Microseconds UTC at which the content at ``dts`` was made, but for the shortest way it
        had here; None before the first unit."""
        return None if self._delay_us is None else _us(dts) + self._delay_us


def _us(ticks: int) -> int:
    return ticks * 100 // 9
