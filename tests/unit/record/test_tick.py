"""A recorder that has just begun does not wait for the common beat."""

from __future__ import annotations

import asyncio

from sluice_media.record.tick import TICK_SECONDS, ticks_at_start


async def test_a_start_has_many_beats_in_the_time_of_one_common_beat() -> None:
    beat, count = ticks_at_start(), 0
    loop = asyncio.get_running_loop()
    ends = loop.time() + 2 * TICK_SECONDS
    while loop.time() < ends:
        await beat()
        count += 1
    assert count > 4, "two common beats are as many waits"
