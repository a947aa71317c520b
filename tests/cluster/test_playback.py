"""Watching a stream through the edge: in players, with signed URLs, and over the loss of a pod."""

from __future__ import annotations

import asyncio
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.conftest import SluiceCommand
from tests.support.cluster import publish_url
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream
from tests.support.publish import Publisher
from tests.support.viewers import running_viewers

PLAY = "sluice.video/role=play"
BROWSER_SECONDS = 60
"""Other tests use both cores of the machine meanwhile."""


def fetch(url: str) -> tuple[int, bytes]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def playable(url: str) -> str:
    """Decode four seconds of a stream; return what the decoder complains about."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", url, "-t", "4", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr


async def test_a_stream_is_watched_and_goes_on_without_one_of_its_pods(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    playback = {"replicas": 2, "dvrSeconds": 60, "hlsMpegts": {"enabled": True}}
    kube.apply(livestream("match", playback=playback))
    kube.wait_condition("livestream", "match", "Ready")
    ready = condition(kube.get("livestream", "match"), "PlaybackReady")
    assert (ready["status"], ready["reason"]) in (("False", "NotOnAir"), ("False", "Starting"))
    with Publisher(clip, publish_url(kube, "match"), loop=True) as publisher:
        await asyncio.to_thread(
            kube.wait_condition, "livestream", "match", "PlaybackReady", seconds=60
        )
        found = kube.wait(
            "livestream",
            "match",
            lambda o: o["status"]["playback"]["replicas"] == {"wanted": 2, "ready": 2},
            why="has two play pods",
            seconds=60,
        )
        urls = found["status"]["playback"]
        for name in ("hls", "dash", "hlsMpegts"):
            assert await asyncio.to_thread(playable, urls[name]) == "", name
        assert (await asyncio.to_thread(fetch, urls["screenshot"]))[1].startswith(b"\xff\xd8")
        async with running_viewers() as viewers:
            await viewers.watch(urls["player"])
            await viewers.until_playing()
            session = (await viewers.hls())["session"]
            pod = kube.list("pods", "-l", PLAY)[0]["metadata"]["name"]
            await asyncio.to_thread(kube, "delete", "pod", pod, "--grace-period=0", "--force")
            frames = [(await viewers.hls())["frames"], (await viewers.shaka())["frames"]]
            async with asyncio.timeout(BROWSER_SECONDS):
                for player, before in zip((viewers.hls, viewers.shaka), frames, strict=True):
                    while (await player())["frames"] < before + 250:
                        await asyncio.sleep(0.5)
            assert (await viewers.hls())["session"] == session
            await viewers.screenshot(tmp_path / "viewers.png", 1280, 360)
            publisher.stop()
            await asyncio.to_thread(
                kube.wait,
                "livestream",
                "match",
                lambda o: condition(o, "PlaybackReady")["reason"] == "NotOnAir",
                why="is off air",
                seconds=40,
            )
            shown = "document.getElementById('hls').contentDocument.body.innerText"
            try:
                await viewers.until(f"{shown}.includes('Not on air')", BROWSER_SECONDS)
            except TimeoutError:
                pytest.fail(f"{await viewers.run(shown)!r} {await viewers.hls()}")
    assert fetch(urls["hls"])[0] == 404


def test_a_signed_stream_is_seen_only_with_a_valid_link(
    kube: Kubectl, sluice_command: SluiceCommand, clip: Path
) -> None:
    def play_url(*options: str) -> str:
        code, out, err = sluice_command("play-url", "members", *options)
        assert code == 0, err
        return out.strip()

    kube.apply(livestream("members", playback={"access": "Signed"}))
    kube.wait_condition("livestream", "members", "Ready")
    with Publisher(clip, publish_url(kube, "members"), loop=True):
        ready = kube.wait_condition("livestream", "members", "PlaybackReady", seconds=60)
        urls = ready["status"]["playback"]
        assert "hls" not in urls
        base = urls["baseUrl"]
        signed = play_url()
        assert fetch(f"{signed}index.m3u8")[0] == 200
        assert fetch(f"{base}/{kube.namespace}/members/index.m3u8")[0] == 403
        wrong = signed.replace(signed.split("~")[2][:4], "0000", 1)
        assert fetch(f"{wrong}index.m3u8")[0] == 403
        assert fetch(signed.replace("/members/", "/others/") + "index.m3u8")[0] in (403, 404)
        brief = play_url("--expires", "1s")
        time.sleep(2)
        assert fetch(f"{brief}index.m3u8")[0] == 410


def test_playback_that_is_removed_leaves_nothing(kube: Kubectl) -> None:
    kube.apply(livestream("plain", playback={}))
    kube.wait(
        "livestream",
        "plain",
        lambda o: o["status"].get("playback", {}).get("replicas", {}).get("ready") == 1,
        why="has a play pod",
        seconds=60,
    )
    kube.patch("livestream", "plain", {"spec": {"playback": None}})
    left: list[str] = []
    for _ in range(60):
        kinds = "deployments,services,configmaps,pods"
        left = [o["metadata"]["name"] for o in kube.list(kinds) if "-play" in o["metadata"]["name"]]
        if not left:
            break
        time.sleep(1)
    assert not left
    status = kube.status("livestream", "plain")
    assert "playback" not in status
    assert not any(c["type"] == "PlaybackReady" for c in status["conditions"])
