"""Pulled sources as legs of the hub: what :mod:`sluice_media.pull` feeds becomes units here.

A pulled stream has two places, as a pushed one has: the source on air and the one kept warm beside
it. They carry the names of the legs, but mean nothing by them; ``LegHello.remote`` says which URI a
leg is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sluice_media.contract import LegHello
from sluice_media.hub.clock import Clock
from sluice_media.hub.feed import TsFeed
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import PULL
from sluice_media.pull import BadMedia, PullLeg, UnsupportedMedia
from sluice_media.timeline.leg_framing import LegMediaRejected


class PulledLegs:
    """The hub, as a pull sees it; ``changed`` is called after everything that may have moved it."""

    def __init__(self, hub: Hub, *, clock: Clock, changed: Callable[[], None]) -> None:
        self._hub = hub
        self._clock = clock
        self._changed = changed

    def open(self, index: int, standby: bool) -> PullLeg:
        # Which of two is on air is the hub's to say: it knows who delivers.
        return _PulledLeg(self._hub, index, self._clock, self._changed)


class _PulledLeg:
    def __init__(self, hub: Hub, index: int, clock: Clock, changed: Callable[[], None]) -> None:
        self._hub = hub
        self._clock = clock
        self._changed = changed
        hello = LegHello(protocol=PULL, remote=f"uri/{index}", connection=uuid.uuid4().hex)
        self._leg = hub.open_pulled(hello, clock())
        self._feed = TsFeed(hub, self._leg)
        changed()

    @property
    def delivers(self) -> bool:
        return self._leg.delivers

    def feed(self, data: bytes) -> None:
        try:
            self._feed.feed(data, self._clock())
        except LegMediaRejected as rejected:
            unsupported = rejected.reason == "UnsupportedCodec"
            raise (UnsupportedMedia if unsupported else BadMedia)(str(rejected)) from rejected
        finally:
            self._changed()

    def take_over(self) -> None:
        """Nothing to be done: the leg that it follows ends, and the hub goes on with this one."""

    def close(self, reason: str, message: str) -> None:
        now = self._clock()
        if self._leg.connected:
            self._feed.flush(now)
        self._hub.end_leg(self._leg, None, now)
        self._changed()
