"""What playback costs a stream that has none: the hub of this checkout beside the hub of an older
commit, in the same seconds."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.ingest import make_source
from tests.bench.playback.report import Report
from tests.kube.paths import REPOSITORY

__all__ = ["measure"]

BITS = "6M"
LIMIT_BYTES_RATIO = 1.01
"""One frame more or less at the ends of a round."""
LIMIT_PACKETS_RATIO = 1.03
"""The kernel joins packets that wait. Two equal hubs, measured with ``--base HEAD``: 0.99."""
LIMIT_CPU_RATIO = 1.1
"""Two equal hubs: 0.97."""
_SCRIPT = Path(__file__).with_name("bare_hub.py")


@contextmanager
def _checkout(base: str, folder: Path) -> Iterator[None]:
    """Check a commit out into a folder."""
    git = ("git", "-C", str(REPOSITORY), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), base], check=True)
    try:
        yield
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


async def _hub(root: Path, source: Path, rounds: int, seconds: float) -> list[dict[str, float]]:
    """Run the gateway and the hub of a checkout with the test rig of that checkout; return the
    figures of each round."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_SCRIPT), str(source), str(rounds), str(seconds)),
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'images/media/src'}"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, f"the hub of {root} failed"
    return [json.loads(line) for line in output.splitlines()]


async def measure(report: Report, folder: Path, *, base: str, rounds: int, seconds: float) -> None:
    """Run both hubs at once, each with a publisher and a recorder's reader."""
    if not base:
        report.note("skipped: give the commit to compare with, as --base COMMIT")
        return
    folder.mkdir()
    source = make_source(folder / "source.flv", BITS)
    with _checkout(base, folder / "base"):
        ours, theirs = await asyncio.gather(
            _hub(REPOSITORY, source, rounds, seconds),
            _hub(folder / "base", source, rounds, seconds),
        )
    for name, unit, limit in (
        ("bytes", "bytes/s", LIMIT_BYTES_RATIO),
        ("packets", "packets/s", LIMIT_PACKETS_RATIO),
        ("cpu", "% of a core", LIMIT_CPU_RATIO),
    ):
        now, before = (
            statistics.fmean(found[name] for found in rounds_of) for rounds_of in (ours, theirs)
        )
        report.figure(
            f"hub without play pods, {name}: {now:.2f} {unit}, with {base} {before:.2f}",
            *(now / before, "times"),
            limit=limit,
        )
