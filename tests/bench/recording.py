"""What recording costs beside a bare FFmpeg: ``python -m tests.bench recording [--rounds N]``.

One stream of 6 Mb/s through a real gateway and a real hub; no cluster. In one interleaved run a
recorder process reads the timeline (and stores its chunks on a claim) while
``ffmpeg -c copy -f segment`` reads the same bytes with ``format=ts``. CPU time is that of the
processes themselves, from /proc, without their start. Exit code 1 beyond the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sluice_media.contract import RecorderPhase, StreamRef
from tests.support.broadcast_rig import HUB_TOKEN, BroadcastRig, broadcast_rig
from tests.support.heavy_clip import make_heavy_clip
from tests.support.publish import Publisher
from tests.support.recorder_rig import RecorderRig, recorder_rig

__all__ = ["Round", "main", "measure"]

LIMIT_RATIO = 1.2
ROUNDS = 5
ROUND_SECONDS = 20.0
SETTLE_SECONDS = 8.0
"""Past the first chunk and the burst out of the ring."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, frozen=True)
class Round:
    """Percent of one core, and MiB of memory that is in RAM."""

    recorder: float
    bare: float
    recorder_mib: float
    bare_mib: float

    @property
    def ratio(self) -> float:
        return self.recorder / self.bare


@asynccontextmanager
async def bare_ffmpeg(hub_port: int, folder: Path) -> AsyncIterator[int]:
    """The pid of an FFmpeg that cuts the same stream into files, and does nothing else."""
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-nostdin", "-f", "mpegts"),
        *("-headers", f"Authorization: Bearer {HUB_TOKEN}\r\n"),
        *("-i", f"http://127.0.0.1:{hub_port}/v1/timeline?format=ts&reader=bare&role=viewer"),
        *("-c", "copy", "-f", "segment", "-segment_time", "6", "-segment_format", "mpegts"),
        str(folder / "%06d.ts"),
    )
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def measure(folder: Path, clip: Path, rounds: int, round_seconds: float) -> list[Round]:
    stream = StreamRef(name="news", uid="stream-uid", host="localhost", resume_window_seconds=10)
    async with (
        broadcast_rig(folder / "pods") as rig,
        recorder_rig(folder / "rec", rig.hub_port, token=HUB_TOKEN, stream=stream) as recorder,
    ):
        with Publisher(clip, rig.url, loop=True):
            await rig.until(lambda s: s.on_air)
            await recorder.start()
            await recorder.until(lambda s: s.phase is RecorderPhase.RECORDING)
            async with bare_ffmpeg(rig.hub_port, folder / "bare") as bare:
                await asyncio.sleep(SETTLE_SECONDS)
                return [await _round(rig, recorder, bare, round_seconds) for _ in range(rounds)]


async def _round(rig: BroadcastRig, recorder: RecorderRig, bare: int, seconds: float) -> Round:
    assert recorder.process is not None
    pids = (recorder.process.pid, bare)
    before = [_cpu_seconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    spent = [100 * (_cpu_seconds(p) - b) / seconds for p, b in zip(pids, before, strict=True)]
    assert (await rig.status()).on_air
    found = Round(spent[0], spent[1], _rss_mib(pids[0]), _rss_mib(pids[1]))
    print(
        f"recorder {found.recorder:.2f} %  bare ffmpeg {found.bare:.2f} %  "
        f"ratio {found.ratio:.2f}  RSS {found.recorder_mib:.0f} and {found.bare_mib:.0f} MiB",
        flush=True,
    )
    return found


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="recording", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=ROUND_SECONDS, help="of each round")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pods").mkdir()
        clip = make_heavy_clip(folder / "heavy.flv")
        bits = clip.stat().st_size * 8 / 30 / 1e6
        print(f"a stream of {bits:.1f} Mb/s", flush=True)
        found = asyncio.run(measure(folder, clip, options.rounds, options.seconds))
    recorder = statistics.fmean(r.recorder for r in found)
    bare = statistics.fmean(r.bare for r in found)
    ratio = recorder / bare
    print(
        f"recorder {recorder:.2f} % of a core, bare ffmpeg -c copy -f segment {bare:.2f} %: "
        f"ratio {ratio:.2f} ({'within' if ratio <= LIMIT_RATIO else 'BEYOND'} {LIMIT_RATIO}); "
        f"RSS {max(r.recorder_mib for r in found):.0f} MiB beside "
        f"{max(r.bare_mib for r in found):.0f} MiB"
    )
    return 1 if ratio > LIMIT_RATIO else 0
