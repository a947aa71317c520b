"""The page in a real Chromium: it plays, rewinds, waits off air, and comes back by itself."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.browser import Page, running_chromium
from tests.support.live_hls import LiveHls, Parts, make_parts
from tests.support.player_page import built_page

# A browser that decodes video. One browser opens the page of each test.
pytestmark = pytest.mark.asyncio(loop_scope="module")

A, B = "00000000000000aa", "00000000000000bb"
GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("clip"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Page]:
    async with running_chromium(Page, *GL) as page:
        await page.resize(1280, 720)
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def stream(clip: Parts) -> AsyncIterator[LiveHls]:
    async with LiveHls(built_page(), clip).running() as stream:
        yield stream


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Page, stream: LiveHls) -> AsyncIterator[Page]:
    yield chromium
    await chromium.call("Page.navigate", url="about:blank")


async def stats(browser: Page) -> dict[str, Any]:
    values: dict[str, Any] = await browser.run("sluice.stats()")
    return values


async def plays(browser: Page, session: str, frames: int = 30) -> None:
    """Wait for the picture of this session."""
    await browser.until(
        f"window.sluice && sluice.stats().session === {session!r}"
        " && sluice.stats().screen === 'picture'"
    )
    before = (await stats(browser))["frames"]
    await browser.until(f"sluice.stats().frames >= {before + frames}")


async def test_plays_near_the_live_edge_and_has_the_window(browser: Page, stream: LiveHls) -> None:
    stream.begin(A, seconds=60)
    await browser.navigate(stream.url)
    await plays(browser, A, frames=90)
    seen = await stats(browser)
    assert seen["firstPictureSeconds"] < 4
    assert seen["latencySeconds"] < 4
    assert seen["ageSeconds"] < 6
    assert 35 <= seen["dvrSeconds"] <= 45
    assert (seen["stalls"], seen["errors"], seen["loads"]) == (0, {}, 1)
    assert seen["muted"] is True
    await browser.shows("Turn on the sound")
    assert stream.requests.count("/demo/cam/info.json") == 1, "nothing is polled while it plays"
    await browser.until("document.title === 'Harbour camera'")


async def test_rewinds_and_returns_to_live(browser: Page, stream: LiveHls) -> None:
    stream.begin(A, seconds=60)
    await browser.navigate(stream.url)
    await plays(browser, A)
    await press(browser, "ArrowLeft")
    await press(browser, "ArrowLeft")
    await browser.until("sluice.stats().behindSeconds > 15")
    await browser.shows("\u22120:")
    await press(browser, "Home")
    await browser.until("sluice.stats().behindSeconds > 30")
    await plays(browser, A)
    await browser.run("document.querySelector('media-live-button').click()")
    await browser.until("sluice.stats().behindSeconds < 2")
    await plays(browser, A)
    assert (await stats(browser))["stalls"] == 0, "a jump is not a stall"


async def press(browser: Page, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        await browser.call("Input.dispatchKeyEvent", type=kind, key=key)


async def test_off_air_has_words_and_begins_by_itself(browser: Page, stream: LiveHls) -> None:
    await browser.navigate(stream.url)
    await browser.shows("Not on air")
    await browser.shows("Harbour camera")
    assert not [path for path in stream.requests if path.endswith(".m3u8")]
    stream.begin(A, seconds=4)
    await plays(browser, A)
    assert "Not on air" not in await browser.run("document.body.innerText")


@pytest.mark.parametrize("endlist", [True, False], ids=["with an end mark", "without one"])
async def test_the_end_of_a_session_and_the_next_one(
    browser: Page, stream: LiveHls, endlist: bool
) -> None:
    stream.begin(A, seconds=20)
    await browser.navigate(stream.url)
    await plays(browser, A)
    stream.end(endlist=endlist)
    await browser.shows("Not on air")
    stream.begin(B, seconds=3)
    await plays(browser, B)
    seen = await stats(browser)
    assert seen["loads"] == 2


async def test_a_new_session_without_a_pause_is_played(browser: Page, stream: LiveHls) -> None:
    stream.begin(A, seconds=20)
    await browser.navigate(stream.url)
    await plays(browser, A)
    stream.begin(B, seconds=3)
    await plays(browser, B)


async def test_a_silent_source_is_waited_for(browser: Page, stream: LiveHls) -> None:
    stream.begin(A, seconds=20)
    await browser.navigate(stream.url)
    await plays(browser, A)
    stream.stall()
    await browser.until("sluice.stats().screen === 'waiting'")
    stream.stalled = False
    await plays(browser, A)
    seen = await stats(browser)
    assert (seen["loads"], seen["stalls"]) == (1, 1)
    # The viewer did not rewind, so what was missed is left out.
    await browser.until("sluice.stats().latencySeconds < 3")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (410, "This link has expired"),
        (403, "This link is not valid"),
        (404, "There is no such stream"),
        (502, "The server does not answer"),
    ],
)
async def test_refusals_are_sentences(
    browser: Page, stream: LiveHls, status: int, words: str
) -> None:
    stream.refusal = status
    await browser.navigate(stream.url)
    await browser.shows(words)


async def test_a_stream_that_the_browser_cannot_decode(browser: Page, stream: LiveHls) -> None:
    stream.codecs = "dvh1.05.06,mp4a.40.2"
    stream.begin(A, seconds=20)
    await browser.navigate(stream.url)
    await browser.shows("This browser cannot play this stream")
    stream.end(endlist=False)
    stream.codecs = "avc1.42c01e,mp4a.40.2"
    stream.begin(B, seconds=20)
    await plays(browser, B)


async def test_a_link_that_expires_while_it_is_watched(browser: Page, stream: LiveHls) -> None:
    stream.begin(A, seconds=20)
    await browser.navigate(stream.url)
    await plays(browser, A)
    stream.refusal = 410
    await browser.shows("This link has expired")
    before = len(stream.requests)
    await browser.run("new Promise((done) => setTimeout(done, 3000))")
    assert len(stream.requests) == before, "nothing is requested with a dead link"


async def test_an_embedded_page_waits_for_a_click_and_hides_its_controls(
    browser: Page, stream: LiveHls
) -> None:
    stream.begin(A, seconds=20)
    await browser.navigate(f"{stream.url}?autoplay=0&muted=1&controls=0")
    await browser.until("window.sluice?.stats().screen === 'start'")
    assert not [path for path in stream.requests if path.endswith(".m3u8")], "no media yet"
    await browser.run("document.getElementById('start').click()")
    await plays(browser, A)
    text = await browser.run("document.body.innerText")
    assert "Turn on the sound" not in text
    assert not await browser.run("Boolean(customElements.get('media-controller'))")


async def test_nothing_breaks_the_content_policy(browser: Page, stream: LiveHls) -> None:
    """Each violation is an event of the page; a listener that is there first collects them."""
    script = "document.addEventListener('securitypolicyviolation', (e) => "
    script += "(window.violations ??= []).push(e.blockedURI + ' ' + e.violatedDirective))"
    added = await browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    try:
        stream.begin(A, seconds=60)
        await browser.navigate(stream.url)
        await plays(browser, A)
        await browser.until("customElements.get('media-live-button')")
        assert await browser.run("window.violations ?? []") == []
    finally:
        await browser.call("Page.removeScriptToEvaluateOnNewDocument", **added)


async def test_a_stream_without_video_has_words(
    browser: Page, stream: LiveHls, tmp_path: Path
) -> None:
    stream.clip, stream.codecs = make_parts(tmp_path, size=None), "mp4a.40.2"
    stream.begin(A, seconds=4)
    await browser.navigate(stream.url)
    await browser.shows("Sound only")
    await browser.until("sluice.stats().currentTime > 3 && sluice.stats().screen === 'picture'")
    assert (await stats(browser))["errors"] == {}


async def test_a_360_picture_is_a_sphere_that_turns(browser: Page, stream: LiveHls) -> None:
    stream.projection = "VR360"
    stream.begin(A, seconds=30)
    await browser.navigate(stream.url)
    await plays(browser, A)
    await browser.until("sluice.stats().drawn > 20")
    before = await browser.run("document.querySelector('.sphere').toDataURL().length")
    assert before > 1000
    for kind, x in (("mousePressed", 700), ("mouseMoved", 400), ("mouseReleased", 400)):
        mouse = {"type": kind, "x": x, "y": 300, "button": "left", "buttons": 1, "clickCount": 1}
        await browser.call("Input.dispatchMouseEvent", **mouse)
    assert await browser.run("sluice.stats().look.longitude") > 20


def poster() -> bytes:
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360", "-frames:v"]
    command += ["1", "-f", "mjpeg", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


async def test_off_air_shows_the_last_picture(
    browser: Page, stream: LiveHls, tmp_path: Path
) -> None:
    stream.poster = poster()
    await browser.navigate(stream.url)
    await browser.shows("Not on air")
    await browser.until("document.querySelector('#poster img')?.naturalWidth === 640")
    await browser.screenshot(tmp_path / "off-air.png", 1280, 720)
