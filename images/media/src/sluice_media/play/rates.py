"""Bit rates of one track in a window of segments.

The rates are rounded up to the next of ten steps per decade (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3,
8). So they rarely change, and pods with the same window have the same rates.
"""

from __future__ import annotations

from collections import deque

from sluice_media.formats.units import TICKS_PER_SECOND

_STEPS = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1_000)
_LOWEST = 1_000


class RateWindow:
    """Peak and average rate of the segments that came and have not left."""

    def __init__(self) -> None:
        self.next = 0
        """Number of the first segment that has not come."""
        self._segments: deque[tuple[int, int, int]] = deque()
        """Number, bits and ticks of each segment."""
        self._peaks: deque[tuple[int, int]] = deque()
        """Number and rate of the segments that no later one exceeds: rates fall."""
        self._bits = 0
        self._ticks = 0

    def add(self, number: int, size: int, ticks: int) -> None:
        """Append a segment of ``size`` bytes; one without duration does not count."""
        self.next = number + 1
        if not ticks:
            return
        bits = size * 8
        rate = bits * TICKS_PER_SECOND // ticks
        while self._peaks and self._peaks[-1][1] <= rate:
            self._peaks.pop()
        self._peaks.append((number, rate))
        self._segments.append((number, bits, ticks))
        self._bits += bits
        self._ticks += ticks

    def drop_before(self, number: int) -> None:
        """Drop the segments before ``number``."""
        while self._segments and self._segments[0][0] < number:
            _, bits, ticks = self._segments.popleft()
            self._bits -= bits
            self._ticks -= ticks
        while self._peaks and self._peaks[0][0] < number:
            self._peaks.popleft()

    def rates(self) -> tuple[int, int] | None:
        """Return the peak and the average rate in bit/s, rounded up; None without a segment."""
        if not self._ticks:
            return None
        mean = self._bits * TICKS_PER_SECOND // self._ticks
        return _step_above(self._peaks[0][1]), _step_above(mean)


def _step_above(value: int) -> int:
    """Return the next step that is not below ``value``."""
    decade = _LOWEST
    while decade * 10 < value:
        decade *= 10
    return next(decade * step // 100 for step in _STEPS if decade * step // 100 >= value)
