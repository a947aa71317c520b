"""``python -m tests.bench restream``: what pushing costs, beside bare ``ffmpeg -c copy``.

One interleaved run on this machine, no cluster: one publisher of 1, 4 and 8 Mb/s, a real gateway
and hub, and 1, 5 and 10 pushers of that stream, each a process as in its pod. Their targets: over
RTMP an nginx with Debian's libnginx-mod-rtmp, over RTMPS the same one behind TLS, over SRT a
srt-live-transmit each, with encryption. As many FFmpeg processes read the same timeline (as
MPEG-TS) and push it over the same protocol to targets of the same kind in the same seconds. CPU
time is the processes' own, from /proc.

Exit code 1 when a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sluice_media.contract import (
    STREAM_KEY_FILE,
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    AddressGuard,
    PusherConfig,
    PusherStatus,
    PushState,
    StreamRef,
)
from tests.bench.ingest import process, publishers, rss_mib
from tests.support.broadcast_rig import HUB_TOKEN, BroadcastRig, broadcast_rig
from tests.support.push_peers import Authority, tls_in_front
from tests.support.srt_target import free_udp_port
from tests.support.target import free_port

__all__ = ["main"]

HOST = "127.0.0.1"
PROTOCOLS = ["rtmp", "rtmps", "srt"]
PASSPHRASE = "a-long-enough-passphrase"
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


@dataclass(slots=True, frozen=True)
class Place:
    """Where one of ours or one of theirs pushes to."""

    uri: str
    """For a pusher."""
    url: str
    """For FFmpeg, with everything in it."""
    key: str
    files: tuple[tuple[str, str], ...] = ()
    """What is mounted into the pusher beside the key."""


class Targets:
    """Targets of one protocol; each is for one publisher."""

    def __init__(
        self, protocol: str, folder: Path, rtmp_port: int, stack: contextlib.AsyncExitStack
    ) -> None:
        self._protocol, self._rtmp_port, self._stack = protocol, rtmp_port, stack
        self._authority = Authority(folder)

    async def place(self, key: str) -> Place:
        if self._protocol == "srt":
            return await self._listener(key)
        if self._protocol == "rtmp":
            uri = f"rtmp://{HOST}:{self._rtmp_port}/live"
            return Place(uri, f"{uri}/{key}", key)
        server = self._authority.server()
        authority = await self._stack.enter_async_context(tls_in_front(self._rtmp_port, server))
        uri = f"rtmps://{authority}/live"
        return Place(uri, f"{uri}/{key}", key, ((TARGET_CA_FILE, self._authority.pem),))

    async def _listener(self, key: str) -> Place:
        uri = f"srt://{HOST}:{free_udp_port(HOST)}"
        url = f"{uri}?mode=listener&passphrase={PASSPHRASE}"
        listen = ("srt-live-transmit", "-a", "no", "-q", "-chunk", "1316", url, "file://con")
        await self._stack.enter_async_context(process(*listen))
        files = ((TARGET_PASSPHRASE_FILE, PASSPHRASE),)
        return Place(uri, f"{uri}?passphrase={PASSPHRASE}&pkt_size=1316", key, files)


@asynccontextmanager
async def pusher(folder: Path, hub_port: int, place: Place) -> AsyncIterator[tuple[int, int]]:
    """A pusher as in its pod; yields its process and the port of its status."""
    files = (("hub/token", HUB_TOKEN), (STREAM_KEY_FILE, place.key), *place.files)
    for name, content in files:
        (folder / "keys" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "keys" / name).write_text(content)
    mounted = [name for name, _ in files]
    config = PusherConfig(
        namespace="ns",
        name="bench",
        uid=f"bench-{place.key}",
        stream=StreamRef(name="news", uid="stream-uid", host=HOST),
        uri=place.uri,
        has_stream_key=True,
        has_ca=TARGET_CA_FILE in mounted,
        has_passphrase=TARGET_PASSPHRASE_FILE in mounted,
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
    folder: Path, rig: BroadcastRig, protocol: str, count: int, nginx: int, seconds: float
) -> tuple[float, float, float]:
    """CPU of our pushers and of FFmpeg, per cent of a core each, and our largest RSS in MiB."""
    timeline = f"http://{HOST}:{rig.hub_port}/v1/timeline?format=ts"
    async with contextlib.AsyncExitStack() as stack:
        folder.mkdir()
        targets = Targets(protocol, folder, nginx, stack)
        ours, theirs = [], []
        for number in range(count):
            pid, port = await stack.enter_async_context(
                pusher(folder / f"p{number}", rig.hub_port, await targets.place(f"ours{number}"))
            )
            await until_live(port)
            ours.append(pid)
            container = "mpegts" if protocol == "srt" else "flv"
            theirs.append(
                await stack.enter_async_context(
                    process(
                        *("ffmpeg", "-v", "error", "-nostdin"),
                        *("-headers", f"Authorization: Bearer {HUB_TOKEN}\r\n"),
                        *("-probesize", "500000", "-analyzeduration", "500000"),
                        *("-f", "mpegts", "-i", timeline, "-c", "copy"),
                        *("-f", container, (await targets.place(f"theirs{number}")).url),
                    )
                )
            )
        await asyncio.sleep(SETTLE_SECONDS)
        both = await asyncio.gather(measured(ours, seconds), measured(theirs, seconds))
        assert all(Path(f"/proc/{pid}/stat").exists() for pid in theirs), "an FFmpeg has gone"
        return both[0] / count, both[1] / count, max(map(rss_mib, ours))


async def run(protocols: list[str], megabits: list[int], counts: list[int], seconds: float) -> int:
    beyond: list[str] = []
    print("protocol  Mb/s  targets   pusher     ffmpeg -c copy   ratio   RSS of a pusher")
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
                for protocol, count in itertools.product(protocols, counts):
                    place = folder / f"{protocol}-{rate}-{count}"
                    ours, theirs, rss = await compare(place, rig, protocol, count, port, seconds)
                    ratio = ours / theirs if theirs else float("inf")
                    print(
                        f"{protocol:8}  {rate:4}  {count:7}   {ours:6.2f} %     {theirs:6.2f} %"
                        f"       {ratio:5.2f}   {rss:6.1f} MiB",
                        flush=True,
                    )
                    what = f"{rate} Mb/s to {count} over {protocol}"
                    if ratio > LIMIT_RATIO:
                        beyond.append(f"{what}: {ratio:.2f} times FFmpeg, limit {LIMIT_RATIO}")
                    if rss > LIMIT_RSS_MIB:
                        beyond.append(f"{what}: {rss:.0f} MiB, limit {LIMIT_RSS_MIB:.0f}")
    for line in beyond:
        print(f"beyond its limit: {line}")
    return 1 if beyond else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench restream", description=__doc__)
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--megabits", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    return asyncio.run(run(given.protocols, given.megabits, given.targets, given.seconds))
