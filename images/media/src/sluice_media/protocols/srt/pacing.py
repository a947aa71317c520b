"""The pace of sending: at most 1.25 times as fast as the media plays.

A hub's answer begins with seconds of media at once. When the caller sent these at once over SRT,
150 packets were lost. The media's own timestamps give the rate that is needed.
"""

from __future__ import annotations

from collections import deque

from sluice_media.formats.units import TICKS_PER_SECOND

HEADROOM = 1.25
_WINDOW_TICKS = 2 * TICKS_PER_SECOND
_TRUSTED_TICKS = TICKS_PER_SECOND // 2
_MIN_RATE = 16_000.0
"""Bytes per second. Sending must start again after the stream has paused."""
_MAX_JUMP_TICKS = 10 * TICKS_PER_SECOND


class MediaPacer:
    """The pace of one connection. Pure: the caller passes the time in."""

    def __init__(self, initial_bytes_per_second: float = 750_000.0) -> None:
        """Assume ``initial_bytes_per_second`` until half a second of media was sent."""
        self._initial = initial_bytes_per_second
        self._window: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._free_at: float | None = None

    @property
    def bytes_per_second(self) -> float:
        """Rate of the media over its last two seconds."""
        if not self._window:
            return self._initial
        span = self._window[-1][0] - self._window[0][0]
        if span < _TRUSTED_TICKS:
            return max(self._initial, _MIN_RATE)
        # The last unit's bytes belong to the time after it.
        counted = self._bytes - self._window[-1][1]
        return max(counted * TICKS_PER_SECOND / span, _MIN_RATE)

    def start_at(self, size_bytes: int, dts_90khz: int, now: float) -> float:
        """Return when sending may begin, in the unit of ``now``, and reserve the time it takes.

        ``dts_90khz`` is unwrapped. A timestamp that goes back or jumps restarts the measurement.
        """
        window = self._window
        if window and not 0 <= dts_90khz - window[-1][0] <= _MAX_JUMP_TICKS:
            if -_WINDOW_TICKS <= dts_90khz - window[-1][0] < 0:
                dts_90khz = window[-1][0]  # tracks interleave loosely
            else:
                window.clear()
                self._bytes = 0
        window.append((dts_90khz, size_bytes))
        self._bytes += size_bytes
        while window[-1][0] - window[0][0] > _WINDOW_TICKS and len(window) > 2:
            self._bytes -= window.popleft()[1]
        start = now if self._free_at is None else max(now, self._free_at)
        self._free_at = start + size_bytes / (HEADROOM * self.bytes_per_second)
        return start
