"""The timeout of a transfer, after which it counts as stalled (pure).

A line of 64 kbit/s needs ten minutes for a chunk of 6 s. A load balancer that lost a connection
sends nothing for ever. At first both look the same. So the timeout follows from the size and a
minimum rate, which is halved after each timeout and follows the measured rate after each success.
"""

from __future__ import annotations

BASE_SECONDS = 30.0
START_RATE = 32 << 10
MIN_RATE = 1 << 10
_SLACK = 4


class AdaptiveTimeout:
    """The minimum rate of one storage, and the timeouts that follow from it."""

    def __init__(self) -> None:
        self.rate_bytes = float(START_RATE)
        """Minimum rate per second; a slower transfer counts as stalled."""

    def seconds(self, size_bytes: int) -> float:
        """Return the timeout for a transfer."""
        return BASE_SECONDS + size_bytes / self.rate_bytes

    def ran_out(self) -> None:
        """Note a timeout."""
        self.rate_bytes = max(MIN_RATE, self.rate_bytes / 2)

    def succeeded(self, size_bytes: int, took_seconds: float) -> None:
        """Note a transfer. Small objects are ignored, because they do not measure the line."""
        if size_bytes >= 64 << 10 and took_seconds > 0:
            measured = size_bytes / took_seconds / _SLACK
            self.rate_bytes = min(START_RATE, max(MIN_RATE, measured))
