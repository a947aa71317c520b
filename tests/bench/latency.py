"""How long a producer waits for a word: `live` after publishing, `recording` after applying.

Publishing is measured from the first byte (RTMP, SRT: the connection's; WHIP: the offer's) to the
moment at which a watch says `live: true`. The senders are our own, so that the start of an
encoder's process is not in the figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from sluice_media.formats.mpegts import TsMuxer
from sluice_media.protocols.srt import SrtTarget, connect
from tests.bench.figures import Figure
from tests.support.cluster import publish_url
from tests.support.kubectl import Kubectl, condition
from tests.support.media_clips import read_flv
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.rtmp_encoder import flv_tags, send_tags
from tests.support.whip_rig import aiortc_publisher

RUNS = 20
LIVE_LIMIT_SECONDS = {"RTMP": 1.0, "SRT": 1.0, "WHIP": 2.0}
RECORDING_LIMIT_SECONDS = 3.0
WATCH_SECONDS = 60


@contextmanager
def watching(kube: Kubectl, kind: str, name: str) -> Iterator[Callable[[str], float]]:
    """A watch on one object; the callable waits for ``status[field]`` to be true and returns
    the moment at which the watch said so."""
    command = [kube.binary, f"--kubeconfig={kube.kubeconfig}", "-n", kube.namespace, "get", kind]
    command += [name, "--watch", "--output-watch-events", "-o", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = process.stdout
    patience = threading.Timer(WATCH_SECONDS, process.kill)
    patience.start()

    def objects() -> Iterator[dict[str, Any]]:
        for line in lines:
            yield json.loads(line)["object"]

    found: Iterator[dict[str, Any]] = objects()
    # The first one says that the watch is on; it counts too.
    found = itertools.chain([next(found)], found)

    def until(field: str) -> float:
        for obj in found:
            if obj.get("status", {}).get(field):
                return time.time()
        raise AssertionError(f"{kind}/{name}: not {field} within {WATCH_SECONDS} s")

    try:
        yield until
    finally:
        patience.cancel()
        process.kill()
        process.wait()


Began = Callable[[], None]
"""To be called by a sender when its first byte is about to go."""
Send = Callable[[Began], Coroutine[Any, Any, None]]


@contextmanager
def sending(send: Send) -> Iterator[list[float]]:
    """Runs a sender in a thread of its own; yields the times at which it began (one)."""
    began: list[float] = []
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    failed: list[BaseException] = []
    running = threading.Event()

    async def run() -> None:
        task = asyncio.ensure_future(send(lambda: began.append(time.time())))
        started.append((asyncio.get_running_loop(), task))
        running.set()
        try:
            await task
        except asyncio.CancelledError:
            return
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="sender")
    thread.start()
    running.wait()
    try:
        yield began
    finally:
        loop, task = started[0]
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        if failed:
            raise AssertionError("the sender failed") from failed[0]


def over_rtmp(url: str, clip: Path) -> Send:
    place = urlsplit(url)
    app, _, name = place.path.strip("/").rpartition("/")
    tags = flv_tags(clip)

    async def send(began: Began) -> None:
        key, host = f"{name}?{place.query}", place.hostname or ""
        began()
        await send_tags(place.port or 1935, key, tags, host=host, app=app, speed=1)

    return send


def over_srt(url: str, clip: Path) -> Send:
    place = urlsplit(url)
    # The stream id has a question mark of its own, which the URL may carry as it is.
    stream_id = parse_qs(place.query)["streamid"][0]
    address = socket.gethostbyname(place.hostname or "")
    media = read_flv(clip)

    async def send(began: Began) -> None:
        muxer = TsMuxer(media.formats)
        began()
        target = SrtTarget(address, place.port or 9710, SecretStr(stream_id))
        async with connect(target) as caller:
            first, loop = media.units[0].dts, asyncio.get_running_loop()
            start = loop.time()
            for unit in media.units:
                ahead = (unit.dts - first) / 90_000 - (loop.time() - start)
                if ahead > 0:
                    await asyncio.sleep(ahead)
                await caller.send(muxer.write(unit), unit.dts)

    return send


def over_whip(url: str, token: str) -> Send:
    place = urlsplit(url)

    async def send(began: Began) -> None:
        server = f"{place.scheme}://{place.netloc}"
        async with aiortc_publisher(server, token, path=place.path, on_post=began):
            await asyncio.sleep(WATCH_SECONDS)

    return send


def publish_to_live(kube: Kubectl, clip: Path) -> list[Figure]:
    """For each protocol. The resume window passes between runs: each one is a session."""
    kube.apply(livestream("live", resumeWindowSeconds=1))
    rtmp, srt, whip, token = (
        publish_url(kube, "live", key) for key in ("rtmpUrl", "srtUrl", "whipUrl", "whipToken")
    )
    senders = {
        "RTMP": over_rtmp(rtmp, clip),
        "SRT": over_srt(srt, clip),
        "WHIP": over_whip(whip, token),
    }
    return [
        Figure(
            f"first byte -> live: true, {protocol}",
            "s",
            tuple(_seconds_to_live(kube, send) for _ in range(RUNS)),
            LIVE_LIMIT_SECONDS[protocol],
        )
        for protocol, send in senders.items()
    ]


def _seconds_to_live(kube: Kubectl, send: Send) -> float:
    with watching(kube, "livestream", "live") as until, sending(send) as began:
        seconds = until("live") - began[0]
    kube.wait(
        "livestream",
        "live",
        lambda o: condition(o, "Live")["reason"] == "WaitingForPublisher",
        why="has ended",
    )
    return seconds


STEPS = ("pod made", "pod scheduled", "container began", "worker began", "file begun", "status")
"""What happens between `kubectl apply` and `recording: true`, in this order. "pod made" and "pod
scheduled" are the moments at which a watch shows them; the worker begins before it imports
anything; "file begun" is the recorder's own log line."""

