"""The delay that viewers in a browser see: the picture shows the time at which it was made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.bench.playback.report import Report, percentile
from tests.support.clock_picture import ClockPublisher
from tests.support.edge_play_rig import edge_play_rig
from tests.support.player_page import built_page
from tests.support.viewers import Viewers, running_viewers

__all__ = ["measure"]

LIMITS = {"hls": ("hls.js, LL-HLS", 3.5, 3.0), "shaka": ("shaka, LL-DASH", 2.5, 2.0)}
"""Function of the page -> name, and limit and goal of the delay's p95 in seconds."""
LIMIT_FIRST_PICTURE_SECONDS = 2.0
SAMPLE_SECONDS = 0.25
BEFORE_SECONDS = 10.0
"""Viewers join a stream that has been on air for some segments."""
SETTLE_SECONDS = 8.0
JOIN_SECONDS = 10.0
"""Time for which each join but the first is watched, and share of each join in the delays."""

Seen = tuple[dict[str, list[float]], dict[str, dict[str, Any]]]
"""Delays, and last figures, by player."""


async def measure(report: Report, folder: Path, *, seconds: float, joins: int) -> None:
    """Watch a stream through the edge with both players. They join more than once, because the
    place in a segment at which shaka joins changes its delay by half a second."""
    seen: list[Seen] = []
    page = await asyncio.to_thread(built_page)
    async with edge_play_rig(folder, player=page) as rig, running_viewers() as viewers:
        with ClockPublisher(rig.url):
            await rig.session(rig.pods[0])
            await asyncio.sleep(BEFORE_SECONDS)
            for length in [seconds, *[JOIN_SECONDS] * (joins - 1)]:
                await viewers.navigate("about:blank")
                await viewers.watch(f"{rig.edge_url}/")
                await viewers.until_playing()
                await asyncio.sleep(SETTLE_SECONDS)
                seen.append(await _watch(viewers, length))
    for player in LIMITS:
        _judge(report, player, seen)


def _judge(report: Report, player: str, seen: list[Seen]) -> None:
    name, limit, goal = LIMITS[player]
    found = [delay for delays, _ in seen for delay in _even(delays[player])]
    figures = [of_join[player] for _, of_join in seen]
    joins = " ".join(f"{percentile(delays[player], 0.5):.2f}" for delays, _ in seen)
    errors = [each["errors"] for each in figures if each["errors"]]
    report.note(
        f"{name}: n={len(found)}  p50 {percentile(found, 0.5):.2f} s  "
        f"p95 {percentile(found, 0.95):.2f} s  max {max(found):.2f} s  p50 of each join {joins}  "
        f"longest frozen picture {max(each['frozen'] for each in figures):.2f} s  "
        f"errors {errors or 'none'}"
    )
    report.figure(f"{name}: delay p95", percentile(found, 0.95), "s", limit=limit, goal=goal)
    first = max(each["firstPictureSeconds"] for each in figures)
    report.figure(f"{name}: first picture", first, "s", limit=LIMIT_FIRST_PICTURE_SECONDS)
    stalls = sum(each["stalls"] for each in figures)
    report.figure(f"{name}: stalls in all joins", stalls, "", limit=0)


def _even(delays: list[float]) -> list[float]:
    """Return as many delays as the other joins have."""
    count = int(JOIN_SECONDS / SAMPLE_SECONDS)
    return delays[:: max(1, len(delays) // count)][:count]


async def _watch(viewers: Viewers, seconds: float) -> Seen:
    """Return the delays of each player, and its last figures."""
    delays: dict[str, list[float]] = {player: [] for player in LIMITS}
    figures: dict[str, dict[str, Any]] = {}
    await viewers.run("viewers.thaw()")
    clock = asyncio.get_running_loop().time
    began = clock()
    for number in range(int(seconds / SAMPLE_SECONDS)):
        await asyncio.sleep(max(0.0, began + number * SAMPLE_SECONDS - clock()))
        for player in LIMITS:
            figures[player] = await viewers.run(f"viewers.{player}()")
            if (delay := figures[player]["delay"]) is not None:
                delays[player].append(delay)
    return delays, figures
