"""How often a thing that strangers cause may be logged."""

from __future__ import annotations

from collections.abc import Callable

_MAX_ADDRESSES = 5_000


class LogLimiter:
    """One line for an address within ``address_seconds``, and ``burst`` lines in all within
    ``window_seconds``; what is left out is counted for the next line."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        address_seconds: float = 60,
        window_seconds: float = 10,
        burst: int = 20,
    ) -> None:
        """``clock`` gives monotonic seconds."""
        self._clock = clock
        self._address_seconds = address_seconds
        self._window_seconds = window_seconds
        self._burst = burst
        self._said_at: dict[str, float] = {}
        self._window_began = float("-inf")
        self._said = 0
        self._suppressed = 0

    def may_say(self, address: str) -> int | None:
        """None: be quiet. Else the number of lines that were left out since the last one."""
        now = self._clock()
        if now - self._window_began >= self._window_seconds:
            self._window_began, self._said = now, 0
        last = self._said_at.get(address)
        if self._said >= self._burst or (last is not None and now - last < self._address_seconds):
            self._suppressed += 1
            return None
        self._said_at.pop(address, None)
        self._said_at[address] = now  # newest last, so that the first is the oldest
        if len(self._said_at) > _MAX_ADDRESSES:
            del self._said_at[next(iter(self._said_at))]
        self._said += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
