"""``python -m tests.bench.ingest``: what taking publishers in costs, beside others.

One interleaved run on this machine, no cluster: 1, 10 and 30 publishers of 6 Mb/s at the gateway
(RTMP), at an nginx with Debian's libnginx-mod-rtmp that pushes each stream on to a second nginx, as
the gateway does to hubs, at the gateway over SRT, and at as many srt-live-transmit. CPU time is
that of the process itself, from /proc. Every publisher has a real hub and no recorder; the first
one's is a process of its own and has one reader, the others' share a process. RSS is the gateway's,
at the end of the run.

Exit code 1 when a figure is beyond its limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from sluice_media.protocols.srt import ConnectionLost, SrtTarget, connect
from tests.bench.hubs import running_hubs
from tests.support.broadcast_rig import KEY, BroadcastRig, broadcast_rig
from tests.support.ports import free_port
from tests.support.recorder_rig import ROOT
from tests.support.rtmp_encoder import flv_tags, send_tags

PUBLISHERS = tuple(int(n) for n in os.environ.get("SLUICE_BENCH_PUBLISHERS", "1,10,30").split(","))
MEASURE_SECONDS = float(os.environ.get("SLUICE_BENCH_SECONDS", "10"))
SETTLE_SECONDS = 3.0
BITS = "6M"
STAGGER_SECONDS = 0.25
STARTS = 12
LIMIT_RATIO = 4.0
LIMIT_SRT_RATIO = 1.3
LIMIT_HUB_PERCENT = 2.0
LIMIT_START_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")

_NGINX = """
worker_processes 1; daemon off; master_process off; pid {folder}/{name}.pid;
error_log {folder}/{name}-error.log;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{ worker_connections 1024; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096;
  application live {{ live on; {push} }} }} }}
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def make_source(path: Path, bits: str = BITS) -> Path:
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "10"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-pix_fmt", "yuv420p"]
    command += ["-b:v", bits, "-minrate", bits, "-maxrate", bits, "-bufsize", bits]
    command += ["-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k", "-f", "flv"]
    subprocess.run([*command, str(path)], check=True, timeout=120)
    return path


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[int]:
    running = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PYTHONPATH": str(ROOT / "images/media/src"), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


