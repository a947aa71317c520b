"""Finalising beside a plain copy of the same bytes: ``python -m tests.bench finalise``.

A recording of 1 GB (6 Mb/s, chunks of 6 s) lies on a claim and in a bucket (versitygw on this
machine), and its bytes in one file. In turns the store's finaliser makes an MP4 of the chunks, of
either place, and ``ffmpeg -c copy -movflags +faststart`` one of the file, at the same low priority.
Compared are wall clock and CPU. Of ours are taken off, and printed apart: the digests, bringing
the MP4 to the disk and to its place, and, of the bucket, what fetching the same chunks takes alone,
measured in the same round. ``--folder`` says on which disk.
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
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sluice_media.formats.units import AccessUnit
from sluice_media.pod.logs import configure_logging
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.plan import PlannedFile
from sluice_media.recording.journal import Journal
from sluice_media.recording.merge import MergedFile, merge
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store.chunk_source import ChunkSource
from sluice_media.store.finalize import NICE, FinalizeJob, Timings, finalize
from sluice_media.timeline.framing import track_infos
from tests.support.media_clips import Clip, read_flv
from tests.support.s3 import S3Server, s3_server

__all__ = ["main"]

MEGABYTES = 1024
ROUNDS = 3
LIMIT = 1.3
CLAIM, BUCKET = "claim", "bucket"
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


@dataclass(slots=True)
class Apart:
    """What is not FFmpeg's work."""

    hash_cpu_seconds: float
    """Of checking the chunks."""
    fetch: Spent
    """Without the digests."""
    timings: Timings


async def fetch(storage: ObjectStore, file: MergedFile) -> Spent:
    """What bringing the chunks here takes without FFmpeg, and without their digests."""
    source = ChunkSource(storage, PREFIX, file.chunks, file.tracks)
    with Meter() as meter:
        async with aclosing(source.blocks()) as blocks:
            async for _ in blocks:
                pass
    spent = meter.spent
    return Spent(spent.wall_seconds, spent.cpu_seconds - source.hash_seconds)


async def ours(storage: ObjectStore, file: MergedFile, scratch: Path) -> tuple[Spent, Apart]:
    """One MP4 by the finaliser: what it took without what is apart, and that."""
    # A claim's chunks are read by FFmpeg itself: nothing is fetched.
    fetched = Spent(0.0, 0.0) if storage.root is not None else await fetch(storage, file)
    job = FinalizeJob("bench", PREFIX, "bench", "pvc://bench/", file)
    with Meter() as meter:
        await finalize(storage, job, scratch)
    await storage.delete(job.key)
    timings, spent = job.timings, meter.spent
    apart = Apart(timings.chunk_hash_cpu_seconds, fetched, timings)
    wall = spent.wall_seconds - timings.sync_seconds - timings.transfer_seconds
    cpu = spent.cpu_seconds - timings.transfer_cpu_seconds - apart.hash_cpu_seconds
    return Spent(wall - fetched.wall_seconds, cpu - fetched.cpu_seconds), apart


def plain(whole: Path, output: Path) -> Spent:
    with Meter() as meter:
        subprocess.run(
            [*PLAIN, str(whole), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy",
             "-bsf:a", "aac_adtstoasc", "-movflags", "+faststart", str(output)],
            check=True,
        )  # fmt: skip
    output.unlink()
    return meter.spent


def in_bucket(server: S3Server, chunks: Path) -> ObjectStore:
    """The same chunks as objects."""
    place = server.objects / PREFIX / "a"
    place.mkdir(parents=True)
    for chunk in chunks.iterdir():
        (place / chunk.name).hardlink_to(chunk)
    return server.storage()


async def measure(options: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    claim, chunks = open_volume(folder / "store"), folder / "store" / PREFIX / "a"
    print(f"== recording {options.megabytes} MB", flush=True)
    file = record(chunks, make_source(folder), options.megabytes << 20)
    bucket = in_bucket(stack.enter_context(s3_server(folder)), chunks)
    whole = folder / "whole.ts"
    with whole.open("wb") as sink:
        for chunk in file.chunks:
            sink.write((chunks / chunk.entry.name).read_bytes())
    os.sync()
    size = whole.stat().st_size
    print(f"   {size / 1e6:.0f} MB in {len(file.chunks)} chunks, {file.duration_seconds:.0f} s")
    places = {CLAIM: (claim, folder / "store/.scratch"), BUCKET: (bucket, folder / "scratch")}
    ratios: dict[str, list[tuple[float, float]]] = {place: [] for place in places}
    for number in range(1, options.rounds + 1):
        base = await asyncio.to_thread(plain, whole, folder / "plain.mp4")
        print(f"round {number}: ffmpeg -c copy {_words(base)}", flush=True)
        for place, (storage, scratch) in places.items():
            spent, apart = await ours(storage, file, scratch)
            timings = apart.timings
            ratios[place].append(
                (spent.wall_seconds / base.wall_seconds, spent.cpu_seconds / base.cpu_seconds)
            )
            print(
                f"   {place}: {_words(spent)}; apart: fetching chunks {_words(apart.fetch)}, "
                f"checking them {apart.hash_cpu_seconds:.2f} s CPU, the MP4 to the disk "
                f"{timings.sync_seconds:.2f} s wall, digest and to its place "
                f"{timings.transfer_seconds:.2f} s wall {timings.transfer_cpu_seconds:.2f} s CPU",
                flush=True,
            )
    return max([_verdict(place, found) for place, found in ratios.items()])


def _words(spent: Spent) -> str:
    return f"{spent.wall_seconds:.2f} s wall {spent.cpu_seconds:.2f} s CPU"


def _verdict(place: str, ratios: list[tuple[float, float]]) -> int:
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    beyond = max(wall, cpu) > LIMIT
    verdict = "BEYOND" if beyond else "within"
    print(f"{place}: median ratio: wall {wall:.2f}, CPU {cpu:.2f} ({verdict} {LIMIT})", flush=True)
    return int(beyond)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench finalise")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, help="for everything; else where temporary files go")
    options = parser.parse_args(arguments)
    configure_logging("ERROR", "text")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, ExitStack() as stack:
        return asyncio.run(measure(options, Path(folder), stack))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
