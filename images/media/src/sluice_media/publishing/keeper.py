"""Keeps one publisher's leg alive: finds the hub, posts, replays, posts again.

While no hub takes the leg the publisher is held, up to 10 s when it is new and up to 60 s once it
was accepted; what it sends meanwhile goes into the :class:`Retention`. The next hub gets the last
map of the one before, so that it can adopt the timeline, and everything that is kept; the same hub
again, which had only been silent, gets what it lacks.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import structlog

from sluice_media.contract import LegAck, LegEnd, LegHello
from sluice_media.pod.log_limiter import LogLimiter
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.leg import (
    Finished,
    LegBody,
    LegOutcome,
    LegRequest,
    Lost,
    Refused,
    run_leg,
)
from sluice_media.publishing.leg_map import LegMap
from sluice_media.publishing.locate import HubNotReachable, Locate, StreamNotFound
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.parts import LegForm
from sluice_media.publishing.path import PublishPath
from sluice_media.publishing.retention import Retention
from sluice_media.publishing.settings import PublishingSettings

_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = (0.25, 0.5, 1.0)
_DRAINING = "Draining"
_UNREAD_SHARE = 16
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class GaveUp:
    """No hub came in time."""

    why: str


@dataclass(slots=True, frozen=True)
class Over:
    """The publisher had ended, and the hub has what it sent."""


Ending = Refused | GaveUp | Over


@dataclass(slots=True, frozen=True)
class Hubs:
    """How hubs are reached, the same for all publishers."""

    http: aiohttp.ClientSession
    locate: Locate
    settings: PublishingSettings
    metrics: GatewayMetrics
    budget: RetentionBudget
    quiet: LogLimiter = field(default_factory=lambda: LogLimiter(time.monotonic))
    """For lines that strangers cause."""

    def retention(self) -> Retention:
        """Return a new one, within the budget of all."""
        settings = self.settings
        return Retention(
            settings.retain_seconds, settings.retain_bytes, time.monotonic, self.budget
        )


@asynccontextmanager
async def reaching_hubs(
    locate: Locate, settings: PublishingSettings, metrics: GatewayMetrics
) -> AsyncIterator[Hubs]:
    """Connections to hubs, for as long as the context lasts."""
    # A leg has no end in time, and a connection of its own.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as http:
        budget = RetentionBudget(settings.retain_total_bytes, metrics.shed)
        yield Hubs(http, locate, settings, metrics, budget)


class LegKeeper:
    def __init__(
        self,
        hubs: Hubs,
        path: PublishPath,
        retention: Retention,
        form: LegForm,
        *,
        protocol: str,
        remote: str,
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        self._hubs = hubs
        self._path = path
        self._retention = retention
        self._form = form
        self._protocol = protocol
        self._remote = remote
        self._on_accepted = on_accepted
        self._connection = uuid.uuid4().hex
        self._log = _log.bind(namespace=path.namespace, stream=path.stream, address=remote)
        self._body: LegBody | None = None
        """Of the present leg; None while there is none, or while its hub has not said yet what it
        has of the publisher."""
        self._waiting: LegBody | None = None
        """The body of a leg that goes on, until then."""
        self._replayed = 0
        """Bytes that the present body began with."""
        self._finished = False
        self._map = LegMap(retention, form.wrap_ticks)
        self._up = False
        self._lost_at: float | None = None
        self._dropped_before = 0
        self.accepted = asyncio.Event()
        """Set once a hub has accepted the publisher."""
        self.leg = ""
        """The leg's name, from the first acknowledgement on."""
        self.admitted = asyncio.Event()
        """Set once the leg's name is known as well."""

    def put(self, parts: list[bytes]) -> None:
        """Sends parts (which are in the retention already) if there is a leg."""
        if self._body is not None:
            # What a hub has not read it has not acknowledged either. So more than what is kept (or
            # than the replay, of which recorders may hold some) waits only for a hub that does not
            # read, once the limits have taken some of it.
            slack = self._hubs.settings.retain_bytes // _UNREAD_SHARE
            self._body.put(parts, max(self._retention.size, self._replayed) + slack)

    def finish(self) -> None:
        """The publisher has ended."""
        self._finished = True
        if self._body is not None:
            self._body.finish()

    async def run(self) -> Ending:
        """Stays until the publisher's stream is over, one way or the other."""
        loop = asyncio.get_running_loop()
        settings = self._hubs.settings
        deadline = loop.time() + settings.hold_new_seconds
        tries = 0
        missing = 0
        while True:
            try:
                url = await self._hubs.locate(self._path.namespace, self._path.stream)
                missing = 0
                outcome = await self._one_leg(url)
            except HubNotReachable as error:
                missing = 0
                outcome = Lost(str(error))
            except StreamNotFound:
                missing += 1
                if missing > 1:
                    return Refused("UnknownStream", "there is no such stream")
                await asyncio.sleep(settings.unknown_stream_seconds)
                continue
            if self._up:
                self._leg_lost(outcome)
                deadline = loop.time() + settings.hold_accepted_seconds
                tries = 0
                if self._finished and isinstance(outcome, Lost):
                    # It had been told everything; posting the tail again could only look like a
                    # publisher who came back.
                    return Over()
            ending = self._ending(outcome)
            if ending is not None:
                return ending
            wait = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
            tries += 1
            if loop.time() + wait > deadline:
                return GaveUp(_words(outcome))
            await asyncio.sleep(wait)

    def _ending(self, outcome: LegOutcome) -> Ending | None:
        """What an outcome means for the publisher; None: try again."""
        match outcome:
            case Refused():
                return outcome
            case Finished():
                return Over()
            case LegEnd(reason=reason, message=message) if reason != _DRAINING:
                return Refused(reason, message)
            case _:
                return None

    async def _one_leg(self, url: str) -> LegOutcome:
        settings = self._hubs.settings
        body = LegBody(self._form.preamble)
        resume = self._map.resume()
        if self._lost_at is None:
            self._fill(body, None)
        else:
            self._waiting = body
        request = LegRequest(
            base_url=url,
            key=self._path.key,
            hello=LegHello(
                protocol=self._protocol,
                container=self._form.container,
                remote=self._remote,
                connection=self._connection,
                resume=resume,
            ),
            content_type=self._form.content_type,
            answer_seconds=settings.leg_answer_seconds,
            silence_seconds=settings.leg_silence_seconds,
        )
        try:
            return await run_leg(
                self._hubs.http,
                request,
                body,
                on_accepted=self._leg_accepted,
                on_ack=self._acknowledged,
            )
        finally:
            self._body = self._waiting = None
            if self._up:
                self._hubs.metrics.legs.dec()

    def _fill(self, body: LegBody, since: int | None) -> None:
        """Begin the body with what is kept; what comes from now on follows it."""
        body.queue(self._retention.replay(since))
        self._replayed = body.pending
        self._body = body
        if self._finished:
            body.finish()

    def _acknowledged(self, ack: LegAck) -> None:
        if self._waiting is not None:
            self._go_on(self._waiting, ack)
        self.leg = ack.leg
        self.admitted.set()
        self._map.acknowledged(ack)

    def _go_on(self, body: LegBody, ack: LegAck) -> None:
        """The hub has said where it stands: send what it lacks."""
        self._waiting = None
        since = self._map.replay_since(ack)
        self._fill(body, since)
        assert self._lost_at is not None
        self._log.info(
            "leg_resumed",
            held_seconds=round(asyncio.get_running_loop().time() - self._lost_at, 3),
            replayed_bytes=body.pending,
            dropped_groups=self._retention.dropped_groups - self._dropped_before,
            same_hub=since is not None,
        )

    def _leg_accepted(self) -> None:
        self._up = True
        self._hubs.metrics.legs.inc()
        if self._lost_at is None:
            self.accepted.set()
            self._on_accepted()
            return
        dropped = self._retention.dropped_groups - self._dropped_before
        self._hubs.metrics.dropped_groups.inc(dropped)
        self._hubs.metrics.legs_resumed.inc()

    def _leg_lost(self, outcome: LegOutcome) -> None:
        self._up = False
        self._lost_at = asyncio.get_running_loop().time()
        self._dropped_before = self._retention.dropped_groups
        if self._ending(outcome) is None and not self._finished:
            self._hubs.metrics.legs_lost.inc()
            self._log.warning("leg_lost", why=_words(outcome))


def _words(outcome: LegOutcome) -> str:
    match outcome:
        case Lost(why=why):
            return why
        case LegEnd(reason=reason):
            return reason
        case _:
            return type(outcome).__name__
