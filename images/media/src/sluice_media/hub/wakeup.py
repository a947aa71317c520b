"""Tells many waiting tasks that there is something new, without telling them of every unit."""

from __future__ import annotations

import asyncio

__all__ = ["Wakeup"]

COALESCE_SECONDS = 0.01
"""Units of one picture and its audio come close together; 50 readers woken for each would cost
more than the copying does."""


class Wakeup:
    """An event that everybody waits for again and again."""

    def __init__(self, coalesce_seconds: float = COALESCE_SECONDS) -> None:
        self._coalesce_seconds = coalesce_seconds
        self._event = asyncio.Event()
        self._handle: asyncio.TimerHandle | None = None
        self.generation = 0
        """Number of notifications so far."""

    async def wait(self, seen: int) -> None:
        """Until there was a notification after the generation ``seen``."""
        if self.generation == seen:
            await self._event.wait()

    def soon(self) -> None:
        """Notifies within a few milliseconds; cheap to call for every chunk."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(self._coalesce_seconds, self.now)

    def now(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.generation += 1
        self._event.set()
        self._event = asyncio.Event()
