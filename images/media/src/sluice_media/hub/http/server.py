"""The hub's HTTP server, and the regular tick of the pure hub."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from sluice_media.contract import IngestConfig
from sluice_media.hub.clock import Clock, system_clock
from sluice_media.hub.http.delivery import HEARTBEAT_SECONDS
from sluice_media.hub.http.leg_endpoint import LegEndpoint
from sluice_media.hub.http.timeline_endpoint import TimelineEndpoint
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.spool.spooler import Spooler
from sluice_media.net.http_server import serving

TICK_SECONDS = 0.1
CALM_TICK_SECONDS = 0.25
"""Tick interval while a single leg delivers: the only thing to detect is its silence."""


class HubServer:
    """One hub behind ``/v1/legs`` and ``/v1/timeline``.

    ``keys`` returns the publishers' keys, ``token`` the readers' token, ``passphrase`` the SRT
    passphrase; all three are called at each request. ``on_change`` is called when the hub's status
    has changed. Without ``spool_folder`` there is no spool.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        keys: Callable[[], Mapping[LegName, SecretStr]],
        token: Callable[[], SecretStr | None],
        passphrase: Callable[[], SecretStr | None] = lambda: None,
        metrics: HubMetrics,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = system_clock,
        spool_folder: Path | None = None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._on_change = on_change
        self._revision = -1
        self._units = 0
        self._woken = asyncio.Event()
        self.legs = LegEndpoint(
            hub,
            clock=clock,
            keys=keys,
            passphrase=passphrase,
            changed=self.changed,
            metrics=metrics,
        )
        self.spool = (
            Spooler(hub, spool_folder, clock=clock, changed=self.changed) if spool_folder else None
        )
        self.timeline = TimelineEndpoint(
            hub, clock=clock, token=token, metrics=metrics, spool=self.spool
        )

    def configure(self, config: IngestConfig) -> None:
        """Apply a new configuration, or new keys."""
        self._hub.configure(config, self._clock())
        self.legs.keys_changed()
        self.legs.wake_ended()
        self.changed()

    async def run(self) -> None:
        """Tick the hub and send heartbeats until cancelled."""
        heartbeat_at = 0.0
        while True:
            await self._wait_for_tick()
            now = self._clock()
            self._hub.tick(now)
            if now.monotonic < heartbeat_at:
                self.changed()
                continue
            # Half a tick early, so that the next heartbeat is not one tick late.
            heartbeat_at = now.monotonic + HEARTBEAT_SECONDS - TICK_SECONDS / 2
            self.timeline.drop_slow()
            self.timeline.push()
            self._on_change()

    async def _wait_for_tick(self) -> None:
        """Wait for the next tick. Without a leg or a session it only comes for heartbeats, because
        most hubs wait for a publisher most of the time."""
        legs = self._hub.legs
        if legs or self._hub.output.timeline is not None:
            calm = len(legs) == 1 and self._hub.delivering
            await asyncio.sleep(CALM_TICK_SECONDS if calm else TICK_SECONDS)
            return
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._woken.wait()

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve while the context lasts and yield the port; then break all readers' connections."""
        app = web.Application()
        app.router.add_post("/v1/legs", self.legs.post)
        app.router.add_post("/v1/legs/lookup", self.legs.lookup)
        app.router.add_get("/v1/timeline", self.timeline.get)
        app.router.add_post("/v1/timeline/ack", self.timeline.acknowledge)
        async with serving(app, host, port) as bound:
            try:
                yield bound
            finally:
                self.timeline.cut_all()

    def changed(self) -> None:
        """Send new units to readers and publish the status, after any call that may have changed
        the hub."""
        if self._hub.revision != self._revision:
            self._revision = self._hub.revision
            self._woken.set()
            self.legs.wake_ended()
            self.timeline.push()
            self._on_change()
        elif self._hub.output.units != self._units:
            self._units = self._hub.output.units
            self.timeline.push_soon()
