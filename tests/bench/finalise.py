"""Finalising beside a plain copy of the same bytes: ``python -m tests.bench finalise``.

A recording of 1 GB (6 Mb/s, chunks of 6 s) lies on a claim, and its bytes in one file. In turns
the store's finaliser makes an MP4 of the chunks, and ``ffmpeg -c copy -movflags +faststart`` one of
the file, at the same low priority. Compared are wall clock and CPU of both, ours without the
digests and without bringing the MP4 to its place, which are printed apart; ``--s3`` adds what
bringing it into a bucket takes (versitygw on this machine).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sluice_media.logs import configure_logging
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.journal import Journal
from sluice_media.record.merge import MergedFile, merge
from sluice_media.record.plan import PlannedFile
from sluice_media.store.finalize import NICE, FinalizeJob, Timings, finalize
from sluice_media.store.target import Target, open_claim
from sluice_media.timeline.framing import track_infos
from sluice_media.units import AccessUnit
from tests.media.media_clips import Clip, read_flv
from tests.support.s3 import s3_server

__all__ = ["main"]

MEGABYTES = 1024
ROUNDS = 3
LIMIT = 1.3
CLIP_SECONDS = 20
START = datetime(2026, 5, 1, 12, tzinfo=UTC)
PREFIX = "recordings/bench"
PLAIN = (
    "nice", "-n", str(NICE),
    "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "mpegts", "-i",
)  # fmt: skip


@dataclass(slots=True)
class Spent:
    wall_seconds: float
    cpu_seconds: float


class Meter:
    """Wall clock and CPU of this process and of the children that ended."""

    def __enter__(self) -> Meter:
        self._wall, self._cpu = time.monotonic(), _cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.spent = Spent(time.monotonic() - self._wall, _cpu_seconds() - self._cpu)


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def make_source(folder: Path) -> Clip:
    """A clip of 6 Mb/s: a moving picture with noise."""
    path = folder / "clip.flv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
         "testsrc2=size=640x360:rate=25,noise=alls=40:allf=t", "-f", "lavfi", "-i",
         "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast",
         "-pix_fmt", "yuv420p", "-b:v", "6M", "-minrate", "6M", "-maxrate", "6M", "-bufsize", "6M",
         "-g", "50", "-x264-params", "scenecut=0:nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k",
         "-ac", "2", "-t", str(CLIP_SECONDS), "-f", "flv", str(path)],
        check=True,
    )  # fmt: skip
    return read_flv(path)


def repeated(clip: Clip, size_bytes: int) -> Iterator[AccessUnit]:
    """The clip over and over, its times going on."""
    shift = sent = 0
    while sent < size_bytes:
        for unit in clip.units:
            sent += len(unit.payload)
            yield replace(unit, dts=unit.dts + shift, pts=unit.pts + shift)
        shift += CLIP_SECONDS * 90_000


def record(folder: Path, clip: Clip, size_bytes: int) -> MergedFile:
    """The chunks that a recorder makes of it, and the file that they are."""
    folder.mkdir(parents=True)
    file = PlannedFile(1, "t1", clip.units[0].dts, START, START, track_infos(clip.formats))
    cutter = ChunkCutter(folder)
    closed: list[ClosedChunk] = []
    for unit in repeated(clip, size_bytes):
        stamped = replace(unit, utc_us=round(START.timestamp() * 1e6) + unit.dts * 100 // 9)
        file.take(stamped)
        closed += cutter.write(file, [stamped])
    closed += cutter.close()
    entry = file.entry().model_copy(update={"chunks": [chunk.entry for chunk in closed]})
    journal = Journal(attempt="a", recording_uid="bench", started_at=START, files=[entry])
    return merge([journal])[0]


async def ours(target: Target, file: MergedFile, scratch: Path) -> tuple[Spent, Timings]:
    """One MP4 by the finaliser: what it took without digests and transfer, and these."""
    job = FinalizeJob("bench", PREFIX, "bench", "pvc://bench/", file)
    with Meter() as meter:
        await finalize(target, job, scratch)
    timings = job.timings
    spent = meter.spent
    return (
        Spent(
            spent.wall_seconds - timings.hash_seconds - timings.transfer_seconds,
            spent.cpu_seconds - timings.hash_cpu_seconds - timings.chunk_hash_cpu_seconds,
        ),
        timings,
    )


def plain(whole: Path, output: Path) -> Spent:
    with Meter() as meter:
        subprocess.run(
            [*PLAIN, str(whole), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy",
             "-bsf:a", "aac_adtstoasc", "-movflags", "+faststart", str(output)],
            check=True,
        )  # fmt: skip
    output.unlink()
    return meter.spent


async def measure(options: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    target = open_claim(folder / "store")
    print(f"== recording {options.megabytes} MB", flush=True)
    file = record(folder / "store" / PREFIX / "a", make_source(folder), options.megabytes << 20)
    whole = folder / "whole.ts"
    with whole.open("wb") as sink:
        for chunk in file.chunks:
            sink.write((folder / "store" / PREFIX / "a" / chunk.entry.name).read_bytes())
    os.sync()
    size = whole.stat().st_size
    print(f"   {size / 1e6:.0f} MB in {len(file.chunks)} chunks, {file.duration_seconds:.0f} s")
    wall_ratios, cpu_ratios = [], []
    for number in range(1, options.rounds + 1):
        base = await asyncio.to_thread(plain, whole, folder / "plain.mp4")
        spent, timings = await ours(target, file, folder / "store/.scratch")
        wall_ratios.append(spent.wall_seconds / base.wall_seconds)
        cpu_ratios.append(spent.cpu_seconds / base.cpu_seconds)
        print(
            f"round {number}: ffmpeg -c copy {base.wall_seconds:.2f} s wall "
            f"{base.cpu_seconds:.2f} s CPU; finaliser {spent.wall_seconds:.2f} s wall "
            f"{spent.cpu_seconds:.2f} s CPU; apart: checking chunks "
            f"{timings.chunk_hash_cpu_seconds:.2f} s CPU, fsync and digest of the MP4 "
            f"{timings.hash_seconds:.2f} s wall {timings.hash_cpu_seconds:.2f} s CPU, to its place "
            f"{timings.transfer_seconds:.2f} s",
            flush=True,
        )
    if options.s3:
        server = stack.enter_context(s3_server(folder))
        bucket = server.target()
        (server.objects / PREFIX).mkdir(parents=True)
        (folder / "store" / PREFIX / "a").rename(server.objects / PREFIX / "a")
        spent, timings = await ours(bucket, file, folder / "scratch")
        print(
            f"in a bucket: {spent.wall_seconds:.2f} s wall {spent.cpu_seconds:.2f} s CPU; "
            f"transfer {timings.transfer_seconds:.2f} s"
        )
    wall, cpu = statistics.median(wall_ratios), statistics.median(cpu_ratios)
    beyond = max(wall, cpu) > LIMIT
    verdict = "BEYOND" if beyond else "within"
    print(
        f"median ratio: wall {wall:.2f}, CPU {cpu:.2f} ({verdict} the limit of {LIMIT})", flush=True
    )
    return 1 if beyond else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench finalise")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--s3", action="store_true", help="also into a bucket")
    options = parser.parse_args(arguments)
    configure_logging("ERROR", "text")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        return asyncio.run(measure(options, Path(folder), stack))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
