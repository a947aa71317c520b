"""Several chunks on their way into the store at once: a store may take a second for each request.

In: chunks in their order, and how one is brought into the store. Out: an event for each that is
there. How far the store may be ahead of the journal is limited: a chunk that no journal names is
lost with the process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sluice_media.record.chunks import ClosedChunk

UPLOADS_AT_ONCE = 4
UPLOAD_BYTES = 32 << 20
"""Of chunks on their way at once, which are in memory meanwhile. A larger one goes alone."""
UPLOADS_AHEAD = 8
"""Chunks on their way, or in the store and not in the journal yet."""


@dataclass(slots=True, eq=False)
class Parcel:
    """A chunk on its way."""

    chunk: ClosedChunk
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """It is in the store, or was given up."""
    is_lost: bool = False
    """It was given up."""

    @property
    def size_bytes(self) -> int:
        return self.chunk.entry.size_bytes


class Carrier:
    """Run :meth:`run` as a task. ``store`` returns whether the chunk is in the store at last."""

    def __init__(self, store: Callable[[ClosedChunk], Awaitable[bool]]) -> None:
        self._store = store
        self._waiting: deque[Parcel] = deque()
        self._under_way: set[Parcel] = set()
        self._unnoted = 0
        self._wake = asyncio.Event()

    def take(self, chunk: ClosedChunk) -> Parcel:
        """Queue a chunk behind those before it."""
        parcel = Parcel(chunk)
        self._waiting.append(parcel)
        self._wake.set()
        return parcel

    def noted(self) -> None:
        """Allow for one more chunk: one that arrived stands in the journal."""
        self._unnoted -= 1
        self._wake.set()

    async def run(self) -> None:
        """Endless; cancel it."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                while self._waiting and self._has_way(self._waiting[0]):
                    parcel = self._waiting.popleft()
                    self._under_way.add(parcel)
                    tasks.create_task(self._carry(parcel))
                await self._wake.wait()

    def _has_way(self, parcel: Parcel) -> bool:
        under_way = self._under_way
        if len(under_way) + self._unnoted >= UPLOADS_AHEAD:
            return False
        size_bytes = sum(other.size_bytes for other in under_way) + parcel.size_bytes
        return not under_way or (len(under_way) < UPLOADS_AT_ONCE and size_bytes <= UPLOAD_BYTES)

    async def _carry(self, parcel: Parcel) -> None:
        parcel.is_lost = not await self._store(parcel.chunk)
        self._under_way.discard(parcel)
        self._unnoted += 1
        parcel.arrived.set()
        self._wake.set()