@asynccontextmanager
async def publishers(source: Path, urls: list[str]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for url in urls:
            # Thirty at once would measure how FFmpeg starts, and SRT refuses whom it cannot look
            # up at once: FFmpeg does not come back.
            await asyncio.sleep(STAGGER_SECONDS)
            container = "mpegts" if url.startswith("srt:") else "flv"
            await stack.enter_async_context(
                process(
                    *("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(source)),
                    *("-c", "copy", "-f", container, url),
                )
            )
        yield


async def measured(pids: list[int]) -> list[float]:
    """Per cent of a core that each process takes."""
    before = [cpu_seconds(pid) for pid in pids]
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(MEASURE_SECONDS)
    spent = asyncio.get_running_loop().time() - began
    return [
        100 * (cpu_seconds(pid) - start) / spent for pid, start in zip(pids, before, strict=True)
    ]


async def all_on_air(rig: BroadcastRig, count: int) -> float:
    """Waits until every publisher is accepted and has settled; the seconds that the first took."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        while (await rig.gateway_metrics())["sluice_gateway_publishers"] < count:
            await asyncio.sleep(0.2)
    taken = asyncio.get_running_loop().time() - began
    await asyncio.sleep(SETTLE_SECONDS)
    return taken


def urls(rig: BroadcastRig, count: int, *, srt: bool) -> list[str]:
    names = ["news", *(f"s{n}" for n in range(count - 1))]
    if srt:
        port = rig.srt_port
        return [f"srt://127.0.0.1:{port}?pkt_size=1316&streamid=ns/{n}?{KEY}" for n in names]
    return [f"{rig.server}/{name}?{KEY}" for name in names]


@asynccontextmanager
async def nginx_pair(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Yields the first one's process and port."""
    first, second = free_port(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        pids = []
        for name, port, push in (
            ("second", second, ""),
            ("first", first, f"push rtmp://127.0.0.1:{second}/live;"),
        ):
            conf = folder / f"{name}.conf"
            conf.write_text(_NGINX.format(folder=folder, name=name, port=port, push=push))
            pids.append(
                await stack.enter_async_context(
                    process("nginx", "-p", str(folder), "-c", str(conf))
                )
            )
        await asyncio.sleep(0.5)
        yield pids[-1], first


@asynccontextmanager
async def srt_relays(count: int) -> AsyncIterator[tuple[list[int], list[str]]]:
    """One srt-live-transmit for each publisher, which passes the stream on over UDP; their
    processes and the URLs to publish to."""
    async with contextlib.AsyncExitStack() as stack:
        pids, to = [], []
        for _ in range(count):
            place = f"srt://127.0.0.1:{free_port()}"
            onward = f"udp://127.0.0.1:{free_port()}"
            command = (
                "srt-live-transmit",
                "-q",
                "-chunk",
                "1316",
                f"{place}?mode=listener",
                onward,
            )
            pids.append(await stack.enter_async_context(process(*command)))
            to.append(f"{place}?pkt_size=1316")
        await asyncio.sleep(0.5)
        yield pids, to


async def start_seconds(rig: BroadcastRig, source: Path, *, srt: bool) -> float:
    """The 95th percentile from the first byte to the first unit that a reader gets."""
    loop = asyncio.get_running_loop()
    clip = flv_tags(source)[:200]
    found = []
    ts = source.with_suffix(".ts")
    command = ("ffmpeg", "-v", "error", "-y", "-i", str(source), "-c", "copy", str(ts))
    subprocess.run(command, check=True, timeout=60)
    for _ in range(STARTS):
        async with rig.reading() as received:
            began = loop.time()
            sending = asyncio.create_task(
                _send_ts(rig, ts.read_bytes()[: 188 * 12_000])
                if srt
                else send_tags(rig.rtmp_port, f"news?{KEY}", clip, speed=1)
            )
            try:
                async with asyncio.timeout(10):
                    while not received.units:
                        await asyncio.sleep(0.005)
                found.append(loop.time() - began)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        await rig.until(lambda status: not status.on_air, 20)
        await asyncio.sleep(3)  # the resume window passes: a session of its own each time
    return statistics.quantiles(found, n=20)[-1]


async def _send_ts(rig: BroadcastRig, data: bytes) -> None:
    target = SrtTarget("127.0.0.1", rig.srt_port, SecretStr(f"ns/news?{KEY}"))
    bytes_per_second = 6_500_000 / 8
    with contextlib.suppress(ConnectionLost):
        async with connect(target) as caller:
            for at in range(0, len(data), 1_316):
                await caller.send(data[at : at + 1_316], round(at / bytes_per_second * 90_000))
                await asyncio.sleep(0.001)


async def main() -> int:
    # Thirty of each take more file descriptors than a shell often allows.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    beyond: list[str] = []

    def check(name: str, value: float, limit: float) -> None:
        if value > limit:
            beyond.append(f"{name}: {value:.2f}, limit {limit}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_source(folder / "source.flv")
        async with (
            running_hubs(max(PUBLISHERS) - 1) as ports,
            broadcast_rig(folder, ports) as rig,
            nginx_pair(folder) as (nginx, nginx_port),
        ):
            gateway, hub = rig.gateway.pid, rig.hub.pid
            idle = rss_mib(gateway)
            print(
                "publishers  gateway      hub        nginx     ratio   RSS/stream   SRT gateway"
                "   srt-live-transmit   ratio"
            )
            for count in PUBLISHERS:
                async with rig.reading(), publishers(source, urls(rig, count, srt=False)):
                    started = await all_on_air(rig, count)
                    ours, hubs = await measured([gateway, hub])
                    memory = (rss_mib(gateway) - idle) / count
                await asyncio.sleep(1)
                pushed = [f"rtmp://127.0.0.1:{nginx_port}/live/s{n}" for n in range(count)]
                async with publishers(source, pushed):
                    await asyncio.sleep(started + SETTLE_SECONDS)
                    (theirs,) = await measured([nginx])
                async with rig.reading(), publishers(source, urls(rig, count, srt=True)):
                    await all_on_air(rig, count)
                    (srt,) = await measured([gateway])
                async with srt_relays(count) as (relays, to), publishers(source, to):
                    await asyncio.sleep(SETTLE_SECONDS)
                    relayed = sum(await measured(relays))
                ratio = ours / theirs if theirs else float("inf")
                print(
                    f"{count:10}  {ours / count:6.2f} %  {hubs:6.2f} %  {theirs / count:7.3f} %"
                    f"  {ratio:6.1f}   {memory:6.1f} MiB   {srt / count:6.2f} %"
                    f"   {relayed / count:10.2f} %     {srt / relayed:6.2f}",
                    flush=True,
                )
                if count >= 10:  # one alone is below what /proc can tell
                    check(f"gateway / nginx at {count}", ratio, LIMIT_RATIO)
                    check(f"SRT / srt-live-transmit at {count}", srt / relayed, LIMIT_SRT_RATIO)
                check(f"hub at {count}, % of a core", hubs, LIMIT_HUB_PERCENT)
                await asyncio.sleep(3)
            for protocol, srt_too in (("RTMP", False), ("SRT", True)):
                seconds = await start_seconds(rig, source, srt=srt_too)
                print(f"first byte to first unit, {protocol}: p95 {seconds:.2f} s", flush=True)
                check(f"start over {protocol}, s", seconds, LIMIT_START_SECONDS)
    for line in beyond:
        print(f"beyond its limit: {line}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
