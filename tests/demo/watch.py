"""Playback in the demo: a headless browser watches the stream and takes a picture of the page."""

from __future__ import annotations

import asyncio
import shutil
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.console import DemoError
from tests.support.browser import Page, running_chromium

__all__ = ["CannotWatchError", "Watched", "find_browser", "until_served", "watch"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_BROWSERS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
WIDTH, HEIGHT = 1280, 720
PICTURE_SECONDS = 30
"""Maximum time until the page shows a picture."""
CLOUD_ADDRESS_SECONDS = 180
"""Maximum time until this machine reaches the edge behind a cloud's load balancer, whose name is
known in the DNS some minutes after it was made."""
LOCAL_ADDRESS_SECONDS = 20
_H264 = "MediaSource.isTypeSupported('video/mp4; codecs=\"avc1.42E01E\"')"
_PLAYS = "window.sluice && sluice.stats().screen === 'picture' && sluice.stats().frames > 0"


class CannotWatchError(Exception):
    """The reason why this machine has no browser that can play the stream."""


@dataclass(slots=True, frozen=True)
class Watched:
    """What a viewer has seen, measured in the player page."""

    seconds: float
    first_picture_seconds: float
    latency_seconds: float | None
    """Age of the picture; None when the player cannot measure it."""
    stalls: int
    stall_seconds: float
    frames: int

    @classmethod
    def parse(cls, seconds: float, stats: dict[str, Any]) -> Watched:
        """Return the figures of ``window.sluice.stats()``."""
        return cls(
            seconds=seconds,
            first_picture_seconds=stats["firstPictureSeconds"],
            latency_seconds=stats["latencySeconds"],
            stalls=stats["stalls"],
            stall_seconds=stats["stallSeconds"],
            frames=stats["frames"],
        )

    def __str__(self) -> str:
        stalls = (
            f"stalls: {self.stalls} ({self.stall_seconds:.1f} s)" if self.stalls else "no stall"
        )
        latency = self.latency_seconds
        behind = "latency unknown" if latency is None else f"{latency:.1f} s behind live"
        return (
            f"first picture after {self.first_picture_seconds:.1f} s, {behind}, "
            f"{stalls} in {self.seconds:.0f} s"
        )


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str:
    """Return the path of a Chromium or Chrome. Raises CannotWatchError."""
    found = next(filter(None, map(which, (*BROWSERS, *MACOS_BROWSERS))), None)
    if found is None:
        raise CannotWatchError("there is no Chromium and no Chrome on this machine")
    return found


def until_served(url: str, *, is_local: bool) -> None:
    """Wait until a page can be read from this machine. Raises DemoError."""
    deadline = time.monotonic() + (LOCAL_ADDRESS_SECONDS if is_local else CLOUD_ADDRESS_SECONDS)
    advice = "an old local cluster may lack its port: `make cluster-down`, and try again"
    hint = f"; {advice}" if is_local else ""
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise DemoError(f"{url} cannot be read from this machine: {error}{hint}") from error
        time.sleep(0.5)


def watch(url: str, picture: Path, seconds: float) -> Watched:
    """Open a player page for this time, and write a PNG of it.

    Raises CannotWatchError when this machine lacks a browser for it, DemoError when the page does
    not play."""
    program = find_browser()
    return asyncio.run(_watch(program, url, picture, seconds))


async def _watch(program: str, url: str, picture: Path, seconds: float) -> Watched:
    try:
        async with running_chromium(Page, program=program) as page:
            return await _play(page, url, picture, seconds)
    except OSError as error:
        raise CannotWatchError(f"{program} does not work here: {error!r}") from error


async def _play(page: Page, url: str, picture: Path, seconds: float) -> Watched:
    await page.resize(WIDTH, HEIGHT)
    await page.navigate(url)
    if not await page.run(_H264):
        raise CannotWatchError("the Chromium on this machine cannot decode H.264")
    try:
        await page.until(_PLAYS, PICTURE_SECONDS)
    except TimeoutError:
        raise DemoError(
            f"the player page {url} shows no picture after {PICTURE_SECONDS} s; "
            f"it shows {await page.run('document.body?.innerText')!r}"
        ) from None
    await asyncio.sleep(seconds)
    stats = await page.run("sluice.stats()")
    await page.screenshot(picture, WIDTH, HEIGHT)
    return Watched.parse(seconds, stats)
