"""How long to wait before sources that refuse are tried again."""

from __future__ import annotations

MAX_RETRY_SECONDS = 10.0
MIN_RETRY_SECONDS = 0.5
"""Also when the configuration says 0: a source that refuses must not be hammered."""
_MAX_DOUBLINGS = 10


class Waits:
    """After fruitless circles: doubled each time, up to 10 s."""

    def __init__(self) -> None:
        self._circles = 0

    def reset(self) -> None:
        self._circles = 0

    def next(self, retry_seconds: float) -> float:
        first = max(retry_seconds, MIN_RETRY_SECONDS)
        wait = first * 2.0 ** min(self._circles, _MAX_DOUBLINGS)
        self._circles += 1
        return min(wait, max(first, MAX_RETRY_SECONDS))
