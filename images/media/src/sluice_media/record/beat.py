"""The beat of a recorder: all that it does again and again, it does at the same moments.

Each wake-up of a process costs more than most of what is then to be done. A recorder may be late
(the hub's ring reaches back a minute), so its tasks wait for common moments, and it wakes up twice
a second for all of them together.
"""

from __future__ import annotations

import asyncio

__all__ = ["BEAT_SECONDS", "next_beat"]

BEAT_SECONDS = 0.5


async def next_beat() -> None:
    """Returns at the next common moment that is not just about to come."""
    left = BEAT_SECONDS - asyncio.get_running_loop().time() % BEAT_SECONDS
    # A timer may be some milliseconds early.
    await asyncio.sleep(left if left > BEAT_SECONDS / 10 else left + BEAT_SECONDS)
