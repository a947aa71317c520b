"""How long a transfer may take before it counts as stalled (pure).

A line of 64 kbit/s needs ten minutes for a chunk of 6 s, and a load balancer that forgot a
connection says nothing for ever; from outside both look alike. So the limit goes by the size and
the slowest rate that is believed in, which is halved whenever time ran out and follows what was
measured when a transfer succeeded.
"""

from __future__ import annotations

BASE_SECONDS = 30.0
START_RATE = 32 << 10
MIN_RATE = 1 << 10
_SLACK = 4


class Patience:
    def __init__(self) -> None:
        self.rate_bytes = float(START_RATE)
        """Per second; slower than that is taken for a stall."""

    def seconds(self, size_bytes: int) -> float:
        return BASE_SECONDS + size_bytes / self.rate_bytes

    def ran_out(self) -> None:
        self.rate_bytes = max(MIN_RATE, self.rate_bytes / 2)

    def succeeded(self, size_bytes: int, took_seconds: float) -> None:
        """Small objects say nothing of the line."""
        if size_bytes >= 64 << 10 and took_seconds > 0:
            measured = size_bytes / took_seconds / _SLACK
            self.rate_bytes = min(START_RATE, max(MIN_RATE, measured))