PROCESS_STARTS = """
import os, time
booted = time.time() - float(open("/proc/uptime").read().split()[0])
for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
    if pid != os.getpid():
        ticks = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19])
        print(booted + ticks / os.sysconf("SC_CLK_TCK"))
"""


@contextmanager
def pod_steps(kube: Kubectl, name: str) -> Iterator[dict[str, float]]:
    """Watches the pod of one Recording; yields the moments of its first steps as they come."""
    command = [kube.binary, f"--kubeconfig={kube.kubeconfig}", "-n", kube.namespace, "get", "pods"]
    command += ["--watch", "--output-watch-events", "-o", "json", "-l", f"sluice.video/name={name}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines, moments = process.stdout, dict[str, float]()

    def follow() -> None:
        for line in lines:
            pod = json.loads(line)["object"]
            moments.setdefault("pod made", time.time())
            if pod["spec"].get("nodeName"):
                moments.setdefault("pod scheduled", time.time())

    thread = threading.Thread(target=follow, name="pod watch")
    thread.start()
    try:
        yield moments
    finally:
        process.kill()
        process.wait()
        thread.join()


def recorder_steps(kube: Kubectl, name: str) -> dict[str, float]:
    """The moments of the recorder's own steps, from its pod."""
    [pod] = kube("get", "pods", "-o", "name", "-l", f"sluice.video/name={name}").split()
    starts = kube("exec", pod, "--", "python3", "-c", PROCESS_STARTS).split()
    logged = [json.loads(line) for line in kube("logs", pod).splitlines()]
    begun = next(entry["timestamp"] for entry in logged if entry["event"] == "file_begins")
    return {
        "container began": float(starts[0]),
        "worker began": float(starts[1]),
        "file begun": datetime.fromisoformat(begun).timestamp(),
    }


def apply_to_recording(kube: Kubectl, clip: Path) -> list[Figure]:
    kube.apply(livestream("taped"))
    kube.wait_condition("livestream", "taped", "Ready", seconds=120)
    runs: list[dict[str, float]] = []
    with Publisher(clip, publish_url(kube, "taped"), loop=True):
        kube.wait_condition("livestream", "taped", "Live")
        for number in range(RUNS // 2 + 1):
            name = f"tape-{number}"
            with pod_steps(kube, name) as moments:
                kube.apply(recording(name, "taped", minimumSeconds=0))
                applied = time.time()
                with watching(kube, "recording", name) as until:
                    moments["status"] = until("recording")
            moments |= recorder_steps(kube, name)
            runs.append({step: moments[step] - applied for step in STEPS})
            kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
            kube.wait_condition("recording", name, "Succeeded", seconds=90)
    # The first one also makes the namespace's MediaStore: that is not a warm start.
    print(f"the namespace's first recording: {runs[0]['status']:.2f} s (with its MediaStore)")
    steps = [
        Figure(f"  {step} after what is above it", "s", spent)
        for step, spent in _apart(runs[1:]).items()
    ]
    total = tuple(run["status"] for run in runs[1:])
    name = "Recording applied -> recording: true"
    return [*steps, Figure(name, "s", total, RECORDING_LIMIT_SECONDS)]


def _apart(runs: list[dict[str, float]]) -> dict[str, tuple[float, ...]]:
    """For each step, the seconds since the step before it, run by run."""
    earlier = dict(zip(STEPS[1:], STEPS, strict=False))
    return {
        step: tuple(run[step] - run.get(earlier.get(step, ""), 0.0) for run in runs)
        for step in STEPS
    }
