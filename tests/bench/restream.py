"""``python -m tests.bench restream``: what pushing costs, beside bare ``ffmpeg -c copy``.

One interleaved run on this machine, no cluster: one publisher of 1, 4 and 8 Mb/s, a real gateway
and hub, and 1, 5 and 10 pushers of that stream, each a process as in its pod, at an nginx with
Debian's libnginx-mod-rtmp. As many FFmpeg processes read the same timeline (as MPEG-TS) and push it
to the same nginx in the same seconds. CPU time is the processes' own, from /proc.

Exit code 1 when a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sluice_media.contract import AddressGuard, PusherConfig, PusherStatus, PushState, StreamRef
from tests.bench.ingest import process, publishers, rss_mib
from tests.media.broadcast_rig import HUB_TOKEN, BroadcastRig, broadcast_rig
from tests.support.target import free_port

__all__ = ["main"]

HOST = "127.0.0.1"
LIMIT_RATIO = 2.0
LIMIT_RSS_MIB = 80.0
SETTLE_SECONDS = 4.0
_NGINX = """
worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{ worker_connections 1024; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096;
  application live {{ live on; }} }} }}
"""


def make_source(path: Path, megabits: int) -> Path:
    """H.264 and AAC at a constant bit rate, 30 pictures a second."""
    rate = f"{megabits}M"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "10"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-pix_fmt", "yuv420p"]
    command += ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
    command += ["-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k", "-f", "flv"]
    subprocess.run([*command, str(path)], check=True, timeout=120)
    return path


@asynccontextmanager
async def pusher(folder: Path, hub_port: int, uri: str, key: str) -> AsyncIterator[tuple[int, int]]:
    """A pusher as in its pod; yields its process and the port of its status."""
    for name, content in (("hub/token", HUB_TOKEN), ("streamkey/key", key)):
        (folder / "keys" / name).parent.mkdir(parents=True)
        (folder / "keys" / name).write_text(content)
    config = PusherConfig(
        namespace="ns",
        name="bench",
        uid=f"bench-{key}",
        stream=StreamRef(name="news", uid="stream-uid", host=HOST),
        uri=uri,
        has_stream_key=True,
        guard=AddressGuard(allowed=["127.0.0.0/8"]),
    )
    (folder / "config.json").write_text(config.to_json())
    port = free_port(HOST)
    environment = {
        "SLUICE_CONFIG_FILE": str(folder / "config.json"),
        "SLUICE_KEYS_DIR": str(folder / "keys"),
        "SLUICE_HUB_PORT": str(hub_port),
        "SLUICE_STATUS_PORT": str(port),
        "SLUICE_BIND": HOST,
    }
    async with process(sys.executable, "-m", "sluice_media", "push", **environment) as pid:
        yield pid, port


async def until_live(port: int, seconds: float = 30) -> None:
    url = f"http://{HOST}:{port}/v1/status"
    headers = {"Authorization": f"Bearer {HUB_TOKEN}"}
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url, headers=headers) as answer:
                    status = PusherStatus.model_validate_json(await answer.text())
                if status.state is PushState.LIVE:
                    return
            await asyncio.sleep(0.2)


def cpu_seconds(pid: int) -> float:
    """Of all threads, to the nanosecond: the ticks of ``stat`` are too coarse for a thin stream."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


async def measured(pids: list[int], seconds: float) -> float:
    """Per cent of a core that these processes take together."""
    before, began = sum(map(cpu_seconds, pids)), asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    spent = asyncio.get_running_loop().time() - began
    return 100 * (sum(map(cpu_seconds, pids)) - before) / spent


async def compare(
    folder: Path, rig: BroadcastRig, count: int, nginx: int, seconds: float
) -> tuple[float, float, float]:
    """CPU of our pushers and of FFmpeg, per cent of a core each, and our largest RSS in MiB."""
    timeline = f"http://{HOST}:{rig.hub_port}/v1/timeline?format=ts"
    async with contextlib.AsyncExitStack() as stack:
        ours, theirs = [], []
        for number in range(count):
            uri = f"rtmp://{HOST}:{nginx}/live"
            place = folder / f"p{number}"
            pid, port = await stack.enter_async_context(
                pusher(place, rig.hub_port, uri, f"ours{number}")
            )
            await until_live(port)
            ours.append(pid)
            theirs.append(
                await stack.enter_async_context(
                    process(
                        *("ffmpeg", "-v", "error", "-nostdin"),
                        *("-headers", f"Authorization: Bearer {HUB_TOKEN}\r\n"),
                        *("-probesize", "500000", "-analyzeduration", "500000"),
                        *("-f", "mpegts", "-i", timeline, "-c", "copy"),
                        *("-f", "flv", f"{uri}/theirs{number}"),
                    )
                )
            )
        await asyncio.sleep(SETTLE_SECONDS)
        both = await asyncio.gather(measured(ours, seconds), measured(theirs, seconds))
        assert all(Path(f"/proc/{pid}/stat").exists() for pid in theirs), "an FFmpeg has gone"
        return both[0] / count, both[1] / count, max(map(rss_mib, ours))


async def run(megabits: list[int], counts: list[int], seconds: float) -> int:
    beyond: list[str] = []
    print("Mb/s  targets   pusher     ffmpeg -c copy   ratio   RSS of a pusher")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port(HOST)
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
        nginx = ("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))
        for rate in megabits:
            source = make_source(folder / f"{rate}.flv", rate)
            (folder / f"rig{rate}").mkdir()
            async with (
                process(*nginx),
                broadcast_rig(folder / f"rig{rate}") as rig,
                publishers(source, [rig.url]),
            ):
                await rig.until(lambda status: status.on_air, 20)
                for count in counts:
                    place = folder / f"{rate}-{count}"
                    ours, theirs, rss = await compare(place, rig, count, port, seconds)
                    ratio = ours / theirs if theirs else float("inf")
                    print(
                        f"{rate:4}  {count:7}   {ours:6.2f} %     {theirs:6.2f} %       "
                        f"{ratio:5.2f}   {rss:6.1f} MiB",
                        flush=True,
                    )
                    what = f"{rate} Mb/s to {count}"
                    if ratio > LIMIT_RATIO:
                        beyond.append(f"{what}: {ratio:.2f} times FFmpeg, limit {LIMIT_RATIO}")
                    if rss > LIMIT_RSS_MIB:
                        beyond.append(f"{what}: {rss:.0f} MiB, limit {LIMIT_RSS_MIB:.0f}")
    for line in beyond:
        print(f"beyond its limit: {line}")
    return 1 if beyond else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench restream", description=__doc__)
    parser.add_argument("--megabits", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    return asyncio.run(run(given.megabits, given.targets, given.seconds))
