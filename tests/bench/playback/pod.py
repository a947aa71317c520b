"""What one stream costs its play pod: CPU and memory, with a few viewers and without."""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.ingest import make_source, publishers, rss_mib
from tests.bench.playback.processes import CpuMeter, LoadGenerator, Viewers
from tests.bench.playback.report import Report
from tests.support.edge_play_rig import edge_play_rig
from tests.support.play_rig import PlayPod

__all__ = ["measure"]

MEGABITS = (1, 6)
VIEWERS = 5
SETTLE_SECONDS = 12.0
"""The live window is then full, and the pod has asked its siblings."""
LIMIT_PERCENT = {6: 1.25}
"""Limit with viewers, by megabits per second."""
LIMIT_RSS_MB = 100.0


async def measure(
    report: Report, folder: Path, *, rounds: int, seconds: float, dvr_seconds: int
) -> None:
    """Run rounds with viewers and rounds without, by turns."""
    folder.mkdir()
    for megabits in MEGABITS:
        source = make_source(folder / f"{megabits}.flv", f"{megabits}M")
        with_viewers, without = [], []
        async with (
            edge_play_rig(folder / f"rig{megabits}", dvr_seconds=dvr_seconds) as rig,
            AsyncExitStack() as stack,
        ):
            pod = rig.pods[0]
            off_air = await _off_air(pod, seconds)
            await stack.enter_async_context(publishers(source, [rig.url]))
            await rig.session(pod)
            await asyncio.sleep(SETTLE_SECONDS)
            generator = LoadGenerator(folder)
            for _ in range(rounds):
                cpu = CpuMeter([pod.pid])
                viewers = Viewers(VIEWERS, seconds, rig.edge_url, rig.edge_url)
                await generator.run(rig, pod, viewers)
                with_viewers.append(cpu.percent())
                await asyncio.sleep(1)
                cpu = CpuMeter([pod.pid])
                await asyncio.sleep(seconds)
                without.append(cpu.percent())
                report.note(
                    f"{megabits} Mb/s: {with_viewers[-1]:.2f} % of a core with {VIEWERS} viewers, "
                    f"{without[-1]:.2f} % without, RSS {rss_mib(pod.pid):.0f} MiB"
                )
            window = (await rig.play_status(pod)).window_seconds
            rss_mb = rss_mib(pod.pid) * 1.048576
        window_mb = window * megabits / 8
        name = f"play pod at {megabits} Mb/s"
        report.note(
            f"{name}: {statistics.median(without):.2f} % of a core without viewers, "
            f"{off_air:.2f} % off air; RSS without its window {rss_mb - window_mb:.0f} MB"
        )
        busy = statistics.median(with_viewers)
        if (limit := LIMIT_PERCENT.get(megabits)) is not None:
            report.figure(f"{name}: CPU with {VIEWERS} viewers", busy, "%", limit=limit)
        else:
            report.note(f"{name}: CPU with {VIEWERS} viewers: {busy:.2f} %")
        report.figure(
            f"{name}: RSS, with a window of {window:.0f} s",
            *(rss_mb, "MB"),
            limit=round(LIMIT_RSS_MB + window_mb),
        )


async def _off_air(pod: PlayPod, seconds: float) -> float:
    """Return the CPU of a pod that has started and has no media, in per cent of a core."""
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = CpuMeter([pod.pid])
    await asyncio.sleep(seconds)
    return cpu.percent()
