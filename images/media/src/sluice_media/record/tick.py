"""The common tick of a recorder's periodic tasks.

A wake-up of a process costs more than most of these tasks. A recorder may be late, because the
hub's ring holds a minute. So its tasks wait for a common tick, twice a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

TICK_SECONDS = 0.5
_START_SECONDS = 2.0
_START_TICK_SECONDS = 0.03


async def next_tick() -> None:
    """Wait for the next tick that is at least 50 ms away."""
    left = TICK_SECONDS - asyncio.get_running_loop().time() % TICK_SECONDS
    # A timer may be some milliseconds early.
    await asyncio.sleep(left if left > TICK_SECONDS / 10 else left + TICK_SECONDS)


def ticks_at_start() -> Callable[[], Awaitable[None]]:
    """Return a function that waits 30 ms during the next 2 s, and for the next tick after that.

    A producer waits for ``recording: true`` while a recorder reads its first media. Half of the
    common tick was 0.25 s of that wait on average."""
    ends = asyncio.get_running_loop().time() + _START_SECONDS

    async def tick() -> None:
        if asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(_START_TICK_SECONDS)
        else:
            await next_tick()

    return tick
