"""A fake hub for tests of gateways, recorders and pushers: legs in, a timeline out.

The two sides are not connected: media of legs is not sent to readers. A test uses one side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

from tests.support.fake_hub_legs import FakeLeg, LegSide
from tests.support.fake_hub_readers import SESSION_STARTED_AT, TOKEN, ReaderSide

__all__ = ["SESSION_STARTED_AT", "TOKEN", "FakeHub", "FakeLeg", "running_hub"]


class FakeHub(LegSide, ReaderSide):
    """A server on 127.0.0.1. It keeps its settings when it is stopped, and starts again on its
    former port."""

    def __init__(self, name: str = "hub", *, port: int = 0) -> None:
        LegSide.__init__(self, name)
        ReaderSide.__init__(self)
        self.port = port
        """Port; 0 before the first start: any free port."""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/v1/legs", self.serve_leg)
        app.router.add_get("/v1/timeline", self.serve_timeline)
        app.router.add_post("/v1/timeline/ack", self.serve_ack)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop like a killed process: reset every leg."""
        self.abort_legs()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        """Listen until the end of the block."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()


@asynccontextmanager
async def running_hub(port: int = 0) -> AsyncIterator[FakeHub]:
    """A new hub that listens until the end of the block."""
    async with FakeHub(port=port).listening() as hub:
        yield hub
