"""Pulled sources as legs of the hub.

In: a transport stream from :mod:`sluice_media.pull`. Out: formats and units for the hub.

A pulled stream has two places, like a pushed one: the source on air and a standby source. They use
the leg names ``primary`` and ``backup``, but the names have no meaning here. ``LegHello.remote``
names the URI of a leg.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sluice_media.contract import LegHello, LegReason
from sluice_media.hub.clock import Clock
from sluice_media.hub.feed import TsFeed
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import PULL
from sluice_media.pull import BadMedia, PullLeg, UnsupportedMedia
from sluice_media.timeline.leg_framing import LegMediaRejected


class PulledLegs:
    """The interface through which a pull opens legs. ``changed`` is called after each call that
    may have changed the hub."""

    def __init__(self, hub: Hub, *, clock: Clock, changed: Callable[[], None]) -> None:
        self._hub = hub
        self._clock = clock
        self._changed = changed

    def open(self, index: int, standby: bool) -> PullLeg:
        # ``standby`` is not used: the hub chooses the active leg from what the legs deliver.
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
            unsupported = rejected.reason == LegReason.UNSUPPORTED_CODEC
            raise (UnsupportedMedia if unsupported else BadMedia)(str(rejected)) from rejected
        finally:
            self._changed()

    def take_over(self) -> None:
        """Do nothing: when the other leg ends, the hub switches to this one by itself."""

    def close(self, reason: str, message: str) -> None:
        now = self._clock()
        if self._leg.connected:
            self._feed.flush(now)
        self._hub.end_leg(self._leg, None, now)
        self._changed()
