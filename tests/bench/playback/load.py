"""What many viewers cost the edge, beside an nginx that serves the same bytes as static files."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.ingest import make_source, process, publishers
from tests.bench.playback.processes import CpuMeter, LoadGenerator, Viewers
from tests.bench.playback.report import Report
from tests.support.edge_play_rig import EdgePlayRig, edge_play_rig
from tests.support.ports import free_port, wait_listening

__all__ = ["measure"]

BITS = "300k"
SETTLE_SECONDS = 8.0
CONNECT_SECONDS = 5.0
"""Time in which all viewers connect; figures leave it out."""
LIMIT_DELAY_MS = 150.0
LIMIT_CPU_RATIO = 2.0
LIMIT_ORIGIN_REQUESTS = 1.1
"""One request for each part and one for each state of the playlist, in each worker. The rest is for
the access check, for the play pod's check of the edge, and for the part on either side of the time
that is measured."""
_ORIGIN = "sluice_edge_origin_requests_total"

_NGINX = """
{user} worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files; }}
}}
"""


@asynccontextmanager
async def static_server(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Yield the pid and the port of an nginx with one process, for the files in ``files``."""
    (folder / "files").mkdir(parents=True)
    port = free_port()
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, user=user))
    nginx = ("nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    async with process(*nginx) as pid:
        await asyncio.to_thread(wait_listening, "127.0.0.1", port)
        yield pid, port


async def measure(
    report: Report, folder: Path, *, viewers: int, workers: int, rounds: int, seconds: float
) -> None:
    """Run rounds with the edge and rounds with static files, by turns."""
    folder.mkdir()
    generator = LoadGenerator(folder)
    source = make_source(folder / "source.flv", BITS)
    edge_rounds, static_rounds = [], []
    async with (
        edge_play_rig(folder / "rig", workers=workers) as rig,
        static_server(folder / "static") as (static_pid, port),
        publishers(source, [rig.url]),
    ):
        pod = rig.pods[0]
        await rig.session(pod)
        await asyncio.sleep(SETTLE_SECONDS)
        for _ in range(rounds):
            watch = asyncio.create_task(_origin_load(rig, seconds))
            through_edge = Viewers(viewers, seconds, rig.edge_url, pod.url)
            found = await generator.run(rig, pod, through_edge, rig.edge_pids)
            found |= await watch
            edge_rounds.append(found)
            report.note(_line("edge", found))
            report.note(f"play pod: {found['pod_percent']:.1f} % of a core")
            files = folder / "static" / "files"
            of_files = Viewers(viewers, seconds, f"http://127.0.0.1:{port}", pod.url, files)
            found = await generator.run(rig, pod, of_files, [static_pid])
            static_rounds.append(found)
            report.note(_line("static", found))
    _judge(report, edge_rounds, static_rounds, workers)


def _line(name: str, found: dict[str, Any]) -> str:
    """Return one round's figures."""
    delays = "  ".join(
        f"{what} p50 {ms['p50']:.0f} p95 {ms['p95']:.0f} p99 {ms['p99']:.0f}"
        for what, ms in (("playlist", found["playlist_ms"]), ("part", found["part_ms"]))
    )
    return (
        f"{name}: {found['viewers']} viewers, {found['answers'] / found['seconds']:.0f} answers/s, "
        f"{found['bytes'] * 8 / found['seconds'] / 1e6:.0f} Mb/s, ms: {delays}; "
        f"{found['edge_us_per_answer']:.1f} µs of CPU per answer, "
        f"{100 * found['edge_cpu_share']:.1f} % of a core, errors {found['errors'] or 'none'}"
    )


async def _origin_load(rig: EdgePlayRig, seconds: float) -> dict[str, float]:
    """Count the edge's requests and the stream's parts, in the middle of a round."""
    pod = rig.pods[0]
    path = f"{await rig.session(pod)}/video.m3u8"
    await asyncio.sleep(CONNECT_SECONDS + 1)
    cpu = CpuMeter([pod.pid])
    requests = (await asyncio.to_thread(rig.edge.metrics))[_ORIGIN]
    parts = _parts(await rig.text(pod, path))
    before = len(parts)
    clock = asyncio.get_running_loop().time
    end = clock() + seconds - CONNECT_SECONDS - 4
    while clock() < end:
        await asyncio.sleep(2)
        parts |= _parts(await rig.text(pod, path))
    requests = (await asyncio.to_thread(rig.edge.metrics))[_ORIGIN] - requests
    percent = cpu.percent()
    parts |= _parts(await rig.text(pod, path))
    return {
        "requests": requests,
        "objects": 2 * (len(parts) - before),
        "pod_percent": percent,
    }


def _parts(playlist: str) -> set[str]:
    """Return the URIs of the parts."""
    return set(re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', playlist))


def _judge(
    report: Report, edge: list[dict[str, Any]], static: list[dict[str, Any]], workers: int
) -> None:
    for what, key in (("playlist", "playlist_ms"), ("part", "part_ms")):
        delay = statistics.median(found[key]["p95"] for found in edge)
        report.figure(f"added delay of a {what}, p95", delay, "ms", limit=LIMIT_DELAY_MS)
    ours, theirs = (
        statistics.median(found["edge_us_per_answer"] for found in rounds)
        for rounds in (edge, static)
    )
    report.figure(
        f"edge CPU per answer, {ours:.1f} µs beside {theirs:.1f} µs of static files",
        *(ours / theirs, "times"),
        limit=LIMIT_CPU_RATIO,
    )
    requests = sum(found["requests"] for found in edge) / sum(found["objects"] for found in edge)
    report.figure(
        "origin requests per part or playlist, and worker",
        *(requests / workers, ""),
        limit=LIMIT_ORIGIN_REQUESTS,
    )
    errors = sum(sum(found["errors"].values()) for found in edge)
    report.figure("failed requests", errors, "", limit=0)
