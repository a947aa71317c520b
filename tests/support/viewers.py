"""Two viewers of one stream in one visible page of Chromium: the house's player page with hls.js,
and shaka with low-latency DASH."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.kube.locking import exclusive
from tests.kube.paths import REPOSITORY, Paths
from tests.support.browser import Page, running_chromium

__all__ = ["Viewers", "running_viewers"]

_SOURCES = REPOSITORY / "tests" / "players"
_SHAKA = Path("node_modules/shaka-player/dist/shaka-player.compiled.js")
_ONE_PROCESS = ("--disable-web-security", "--disable-site-isolation-trials")
"""The page may then read the player page, which comes from the edge."""


class Viewers(Page):
    """The page with both players."""

    url = ""
    """URL of the page, without a query."""

    async def watch(self, base_url: str, *, dash: bool = True) -> None:
        """Open the stream whose URLs begin with ``base_url``, which ends with a slash."""
        query = {"page": base_url} | ({"mpd": f"{base_url}index.mpd"} if dash else {})
        await self.resize(1280, 360)
        await self.navigate(f"{self.url}?{urlencode(query)}")

    async def hls(self) -> dict[str, Any]:
        """Return the figures of the house's player."""
        found: dict[str, Any] = await self.run("viewers.hls()")
        return found

    async def shaka(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.run("viewers.shaka()")
        return found

    async def until_playing(self, *, dash: bool = True, frames: int = 50) -> None:
        """Wait until both players show pictures."""
        players = ["hls", *(["shaka"] if dash else [])]
        for player in players:
            await self.until(
                f"window.viewers && (() => {{ try {{ return viewers.{player}().frames"
                f" > {frames} }} catch {{ return false }} }})()"
            )


@cache
def _shaka() -> Path:
    """Return the player's file. It is installed once for each version, in the cache."""
    lock = (_SOURCES / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()[:12]
    folder = Paths.from_environment().cache / "test-players" / digest
    with exclusive(folder.parent / ".lock", "installing the test players"):
        if not (folder / _SHAKA).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(_SOURCES / name, folder / name)
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit"],
                cwd=folder, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"npm ci failed:\n{done.stdout}{done.stderr}")
    return folder / _SHAKA


@asynccontextmanager
async def running_viewers() -> AsyncIterator[Viewers]:
    """Yield the page of a new browser."""
    shaka = _shaka()

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_SOURCES / "viewers.html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(shaka)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get(f"/{shaka.name}", script)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with running_chromium(Viewers, *_ONE_PROCESS) as viewers:
            viewers.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield viewers
    finally:
        await runner.cleanup()
