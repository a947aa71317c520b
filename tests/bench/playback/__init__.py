"""``python -m tests.bench playback [PIECE …]``: what viewers of a stream see, and what it costs.

Real gateway, hub and play pods, and the real edge, as processes on this machine; no cluster.

- ``latency``: delay of two players in Chromium, read from a clock in the picture
- ``load``: a thousand viewers, beside an nginx with the same bytes as static files
- ``pod``: CPU and memory of a play pod
- ``bytes``: two play pods are equal, while each is replaced once
- ``nothing``: a stream without playback, beside an older commit (``--base COMMIT``)

Exit code 1 when a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench.playback import equal, latency, load, nothing, pod
from tests.bench.playback.report import Report

__all__ = ["main"]

Piece = Callable[[Report, Path, argparse.Namespace], Awaitable[None]]

PIECES: dict[str, Piece] = {
    "latency": lambda report, folder, given: latency.measure(
        *(report, folder), seconds=given.watch_seconds, joins=given.joins
    ),
    "load": lambda report, folder, given: load.measure(
        *(report, folder),
        viewers=given.viewers,
        workers=given.workers,
        rounds=given.rounds,
        seconds=given.seconds,
    ),
    "pod": lambda report, folder, given: pod.measure(
        *(report, folder), rounds=given.rounds, seconds=given.seconds, dvr_seconds=given.dvr_seconds
    ),
    "bytes": lambda report, folder, given: equal.measure(report, folder, minutes=given.minutes),
    "nothing": lambda report, folder, given: nothing.measure(
        *(report, folder), base=given.base, rounds=given.rounds, seconds=given.seconds
    ),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench playback")
    parser.add_argument("pieces", nargs="*", metavar="PIECE", help=f"of {', '.join(PIECES)}")
    parser.add_argument("--rounds", type=int, default=3, help="of load, pod and nothing")
    parser.add_argument("--seconds", type=float, default=25.0, help="of each round")
    parser.add_argument(
        "--watch-seconds", type=float, default=60.0, help="of the first join of latency"
    )
    parser.add_argument("--joins", type=int, default=5, help="of latency")
    parser.add_argument("--viewers", type=int, default=1000, help="of load")
    parser.add_argument("--workers", type=int, default=1, help="nginx workers of load")
    parser.add_argument("--dvr-seconds", type=int, default=0, help="of pod")
    parser.add_argument("--minutes", type=float, default=5.0, help="of bytes")
    parser.add_argument("--base", default="", help="commit that nothing is compared with")
    given = parser.parse_args(arguments)
    if unknown := set(given.pieces) - set(PIECES):
        parser.error(f"no such piece: {', '.join(sorted(unknown))}")
    report = Report()
    for name in given.pieces or PIECES:
        report.begin(name)
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_awaited(PIECES[name](report, Path(folder) / name, given)))
    for line in report.beyond:
        print(f"beyond its limit: {line}")
    return 1 if report.beyond else 0


async def _awaited(piece: Awaitable[None]) -> None:
    await piece
