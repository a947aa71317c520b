"""Limit for log lines that unknown peers can cause."""

from __future__ import annotations

from collections.abc import Callable

_MAX_ADDRESSES = 5_000


class LogLimiter:
    """Limiter of log lines, and counter of the suppressed ones.

    It admits one line for each address in ``address_seconds``, and ``burst`` lines for all
    addresses together in ``window_seconds``.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        address_seconds: float = 60,
        window_seconds: float = 10,
        burst: int = 20,
    ) -> None:
        """``clock`` returns monotonic seconds."""
        self._clock = clock
        self._address_seconds = address_seconds
        self._window_seconds = window_seconds
        self._burst = burst
        self._admitted_at: dict[str, float] = {}
        self._window_began = float("-inf")
        self._admitted = 0
        self._suppressed = 0

    def admit(self, address: str) -> int | None:
        """Admit a line about ``address``, or return None when it must not be logged.

        Returns the number of lines that were suppressed since the last admitted one.
        """
        now = self._clock()
        if now - self._window_began >= self._window_seconds:
            self._window_began, self._admitted = now, 0
        last = self._admitted_at.get(address)
        if self._admitted >= self._burst or (
            last is not None and now - last < self._address_seconds
        ):
            self._suppressed += 1
            return None
        self._admitted_at.pop(address, None)
        self._admitted_at[address] = now  # newest last, so that the first is the oldest
        if len(self._admitted_at) > _MAX_ADDRESSES:
            del self._admitted_at[next(iter(self._admitted_at))]
        self._admitted += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
