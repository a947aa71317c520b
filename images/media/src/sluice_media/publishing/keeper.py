"""The keeper of one publisher's leg: it opens the leg, and opens it again when it is lost.

While no hub takes the leg, the publisher is held: up to 10 s when it is new, and up to 60 s once it
was accepted. Its media goes into the :class:`Retention` meanwhile. The next hub gets all kept
media, and the last acknowledgement of the former hub, with which it adopts the timeline. A hub that
was only silent gets only the media that it lacks.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import structlog

from sluice_media.contract import LegAck, LegEnd, LegHello, LegReason
from sluice_media.pod.log_limiter import LogLimiter
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.leg import (
    PREAMBLE,
    Finished,
    LegBody,
    LegOutcome,
    LegRequest,
    Lost,
    Refused,
    run_leg,
)
from sluice_media.publishing.locate import HubNotReachable, Locate, StreamNotFound
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.path import PublishPath
from sluice_media.publishing.retention import Retention
from sluice_media.publishing.settings import PublishingSettings
from sluice_media.timeline.source_clock import MOST_APART_TICKS

_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = (0.25, 0.5, 1.0)
_UNREAD_SHARE = 16
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class GaveUp:
    """No hub accepted the leg in time."""

    why: str


@dataclass(slots=True, frozen=True)
class Over:
    """The publisher had ended, and the hub has all its media."""


Ending = Refused | GaveUp | Over


@dataclass(slots=True, frozen=True)
class Hubs:
    """The access to hubs, and the limits that all publishers of the process share."""

    http: aiohttp.ClientSession
    locate: Locate
    settings: PublishingSettings
    metrics: GatewayMetrics
    budget: RetentionBudget
    log_limiter: LogLimiter = field(default_factory=lambda: LogLimiter(time.monotonic))
    """Limits the log lines that unknown peers cause."""

    def retention(self) -> Retention:
        """Return a new retention within the budget of all publishers."""
        settings = self.settings
        return Retention(
            settings.retain_seconds, settings.retain_bytes, time.monotonic, self.budget
        )


@asynccontextmanager
async def reaching_hubs(
    locate: Locate, settings: PublishingSettings, metrics: GatewayMetrics
) -> AsyncIterator[Hubs]:
    """Yield the access to hubs; close all connections to them when the context ends."""
    # A leg has no total timeout, and no other request uses its connection.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as http:
        budget = RetentionBudget(settings.retain_total_bytes, metrics.shed)
        yield Hubs(http, locate, settings, metrics, budget)


class LegMap:
    """The state of a leg, as its last hub acknowledged it (pure).

    The times of a leg are steady while its publisher is connected
    (:mod:`sluice_media.timeline.source_clock`), so the newest map is valid for all kept media.
    """

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self.last: LegAck | None = None
        """The map for the next hub."""

    def acknowledged(self, ack: LegAck) -> None:
        """Keep the map, and drop the media that no reader can request from the next hub."""
        if ack.timeline:  # without a session there is no map
            self.last = ack
        self._retention.recorded = ack.recorded
        if ack.acked_dts is not None:
            self._retention.acknowledge(ack.acked_dts)

    def replay_since(self, first: LegAck) -> int | None:
        """Return the source time after which a hub lacks media, by its first acknowledgement.

        None: it lacks all kept media.
        """
        before = self.last
        if before is None or not before.is_on_air or not _is_same_hub(before, first):
            return None
        # One track may lag behind the other.
        return before.source_dts(first.last_out_dts) - MOST_APART_TICKS


class LegKeeper:
    def __init__(
        self,
        hubs: Hubs,
        path: PublishPath,
        retention: Retention,
        *,
        protocol: str,
        remote: str,
    ) -> None:
        self._hubs = hubs
        self._path = path
        self._retention = retention
        self._protocol = protocol
        self._remote = remote
        self._connection = uuid.uuid4().hex
        self._log = _log.bind(namespace=path.namespace, stream=path.stream, address=remote)
        self._body: LegBody | None = None
        """The body of the present leg. None while there is no leg, and while a leg that goes on
        waits for its hub's first acknowledgement."""
        self._waiting: LegBody | None = None
        """The body of a leg that goes on, until that acknowledgement."""
        self._replayed = 0
        """Bytes of replay at the beginning of the present body."""
        self._finished = False
        self._map = LegMap(retention)
        self._up = False
        self._lost_at: float | None = None
        self._dropped_before = 0
        self.leg = ""
        """The leg's name, from the first acknowledgement on."""
        self.admitted = asyncio.Event()
        """Set once a hub has accepted the publisher and returned the leg's name."""

    def put(self, records: list[bytes]) -> None:
        """Send records if there is a leg. The retention must have them already."""
        if self._body is not None:
            # A hub acknowledges only what it has read. Unread bytes are therefore also in the
            # retention, or in the replay, of which recorders may hold a part. A longer queue means
            # that the hub does not read and that the retention has dropped queued media.
            slack = self._hubs.settings.retain_bytes // _UNREAD_SHARE
            self._body.put(records, max(self._retention.size, self._replayed) + slack)

    def finish(self) -> None:
        """Note that the publisher has ended."""
        self._finished = True
        if self._body is not None:
            self._body.finish()

    async def run(self) -> Ending:
        """Keep a leg open until the publisher's stream is over; return the reason."""
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
                    return Refused(LegReason.UNKNOWN_STREAM, "there is no such stream")
                await asyncio.sleep(settings.unknown_stream_seconds)
                continue
            if self._up:
                self._leg_lost(outcome)
                deadline = loop.time() + settings.hold_accepted_seconds
                tries = 0
                if self._finished and isinstance(outcome, Lost):
                    # The hub had all its media. Another leg would look like a publisher that came
                    # back.
                    return Over()
            ending = self._ending(outcome)
            if ending is not None:
                return ending
            wait = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
            tries += 1
            if loop.time() + wait > deadline:
                return GaveUp(_describe(outcome))
            await asyncio.sleep(wait)

    def _ending(self, outcome: LegOutcome) -> Ending | None:
        """Return the publisher's end after this outcome of a leg; None to open another leg."""
        match outcome:
            case Refused():
                return outcome
            case Finished():
                return Over()
            case LegEnd(reason=reason, message=message) if reason != LegReason.DRAINING:
                return Refused(reason, message)
            case _:
                return None

    async def _one_leg(self, url: str) -> LegOutcome:
        settings = self._hubs.settings
        body = LegBody(PREAMBLE)
        if self._lost_at is None:
            self._fill(body, None)
        else:
            self._waiting = body
        request = LegRequest(
            base_url=url,
            key=self._path.key,
            hello=LegHello(
                protocol=self._protocol,
                remote=self._remote,
                connection=self._connection,
                resume=self._map.last,
            ),
            answer_seconds=settings.leg_answer_seconds,
            silence_seconds=settings.leg_silence_seconds,
        )
        try:
            return await run_leg(
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
        """Begin the body with the kept media. Media that arrives from now on follows it."""
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
        """Send the media that the hub lacks by its first acknowledgement."""
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
            self._log.warning("leg_lost", why=_describe(outcome))


def _describe(outcome: LegOutcome) -> str:
    match outcome:
        case Lost(why=why):
            return why
        case LegEnd(reason=reason):
            return reason
        case _:
            return type(outcome).__name__


def _is_same_hub(before: LegAck, now: LegAck) -> bool:
    """Return whether the hub that answers now is the one that answered before.

    A new hub has another epoch, and no timeline until it has adopted one."""
    return bool(now.timeline) and (now.timeline, now.epoch) == (before.timeline, before.epoch)
