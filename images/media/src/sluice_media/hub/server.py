"""The hub on the network: HTTP around the pure core, and the tick that lets its time pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import SecretStr

from sluice_media.contract import IngestConfig
from sluice_media.http_server import serving
from sluice_media.hub.clock import Clock, system_clock
from sluice_media.hub.hub import Hub
from sluice_media.hub.leg import LegName
from sluice_media.hub.leg_endpoint import LegEndpoint
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.timeline_endpoint import HEARTBEAT_SECONDS, TimelineEndpoint
from sluice_media.hub.wakeup import Wakeup

__all__ = ["HubServer"]

TICK_SECONDS = 0.1
BODY_BUFFER_BYTES = 128 << 10
"""Of one connection, not yet read: more only delays what the publisher learns of congestion."""


class HubServer:
    """One hub behind ``/v1/legs`` and ``/v1/timeline``.

    ``keys`` gives the publishers' keys, ``token`` that of the readers, ``passphrase`` SRT's; all
    are asked at each request. ``on_change`` is called when a word of the hub's status has changed.
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
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._on_change = on_change
        self._revision = -1
        self._wakeup = Wakeup()
        self.legs = LegEndpoint(
            hub,
            clock=clock,
            keys=keys,
            passphrase=passphrase,
            changed=self._changed,
            metrics=metrics,
        )
        self.timeline = TimelineEndpoint(
            hub, clock=clock, token=token, wakeup=self._wakeup, metrics=metrics
        )

    def configure(self, config: IngestConfig) -> None:
        """Takes a new configuration, or new keys."""
        self._hub.configure(config, self._clock())
        self.legs.keys_changed()
        self.legs.wake_ended()
        self._changed()

    async def run(self) -> None:
        """Lets time pass, for ever."""
        ticks_per_beat = round(HEARTBEAT_SECONDS / TICK_SECONDS)
        count = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._hub.tick(self._clock())
            count += 1
            if count % ticks_per_beat == 0:
                self.timeline.drop_slow()
                self._wakeup.now()
                self._on_change()
            else:
                self._changed(output=False)

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Serves while the context lasts; yields the port. Then breaks all connections."""
        app = web.Application()
        app.router.add_post("/v1/legs", self.legs.post, expect_handler=self.legs.expect)
        app.router.add_post("/v1/legs/lookup", self.legs.lookup)
        app.router.add_get("/v1/timeline", self.timeline.get)
        app.router.add_post("/v1/timeline/ack", self.timeline.acknowledge)
        async with serving(app, host, port, body_buffer_bytes=BODY_BUFFER_BYTES) as bound:
            try:
                yield bound
            finally:
                self.timeline.cut_all()

    def _changed(self, *, output: bool = True) -> None:
        """After anything that may have moved the hub: wakes readers, tells of new words."""
        if self._hub.revision != self._revision:
            self._revision = self._hub.revision
            self.legs.wake_ended()
            self._wakeup.now()
            self._on_change()
        elif output:
            self._wakeup.soon()
