"""What two viewers in a real browser see of each fault: the house's player and shaka, through the
edge. The picture has a clock, so a frozen or a late picture is measured."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support.clock_picture import ClockPublisher
from tests.support.cluster import Cluster, publish_url
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream
from tests.support.pod_process import process_of
from tests.support.viewers import Viewers, running_viewers

PLAY = "sluice.video/role=play"
INGEST = "sluice.video/role=ingest"
OPERATOR = "app.kubernetes.io/component=operator"
AFTER_SECONDS = 15
"""Time for which the viewers are watched after a fault."""


class Watched:
    """A stream with two publishers, and its viewers."""

    def __init__(
        self, kube: Kubectl, viewers: Viewers, primary: ClockPublisher, backup: ClockPublisher
    ) -> None:
        self.kube = kube
        self.viewers = viewers
        self.primary = primary
        self.backup = backup

    async def do(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a blocking action beside the browser."""
        return await asyncio.to_thread(action, *arguments, **options)

    async def figures(self) -> dict[str, dict[str, Any]]:
        return {"hls.js": await self.viewers.hls(), "shaka": await self.viewers.shaka()}

    async def pods(self, selector: str) -> list[dict[str, Any]]:
        found = await self.do(self.kube.list, "pods", "-l", selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def kill(self, pod: dict[str, Any], number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the process of a pod; return its pid."""
        pid: int = await self.do(process_of, pod["metadata"]["uid"])
        os.kill(pid, number)
        return pid

    async def until_ready(self, count: int) -> None:
        """Wait until so many play pods serve."""
        await self.do(
            self.kube.wait,
            "livestream",
            "show",
            lambda o: o["status"]["playback"]["replicas"]["ready"] == count,
            why=f"has {count} play pods",
            seconds=90,
        )


@asynccontextmanager
async def watched(kube: Kubectl, **playback: object) -> AsyncIterator[Watched]:
    """Yield a stream that is watched by both players."""
    playback = {"replicas": 2, "dvrSeconds": 120, **playback}
    kube.apply(livestream("show", playback=playback, resumeWindowSeconds=30))
    kube.wait_condition("livestream", "show", "Ready")
    with ExitStack() as stack:
        primary = stack.enter_context(ClockPublisher(publish_url(kube, "show")))
        await asyncio.to_thread(kube.wait_condition, "livestream", "show", "PlaybackReady")
        url = publish_url(kube, "show", "backupRtmpUrl")
        backup = stack.enter_context(ClockPublisher(url))
        # Players that begin with a session begin at its first picture, and catch up for a while.
        await asyncio.sleep(12)
        async with running_viewers() as viewers:
            status = await asyncio.to_thread(kube.status, "livestream", "show")
            await viewers.watch(status["playback"]["player"])
            await viewers.until_playing()
            await asyncio.sleep(8)
            stream = Watched(kube, viewers, primary, backup)
            await stream.until_ready(int(playback["replicas"]))  # type: ignore[call-overload]
            yield stream


@asynccontextmanager
async def seen(
    stream: Watched, *, stalls: int = 0, frozen_seconds: float = 1.0, late_seconds: float = 1.0
) -> AsyncIterator[None]:
    """Allow so many stalls, a picture that is frozen for so long, and so much more delay, from a
    fault until both players have played on for a while."""
    before = await stream.figures()
    await stream.viewers.run("viewers.thaw()")
    yield
    await asyncio.sleep(AFTER_SECONDS)
    after = await stream.figures()
    print(
        {
            name: {
                key: after[name].get(key)
                for key in ("stalls", "stallSeconds", "frozen", "delay", "errors")
            }
            for name in after
        }
    )
    for name, figures in after.items():
        assert figures["stalls"] - before[name]["stalls"] <= stalls, (name, figures)
        assert figures["frozen"] <= frozen_seconds, (name, figures)
        assert figures["delay"] <= before[name]["delay"] + late_seconds, (name, figures)
        assert figures["frames"] > before[name]["frames"] + 25 * (AFTER_SECONDS - 6), (
            name,
            figures,
        )
    assert after["hls.js"]["session"] == before["hls.js"]["session"]


async def test_nothing_is_seen_of_a_killed_encoder_with_a_backup(kube: Kubectl) -> None:
    """Its pictures of up to 2 s are repeated by the backup, so the delay grows by that time."""
    async with watched(kube) as stream, seen(stream, late_seconds=2.5):
        stream.primary.kill()


async def test_a_frozen_encoder_freezes_the_picture_for_a_second(kube: Kubectl) -> None:
    async with watched(kube) as stream:
        async with seen(stream, stalls=1, frozen_seconds=1.2, late_seconds=2.5):
            os.kill(stream.primary.pid, signal.SIGSTOP)
        os.kill(stream.primary.pid, signal.SIGCONT)


async def test_nothing_is_seen_of_a_killed_play_pod(kube: Kubectl) -> None:
    async with watched(kube) as stream:
        for pod in await stream.pods(PLAY):
            async with seen(stream):
                await stream.kill(pod)
            await stream.until_ready(2)


async def test_a_frozen_play_pod_is_seen_once_and_briefly(kube: Kubectl) -> None:
    async with watched(kube) as stream:
        [pod, _] = await stream.pods(PLAY)
        async with seen(stream, stalls=1, frozen_seconds=2.0, late_seconds=2.0):
            pid = await stream.kill(pod, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)


async def test_nothing_is_seen_of_an_update_of_the_play_pods(kube: Kubectl) -> None:
    async with watched(kube) as stream, seen(stream):
        old = {pod["metadata"]["uid"] for pod in await stream.pods(PLAY)}
        resources = {"requests": {"cpu": "15m"}}
        body = {"spec": {"playback": {"workload": {"resources": resources}}}}
        await stream.do(kube.patch, "livestream", "show", body)
        async with asyncio.timeout(150):
            while old & {pod["metadata"]["uid"] for pod in await stream.pods(PLAY)}:
                await asyncio.sleep(1)
        await stream.until_ready(2)


async def test_nothing_is_seen_of_an_update_of_the_edge(kube: Kubectl, sluice: Cluster) -> None:
    async with watched(kube) as stream, seen(stream):
        name = "deployment/sluice-edge"
        await stream.do(sluice.system, "rollout", "restart", name)
        await stream.do(sluice.system, "rollout", "status", name, "--timeout=120s")


async def test_nothing_is_seen_of_a_killed_operator(kube: Kubectl, sluice: Cluster) -> None:
    async with watched(kube) as stream, seen(stream):
        await stream.do(
            sluice.system, "delete", "pod", "-l", OPERATOR, "--grace-period=0", "--force"
        )


async def test_a_killed_ingest_pod_is_back_in_the_same_session(kube: Kubectl) -> None:
    async with watched(kube) as stream, seen(stream, stalls=1, frozen_seconds=5, late_seconds=5):
        [pod] = await stream.pods(INGEST)
        await stream.do(
            kube, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force"
        )


async def test_after_a_silent_source_both_players_have_their_former_delay(kube: Kubectl) -> None:
    """The encoder is gone for 6 s, within the resume window."""
    async with watched(kube) as stream:
        stream.backup.kill()
        await asyncio.sleep(2)
        stream.primary.kill()
        async with seen(stream, stalls=10, frozen_seconds=10, late_seconds=0.7):
            await asyncio.sleep(6)
            stream.primary = ClockPublisher(publish_url(kube, "show"))
        stream.primary.kill()


async def test_both_players_play_on_after_a_change_of_the_pictures_size(kube: Kubectl) -> None:
    async with watched(kube) as stream:
        stream.backup.kill()
        await asyncio.sleep(2)
        stream.primary.kill()
        async with seen(stream, stalls=10, frozen_seconds=6, late_seconds=2.0):
            stream.primary = ClockPublisher(publish_url(kube, "show"), width=640)
        assert await stream.viewers.run("document.getElementById('video').videoWidth") == 640
        stream.primary.kill()


def gstreamer_frames(uri: str) -> int:
    """Let GStreamer play 60 pictures of a stream; return how many it has decoded."""
    sink = ("videoconvert", "!", "fakesink", "num-buffers=60", "silent=false", "sync=true")
    done = subprocess.run(
        ["gst-launch-1.0", "-v", "uridecodebin3", f"uri={uri}", "caps=video/x-raw", "!", *sink],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    return done.stdout.count("chain   ******")


@pytest.mark.parametrize("name", ["hls", "dash", "hlsMpegts"])
async def test_gstreamer_plays_every_format(kube: Kubectl, name: str) -> None:
    async with watched(kube, replicas=1, hlsMpegts={"enabled": True}) as stream:
        status = await stream.do(kube.status, "livestream", "show")
        assert await stream.do(gstreamer_frames, status["playback"][name]) == 60
