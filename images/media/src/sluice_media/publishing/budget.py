"""Limits what all publishers of a process keep in memory, and says what is dropped first.

Memory is limited for the process, not for a publisher. Beyond the budget the oldest groups of
pictures go: first of publishers that no recorder needs, then of all, and last even the group that
each has begun. What has gone is missing only if a hub is lost before its publisher has sent as much
again; no publisher notices.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Protocol

_GOAL = 0.95
"""Share of the budget that is left after dropping. Below 1, so that we seldom have to search for
the oldest groups."""


class Spender(Protocol):
    """What one publisher keeps."""

    recorded: bool
    """A recorder needs it."""

    @property
    def groups(self) -> int: ...

    @property
    def oldest_at(self) -> float:
        """Monotonic seconds of the oldest group's arrival."""
        ...

    def shed(self) -> None:
        """Let the oldest group go."""


class RetentionBudget:
    """``on_shed`` is called for each group that goes, with whether a recorder needed it."""

    def __init__(
        self, max_bytes: int, on_shed: Callable[[bool], None] = lambda recorded: None
    ) -> None:
        self._max_bytes = max_bytes
        self._on_shed = on_shed
        self._spenders: set[Spender] = set()
        self.size = 0
        """Bytes kept by all."""

    def join(self, spender: Spender) -> None:
        self._spenders.add(spender)

    def leave(self, spender: Spender) -> None:
        self._spenders.discard(spender)

    def spend(self, count: int) -> None:
        """Count bytes that are kept from now on; negative: that are not any more."""
        self.size += count
        if self.size > self._max_bytes:
            self._shed()

    def _shed(self) -> None:
        unrecorded = [spender for spender in self._spenders if not spender.recorded]
        for spenders, spared in ((unrecorded, 1), (self._spenders, 1), (self._spenders, 0)):
            self._shed_oldest(spenders, spared)

    def _shed_oldest(self, spenders: Iterable[Spender], spared: int) -> None:
        """Drop the oldest groups until the goal is reached; ``spared`` of each publisher stay."""
        goal = int(self._max_bytes * _GOAL)
        if self.size <= goal:
            return
        # The number keeps the heap from comparing spenders.
        heap = [
            (spender.oldest_at, number, spender)
            for number, spender in enumerate(spenders)
            if spender.groups > spared
        ]
        heapq.heapify(heap)
        while heap and self.size > goal:
            _, number, spender = heap[0]
            spender.shed()
            self._on_shed(spender.recorded)
            if spender.groups > spared:
                heapq.heapreplace(heap, (spender.oldest_at, number, spender))
            else:
                heapq.heappop(heap)
