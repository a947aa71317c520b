"""The memory budget of all publishers of a process.

Memory is limited for the process, not for a publisher. Beyond the budget the oldest groups of
pictures are dropped: first those of publishers that no recorder needs, then those of all, and last
the group that each publisher has begun. A dropped group is missing only if a hub is lost before its
publisher has sent as much again. Publishers do not notice.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Protocol

_GOAL = 0.95
"""Fraction of the budget that is in use after dropping. It is below 1, so that the oldest groups
are searched for less often."""


class Spender(Protocol):
    """The retention of one publisher, as the budget sees it."""

    recorded: bool
    """True when a recorder needs the kept media."""

    @property
    def groups(self) -> int: ...

    @property
    def oldest_at(self) -> float:
        """Arrival of the oldest group, in monotonic seconds."""
        ...

    def shed(self) -> None:
        """Drop the oldest group."""


class RetentionBudget:
    """``on_shed`` is called for each dropped group, with True when a recorder needed it."""

    def __init__(
        self, max_bytes: int, on_shed: Callable[[bool], None] = lambda recorded: None
    ) -> None:
        self._max_bytes = max_bytes
        self._on_shed = on_shed
        self._spenders: set[Spender] = set()
        self.size = 0
        """Bytes that all publishers keep."""

    def join(self, spender: Spender) -> None:
        self._spenders.add(spender)

    def leave(self, spender: Spender) -> None:
        self._spenders.discard(spender)

    def spend(self, count: int) -> None:
        """Add the size of kept bytes; a negative number for bytes that were dropped."""
        self.size += count
        if self.size > self._max_bytes:
            self._shed()

    def _shed(self) -> None:
        unrecorded = [spender for spender in self._spenders if not spender.recorded]
        for spenders, spared in ((unrecorded, 1), (self._spenders, 1), (self._spenders, 0)):
            self._shed_oldest(spenders, spared)

    def _shed_oldest(self, spenders: Iterable[Spender], spared: int) -> None:
        """Drop the oldest groups until the goal is reached. Keep ``spared`` groups of each
        publisher."""
        goal = int(self._max_bytes * _GOAL)
        if self.size <= goal:
            return
        # The number decides between equal times, because spenders cannot be compared.
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
