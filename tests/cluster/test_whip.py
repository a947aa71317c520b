"""A browser publishes into the cluster, from the page that Sluice serves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.cluster import publish_url
from tests.support.frames import decode_errors, probe
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording
from tests.support.recordings import download
from tests.support.whip_rig import running_browser


async def test_a_browser_is_live_and_recorded(kube: Kubectl, tmp_path: Path) -> None:
    kube.apply(livestream("web"), recording("web", "web"))
    url, token = (publish_url(kube, "web", key) for key in ("whipUrl", "whipToken"))
    origin = url.partition("/whip/")[0]
    async with running_browser(origin) as browser:
        await browser.open(f"{origin}/live/{kube.namespace}/web")
        await browser.go_live("not-the-key")
        await browser.shows("The stream key is wrong", 20)
        await browser.go_live(token)
        await asyncio.to_thread(kube.wait_condition, "livestream", "web", "Live")
        await browser.shows("Live")
        assert kube.status("livestream", "web")["sessions"][0]["protocol"] == "WHIP"
        await asyncio.to_thread(
            kube.wait,
            "recording",
            "web",
            lambda o: o["status"].get("recordingDuration", 0) > 11,
            why="has some seconds of it",
        )
        kube.patch("recording", "web", {"spec": {"desiredState": "Stopped"}})
        await asyncio.to_thread(kube.wait_condition, "recording", "web", "Succeeded", seconds=90)
        await browser.screenshot(tmp_path / "page.png", 900, 900)
    [file] = download(kube, "web", tmp_path)
    assert decode_errors(file) == ""
    kinds = {stream["codec_type"]: stream for stream in probe(file)["streams"]}
    assert kinds["video"]["codec_name"] == "h264"
    assert kinds["audio"]["codec_name"] == "aac"
    assert float(probe(file)["format"]["duration"]) > 10
