"""The page in a real Chromium with a fake camera: going live, and every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sluice_media.publishing.publication import HubUnavailable, PublishEnd
from tests.support.whip_rig import Browser, Rig, decode_errors, running_browser, until

# A browser, two encoders and two decoders at once. One browser opens the page of each test.
pytestmark = [pytest.mark.timed, pytest.mark.asyncio(loop_scope="module")]

SCALE_DOWN = """(() => {
  const video = whipConnection.getSenders().find((sender) => sender.track.kind === "video");
  const parameters = video.getParameters();
  parameters.encodings[0].scaleResolutionDownBy = 4;
  return video.setParameters(parameters);
})()"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Browser, rig: Rig) -> AsyncIterator[Browser]:
    await chromium.open(f"{rig.url}/live/demo/cam")
    yield chromium
    await chromium.call("Page.navigate", url="about:blank")


async def test_a_browser_goes_live_and_its_size_never_changes(
    rig: Rig, browser: Browser, tmp_path: Path
) -> None:
    await browser.go_live()
    await browser.shows("Live")
    await rig.publication.has(video=30)
    assert rig.figure("first_unit_seconds_sum") <= 15
    before = await browser.run("document.getElementById('figures').textContent")
    await browser.run(SCALE_DOWN)
    await browser.until(
        f"!document.getElementById('figures').textContent.startsWith({before[:14]!r})"
    )
    await rig.publication.has(video=len(rig.publication.track(0)) + 60)
    await browser.run("document.getElementById('stop').click()")
    await browser.shows("Not live")
    await until(lambda: rig.service.sessions == 0)

    publication = rig.publication
    ((video, _),) = publication.formats
    assert (video.width, video.height) == (320, 180)
    assert decode_errors(publication.write_ts(tmp_path / "out.ts")) == ""
    assert len(publication.track(1)) > 100
    assert publication.finished


async def test_a_wrong_key_is_shown_as_text_and_never_in_the_address(
    rig: Rig, browser: Browser
) -> None:
    await browser.go_live("wrong-canary")
    await browser.shows("The stream key is wrong.")
    await browser.shows("Not live")
    assert "canary" not in await browser.run("location.href")
    assert rig.publications == []
    await browser.go_live()
    await browser.shows("Live")


async def test_a_missing_hub_is_shown_as_text(rig: Rig, browser: Browser) -> None:
    async def away(*_: object) -> None:
        raise HubUnavailable("no hub accepted the publisher in time")

    rig.service._publish = away  # type: ignore[assignment]
    await browser.go_live()
    await browser.shows("cannot be reached now")


async def test_a_switched_off_stream_is_shown_as_text(rig: Rig, browser: Browser) -> None:
    await browser.go_live()
    await browser.shows("Live")
    await rig.publication.has(video=5)
    rig.publication.ended.set_result(PublishEnd("Disabled", "switched off"))
    await browser.shows("The server ended the broadcast")
    await browser.shows("Not live")


async def test_a_closed_page_ends_its_session(rig: Rig, browser: Browser) -> None:
    await browser.go_live()
    await browser.shows("Live")
    await rig.publication.has(video=5)
    await browser.call("Page.navigate", url="about:blank")
    await until(lambda: rig.service.sessions == 0, 30)
    assert rig.publication.finished


async def test_no_h264_or_no_opus_is_refused_with_406(browser: Browser) -> None:
    offer = """(async (kind, unwanted) => {
      const pc = new RTCPeerConnection();
      for (const name of ["audio", "video"]) {
        const transceiver = pc.addTransceiver(name, { direction: "sendonly" });
        const codecs = RTCRtpSender.getCapabilities(name).codecs;
        if (name === kind) transceiver.setCodecPreferences(
          codecs.filter((codec) => !codec.mimeType.toLowerCase().includes(unwanted)));
      }
      await pc.setLocalDescription();
      const answer = await fetch("/whip/demo/cam", {
        method: "POST", body: pc.localDescription.sdp,
        headers: { "Content-Type": "application/sdp", Authorization: "Bearer x" } });
      return `${answer.status} ${(await answer.json()).detail}`;
    })"""
    for kind, codec, words in (("video", "h264", "H.264 video"), ("audio", "opus", "Opus audio")):
        answer = await browser.run(f'{offer}("{kind}", "{codec}")')
        assert answer.startswith(f"406 the offer has no {words}")
