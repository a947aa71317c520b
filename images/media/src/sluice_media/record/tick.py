"""The beat of a recorder: all that it does again and again, it does at the same moments.

Each wake-up of a process costs more than most of what is then to be done. A recorder may be late
(the hub's ring reaches back a minute), so its tasks wait for common moments, and it wakes up twice
a second for all of them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

BEAT_SECONDS = 0.5
_START_SECONDS = 2.0
_START_BEAT_SECONDS = 0.03


async def next_beat() -> None:
    """Returns at the next common moment that is not just about to come."""
    left = BEAT_SECONDS - asyncio.get_running_loop().time() % BEAT_SECONDS
    # A timer may be some milliseconds early.
    await asyncio.sleep(left if left > BEAT_SECONDS / 10 else left + BEAT_SECONDS)


def beats_of_a_start() -> Callable[[], Awaitable[None]]:
    """Return a wait of 30 ms during the next 2 s, and until the next common moment after that.

    A producer waits for `recording: true` while a recorder reads its first media: half a common
    beat was 0.25 s of that on average."""
    ends = asyncio.get_running_loop().time() + _START_SECONDS

    async def beat() -> None:
        if asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(_START_BEAT_SECONDS)
        else:
            await next_beat()

    return beat
