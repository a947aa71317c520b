"""Parallel uploads of chunks, because a store may take a second for each request.

In: chunks in their order, and the function that stores one. Out: an event for each stored chunk.
The number of chunks in the store that the journal does not name yet is limited, because these are
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
"""Maximum size of the chunks that are uploaded at once, which are in memory. A larger chunk is
uploaded alone."""
UPLOADS_AHEAD = 8
"""Maximum number of chunks that are being uploaded, or stored and not in the journal yet."""


@dataclass(slots=True, eq=False)
class Parcel:
    """One chunk that is queued or being uploaded."""

    chunk: ClosedChunk
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the chunk is in the store, or was given up."""
    is_lost: bool = False
    """True when the chunk was given up."""

    @property
    def size_bytes(self) -> int:
        return self.chunk.entry.size_bytes


class Carrier:
    """The queue of chunks, and their uploads. Run :meth:`run` as a task.

    ``store`` uploads a chunk with retries, and returns False when it gives the chunk up."""

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
        """Upload chunks until cancelled."""
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
