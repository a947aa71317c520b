"""``python -m tests.bench.ingest_memory [COUNTxMEGABITS …]``: what the gateway keeps in memory.

So many publishers over RTMP at the gateway, each with a real hub and without a recorder, until what
is kept grows no more; without arguments 10 of 6 Mb/s, then 300 of 1 Mb/s. Exit code 1 when 300
publishers of 1 Mb/s do not fit into the gateway's memory limit (of another number: when 300 such
would not).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from sluice_media.formats.flv import FlvTag
from sluice_media.hub.output.replay_need import TAIL_SECONDS
from tests.bench.hubs import running_hubs
from tests.bench.ingest import make_source, rss_mib
from tests.support.broadcast_rig import KEY, broadcast_rig
from tests.support.rtmp_encoder import flv_tags, later, send_tags

LIMIT_MIB = 1_024
"""The chart's."""
GOAL_PUBLISHERS = 300
GOAL_MEGABITS = 1
CLIP_MILLISECONDS = 10_000
STAGGER_SECONDS = 0.05
SETTLE_SECONDS = TAIL_SECONDS + 8
SAMPLES = 5


@dataclass(slots=True, frozen=True)
class Found:
    publishers: int
    megabits: int
    idle_mib: float
    peak_mib: float
    retained_mib: float

    @property
    def each_mib(self) -> float:
        return (self.peak_mib - self.idle_mib) / self.publishers

    def __str__(self) -> str:
        return (
            f"{self.publishers:4} publishers of {self.megabits} Mb/s: RSS {self.peak_mib:.0f} MiB "
            f"(idle {self.idle_mib:.0f}), {self.each_mib:.2f} MiB each, of which "
            f"{self.retained_mib / self.publishers:.2f} MiB are kept"
        )


def looped(tags: list[FlvTag], seconds: float) -> list[FlvTag]:
    rounds = int(seconds * 1_000 / CLIP_MILLISECONDS) + 1
    return [tag for turn in range(rounds) for tag in later(tags, turn * CLIP_MILLISECONDS)]


async def measure(folder: Path, publishers: int, megabits: int) -> Found:
    source = make_source(folder / "source.flv", f"{megabits}M")
    tags = looped(flv_tags(source), 120)
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(running_hubs(publishers))
        rig = await stack.enter_async_context(broadcast_rig(folder, ports))
        idle = rss_mib(rig.gateway.pid)
        tasks = []
        for number in range(publishers):
            sending = send_tags(rig.rtmp_port, f"s{number}?{KEY}", tags, speed=1)
            tasks.append(asyncio.create_task(sending))
            await asyncio.sleep(STAGGER_SECONDS)
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            samples = []
            for _ in range(SAMPLES):
                samples.append(rss_mib(rig.gateway.pid))
                await asyncio.sleep(1)
            metrics = await rig.gateway_metrics()
            assert metrics["sluice_gateway_publishers"] == publishers, metrics
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    retained = metrics["sluice_gateway_retained_bytes"] / (1 << 20)
    return Found(publishers, megabits, idle, max(samples), retained)


async def main(asked: list[str]) -> int:
    # All of them come from one address.
    os.environ["SLUICE_MAX_CONNECTIONS_PER_ADDRESS"] = "0"
    beyond = False
    for words in asked or ["10x6", f"{GOAL_PUBLISHERS}x{GOAL_MEGABITS}"]:
        publishers, _, megabits = words.partition("x")
        with tempfile.TemporaryDirectory() as folder:
            found = await measure(Path(folder), int(publishers), int(megabits))
        print(found, flush=True)
        if found.megabits == GOAL_MEGABITS:
            goal = found.idle_mib + GOAL_PUBLISHERS * found.each_mib
            print(f"{GOAL_PUBLISHERS} such publishers: {goal:.0f} MiB of {LIMIT_MIB}", flush=True)
            beyond = beyond or goal > LIMIT_MIB
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
