"""One publisher, from its first byte to its last.

The RTMP session says what the encoder wants, the keeper what the hub says; this joins the two.
Neither the key nor the publish path as given is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from sluice_media.gateway.settings import GatewaySettings
from sluice_media.gateway.wire import Wire
from sluice_media.protocols.rtmp import (
    BAD_NAME,
    Media,
    PlayRefused,
    PublishRequested,
    PublishStopped,
    RtmpError,
    ServerEvent,
)
from sluice_media.publishing.flv_parts import FLV, PICTURE_NOTICE, FlvParts
from sluice_media.publishing.keeper import Ending, GaveUp, Hubs, LegKeeper, Over
from sluice_media.publishing.leg import Refused
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.parts import PictureNotices
from sluice_media.publishing.path import BadPath, PublishPath, parse_publish_path
from sluice_media.publishing.publication import TOO_MANY_FAILURES
from sluice_media.publishing.retention import Retention

_MAX_BYTES_BEFORE_PUBLISH = 128 << 10
"""Handshake and commands have about 5 kB."""
_MAX_BYTES_BEFORE_ACCEPTED = 128 << 10
"""Most encoders wait for the answer to publish. An encoder that does not wait is read up to here,
and on once it is accepted: a stranger must not fill our memory. One read brings 256 KiB more."""
_MAX_MESSAGES_BEFORE_ACCEPTED = 2_048
"""Each costs some 100 bytes, be it empty."""
_FINISH_SECONDS = 10.0
_TICK_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Publisher:
    def __init__(
        self, settings: GatewaySettings, hubs: Hubs, limits: AddressLimits, wire: Wire
    ) -> None:
        self._hubs = hubs
        self._settings = settings
        self._metrics = hubs.metrics
        self._limits = limits
        self._wire = wire
        self._session = wire.session
        self._log = _log.bind(address=wire.address)
        self._request: asyncio.Future[PublishRequested | PlayRefused]
        self._request = asyncio.get_running_loop().create_future()
        self._accepted_at: float | None = None
        self._counted_bytes = 0
        self._counted_kept = 0
        self._early: list[Media] = []
        """What came before the hub's answer."""
        wire.on_events = self._before_accepted
        wire.max_received = _MAX_BYTES_BEFORE_PUBLISH

    async def run(self) -> None:
        """Serves the connection; closes it in any case."""
        try:
            request = await self._until_publish()
            if isinstance(request, PublishRequested):
                await self._publish(request)
            elif request is not None:
                await self._wire.linger()
        finally:
            self._wire.abort()
            self._count(kept=0)

    # ------------------------------------------------------------------ before the hub's answer

    def _before_accepted(self, events: list[ServerEvent]) -> None:
        """Take what comes before the hub's answer. Raise RtmpError when it is too much."""
        for event in events:
            if isinstance(event, Media):
                self._early.append(event)
            elif isinstance(event, PublishStopped):
                self._wire.end("the publisher ended the stream")
            elif not self._request.done():
                self._wire.max_received = None
                self._wire.pause_beyond = _MAX_BYTES_BEFORE_ACCEPTED
                self._request.set_result(event)
        if len(self._early) > _MAX_MESSAGES_BEFORE_ACCEPTED:
            self._early.clear()
            raise RtmpError("too many messages before the answer to publish")

    async def _until_publish(self) -> PublishRequested | PlayRefused | None:
        """What the client wants; None when it broke off, or did not say in time."""
        wire = self._wire
        waits = (self._request, wire.ended)
        once = asyncio.FIRST_COMPLETED
        await asyncio.wait(waits, timeout=self._settings.handshake_seconds, return_when=once)
        if self._session.handshake_done:
            await asyncio.wait(waits, timeout=self._settings.publish_seconds, return_when=once)
        if self._request.done():
            return self._request.result()
        if not wire.ended.done():
            wire.broke_protocol = True
            wire.end("no publish in time" if self._session.handshake_done else "no handshake")
        if wire.broke_protocol:  # else a port scan or a health check
            self._metrics.protocol_errors.inc()
            suppressed = self._hubs.quiet.may_say(wire.address)
            if suppressed is not None:
                self._log.info("connection_broken", why=wire.ended.result(), suppressed=suppressed)
        return None

    # ------------------------------------------------------------------ publishing

    async def _publish(self, request: PublishRequested) -> None:
        try:
            path = parse_publish_path(request.app, request.stream_key)
        except BadPath as error:
            await self._refuse(Refused("BadPath", str(error)), None)
            return
        if self._limits.is_blocked(self._wire.address):
            await self._refuse(TOO_MANY_FAILURES, path)
            return
        retention = self._hubs.retention()
        keeper = LegKeeper(
            self._hubs,
            path,
            retention,
            FLV,
            protocol=self._wire.protocol,
            remote=self._wire.address,
            on_accepted=lambda: self._on_accepted(path, keeper, retention),
        )
        keeping = asyncio.create_task(keeper.run())
        try:
            await self._while_on_air(keeping, retention)
            if not keeping.done():
                keeper.finish()
                if keeper.accepted.is_set():
                    await asyncio.wait((keeping,), timeout=_FINISH_SECONDS)
        finally:
            ending = keeping.result() if keeping.done() else None
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            retention.close()
            self._ended(path, ending)
        if ending is not None:
            await self._tell(ending, path)

    def _listen(self, keeper: LegKeeper, retention: Retention) -> None:
        """From now on media goes to the retention and to the hub as it comes."""

        parts = FlvParts(time.monotonic)
        notices = PictureNotices(time.monotonic)

        def on_events(events: list[ServerEvent]) -> None:
            tags = []
            for event in events:
                if isinstance(event, Media) and (part := parts.encode(event)) is not None:
                    retention.add(part)
                    tags.append(part.data)
            if notices.due(self._session.unfinished_bytes):
                tags.append(PICTURE_NOTICE)
            if tags:
                keeper.put(tags)
            if any(isinstance(event, PublishStopped) for event in events):
                self._wire.end("the publisher ended the stream")

        self._wire.on_events = on_events
        early, self._early = self._early, []
        on_events([*early])

    async def _while_on_air(self, keeping: asyncio.Task[Ending], retention: Retention) -> None:
        """Returns when the publisher or the keeper has ended."""
        wire = self._wire
        loop = asyncio.get_running_loop()
        tick = min(_TICK_SECONDS, self._settings.idle_seconds / 2)
        while True:
            done, _ = await asyncio.wait(
                (keeping, wire.ended), timeout=tick, return_when=asyncio.FIRST_COMPLETED
            )
            self._count(kept=retention.size)
            if done:
                return
            if loop.time() - wire.last_byte_at > self._settings.idle_seconds:
                wire.end("the publisher was silent")

    def _count(self, *, kept: int) -> None:
        """Metrics that grow with every byte are written once a second."""
        self._metrics.received_bytes.inc(self._wire.received - self._counted_bytes)
        self._metrics.retained_bytes.inc(kept - self._counted_kept)
        self._counted_bytes, self._counted_kept = self._wire.received, kept

    def _on_accepted(self, path: PublishPath, keeper: LegKeeper, retention: Retention) -> None:
        if not self._session.publish_requested:
            return  # it has gone meanwhile
        self._accepted_at = time.monotonic()
        self._limits.published(self._wire.address)
        self._metrics.accepted.inc()
        self._metrics.publishers.inc()
        self._log.info("publish_accepted", namespace=path.namespace, stream=path.stream)
        self._session.accept_publish()
        with contextlib.suppress(RtmpError):
            self._wire.flush()
        self._listen(keeper, retention)
        self._wire.pause_beyond = None
        self._wire.resume()

    def _ended(self, path: PublishPath, ending: Ending | None) -> None:
        if self._wire.broke_protocol:
            self._metrics.protocol_errors.inc()
        if self._accepted_at is None:
            return
        self._metrics.publishers.dec()
        self._limits.published(self._wire.address)
        match ending:
            case Refused(reason=reason):
                why = reason
            case GaveUp(why=cause):
                why = f"no hub in time: {cause}"
            case _:
                wire = self._wire
                why = wire.ended.result() if wire.ended.done() else "the hub has closed the leg"
        self._log.info(
            "publish_ended",
            namespace=path.namespace,
            stream=path.stream,
            why=why,
            seconds=round(time.monotonic() - self._accepted_at, 1),
            received_bytes=self._wire.received,
        )

    # ------------------------------------------------------------------ last words

    async def _tell(self, ending: Ending, path: PublishPath) -> None:
        match ending:
            case Refused() if self._accepted_at is None:
                if ending.reason == "BadKey":
                    self._limits.failed(self._wire.address)
                await self._refuse(ending, path)
            case Refused(reason=reason, message=message):
                if self._session.publishing:
                    self._session.end_publish(BAD_NAME, f"{reason}: {message}")
                    await self._wire.linger()
            case GaveUp(why=why):
                # Closed without a word: OBS tries again after that, and not after a refusal.
                self._metrics.given_up.inc()
                if self._accepted_at is None:
                    self._log.warning(
                        "publish_not_served",
                        namespace=path.namespace,
                        stream=path.shown_stream,
                        why=why,
                    )
            case Over():
                await self._wire.until_peer_closes()

    async def _refuse(self, refusal: Refused, path: PublishPath | None) -> None:
        self._metrics.refused(refusal.reason)
        suppressed = self._hubs.quiet.may_say(self._wire.address)
        if suppressed is not None:
            names = {"namespace": path.namespace, "stream": path.shown_stream} if path else {}
            self._log.info("publish_refused", reason=refusal.reason, suppressed=suppressed, **names)
        if self._session.publish_requested:
            # To the encoder a path that names nothing is a wrong key as well.
            reason = "BadKey" if refusal.reason == "BadPath" else refusal.reason
            self._session.reject_publish(BAD_NAME, f"{reason}: {refusal.message}")
            await self._wire.linger()
