"""Legs that come, go, stall and lose media for half an hour: ``python -m tests.bench soak``.

Limits: the memory of the hub's process within 5 % once its ring is full (the first two minutes),
the same number of open files, no error in its log.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.support.soak import FAULT_EVERY_SECONDS, soak

MINUTES = 30.0

WARM_SECONDS = 150.0

MEMORY_SHARE = 0.05


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-every-seconds", type=float, default=FAULT_EVERY_SECONDS)
    options = parser.parse_args(arguments)
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        warm = min(WARM_SECONDS, seconds / 2)
        report = asyncio.run(
            soak(
                Path(folder),
                seconds,
                warm,
                seed=options.seed,
                fault_every_seconds=options.fault_every_seconds,
            )
        )
    memory, files = report.memory_mib, report.files
    print(f"faults {report.faults}  failovers {report.failovers}  gaps {report.gaps}")
    print(f"units at the reader {report.units}  hub CPU {report.cpu_share:.1%} of a core")
    print(
        f"memory {min(memory):.1f} to {max(memory):.1f} MiB (+-{report.memory_spread:.1%} of the "
        f"mean; limit {MEMORY_SHARE:.0%})  open files {min(files)} to {max(files)}"
    )
    print(*report.errors[:20], sep="\n")
    # Each leg and each reader of the status is a file or two, for as long as it lasts.
    leaks = files[-1] - files[0] > 4
    beyond = report.memory_spread > MEMORY_SHARE
    return 1 if report.errors or leaks or beyond else 0
