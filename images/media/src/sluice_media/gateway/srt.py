"""Publishers over SRT: the hub decides their handshake, and each becomes a leg.

The stream id names the stream and holds the key. The hub is asked before the handshake ends,
because SRT has a code for each refusal, and each stream has its own passphrase. The hub decides
once more when the leg is opened.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import LegGrant, LegHello, LegReason
from sluice_media.formats.errors import MediaError
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.gateway.srt_metrics import SrtMetrics
from sluice_media.protocols.srt import (
    Admit,
    PublishRequest,
    Refuse,
    RejectCode,
    SrtConnection,
    SrtListener,
    SrtListenerSettings,
    Verdict,
    running_srt_listener,
)
from sluice_media.publishing.demuxed import DemuxedMedia
from sluice_media.publishing.keeper import Hubs
from sluice_media.publishing.leg import Refused, look_up
from sluice_media.publishing.leg_records import PictureNotices
from sluice_media.publishing.limits import AddressLimits, TooManyConnections
from sluice_media.publishing.locate import HubNotReachable, StreamNotFound
from sluice_media.publishing.publication import (
    HubUnavailable,
    Publication,
    PublishRefused,
    publisher_for,
)
from sluice_media.publishing.reasons import PublishReason

_PROTOCOL = "SRT"
_FRESH_SECONDS = 0.5
"""Maximum age of a grant. An older one is requested again: the leg may be taken meanwhile."""
_MAX_MISSING = 1_000
"""Maximum number of remembered names without a Service. The oldest are forgotten first."""
_CODES: dict[str, RejectCode] = {
    LegReason.BAD_KEY: RejectCode.UNAUTHORIZED,
    LegReason.BUSY: RejectCode.CONFLICT,
    LegReason.DISABLED: RejectCode.FORBIDDEN,
    LegReason.PROTOCOL_NOT_ALLOWED: RejectCode.UNACCEPTABLE,
    PublishReason.TOO_MANY_FAILURES: RejectCode.TOO_MANY_FAILURES,
    LegReason.UNKNOWN_STREAM: RejectCode.NOT_FOUND,
    LegReason.UNSUPPORTED_CODEC: RejectCode.NOT_SUPPORTED_MEDIA,
}
_log = structlog.get_logger(__name__)


class SrtIngest:
    """The SRT publishers of the gateway. :func:`running_srt` makes it."""

    def __init__(
        self, hubs: Hubs, limits: AddressLimits, metrics: SrtMetrics, tasks: asyncio.TaskGroup
    ) -> None:
        self._hubs = hubs
        self._limits = limits
        self._metrics = metrics
        self._tasks = tasks
        self._publish = publisher_for(_PROTOCOL, hubs, limits)
        self._missing: dict[tuple[str, str], float] = {}
        self._open: set[asyncio.Task[None]] = set()
        self.listener: SrtListener

    @property
    def connections(self) -> set[asyncio.Task[None]]:
        """The tasks of the connected publishers."""
        return set(self._open)

    @property
    def port(self) -> int:
        return self.listener.port

    def refuse_new(self) -> None:
        """Refuse new publishers from now on, with a code that means "try again"."""
        self.listener.accepting = False

    async def run(self) -> None:
        """Accept publishers until cancelled."""
        while True:
            connection = await self.listener.accept()
            task = self._tasks.create_task(self._serve(connection), name="srt-publisher")
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    # ------------------------------------------------------------------ before the handshake ends

    async def look_up(self, request: PublishRequest, remote: str) -> Verdict:
        """Return the hub's verdict whether a publisher may publish."""
        if self._limits.is_blocked(remote):
            # Not kept: this verdict is for one address, but the table is keyed by the request.
            return Refuse(RejectCode.TOO_MANY_FAILURES, valid_seconds=0.0)
        names = (request.namespace, request.stream)
        try:
            url = await self._hubs.locate(*names)
        except StreamNotFound:
            return Refuse(self._not_found(names), self._hubs.settings.unknown_stream_seconds)
        except HubNotReachable:
            return Refuse(RejectCode.UNAVAILABLE, valid_seconds=0.1)
        self._missing.pop(names, None)
        hello = LegHello(protocol=_PROTOCOL, remote=remote, connection=uuid.uuid4().hex)
        seconds = self._hubs.settings.leg_answer_seconds
        answer = await look_up(self._hubs.http, url, request.key, hello, seconds)
        match answer:
            case LegGrant():
                return Admit(
                    f"{request.namespace}/{request.stream}/{answer.leg}",
                    SecretStr(answer.passphrase) if answer.passphrase else None,
                    answer.latency_milliseconds,
                    fresh_seconds=_FRESH_SECONDS,
                )
            case Refused(reason=reason):
                if reason == LegReason.BAD_KEY:
                    self._limits.failed(remote)
                return Refuse(_CODES.get(reason, RejectCode.FORBIDDEN), valid_seconds=0.5)
            case _:
                return Refuse(RejectCode.UNAVAILABLE, valid_seconds=0.1)

    def _not_found(self, names: tuple[str, str]) -> RejectCode:
        """Return the code for a missing Service.

        A new Service may be missing in the DNS for a moment. So the first publisher that asks for
        it gets UNAVAILABLE (try again). NOT_FOUND follows after ``unknown_stream_seconds``.
        """
        now = time.monotonic()
        first = self._missing.setdefault(names, now)
        while len(self._missing) > _MAX_MISSING:
            del self._missing[next(iter(self._missing))]
        if now - first >= self._hubs.settings.unknown_stream_seconds:
            return RejectCode.NOT_FOUND
        return RejectCode.UNAVAILABLE

    # ------------------------------------------------------------------ one publisher

    async def _serve(self, connection: SrtConnection) -> None:
        metrics = self._hubs.metrics
        try:
            with (
                self._limits.connection(connection.remote, granted=True),
                metrics.connections.track_inprogress(),
                self._metrics.watching(connection),
            ):
                await self._publish_from(connection)
        except TooManyConnections as refused:
            metrics.connections_refused.inc()
            suppressed = self._hubs.log_limiter.admit(connection.remote)
            if suppressed is not None:
                _log.warning(
                    "connection_refused",
                    address=connection.remote,
                    why=str(refused),
                    suppressed=suppressed,
                )
        except Exception as bug:
            # An error of one connection must not end the others. Its text may hold a key, so it is
            # not logged.
            _log.error("publisher_failed", address=connection.remote, error=type(bug).__name__)
        finally:
            connection.close()

    async def _publish_from(self, connection: SrtConnection) -> None:
        request = connection.request
        try:
            publication = await self._publish(
                request.namespace, request.stream, request.key, connection.remote
            )
        except PublishRefused as refused:
            # The next try of this publisher is refused in the handshake, with a code.
            code = _CODES.get(refused.reason, RejectCode.FORBIDDEN)
            self.listener.announce(request, Refuse(code, valid_seconds=0.5))
            return
        except HubUnavailable:
            return
        try:
            carrying = asyncio.create_task(_carry(connection, publication), name="srt-carry")
            try:
                await asyncio.wait(
                    (carrying, publication.ended), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                carrying.cancel()
                await asyncio.gather(carrying, return_exceptions=True)
            if not carrying.cancelled() and (bug := carrying.exception()) is not None:
                raise bug
            connection.close()
            await publication.finish()
        finally:
            await publication.abort()


async def _carry(connection: SrtConnection, publication: Publication) -> None:
    """Carry the transport stream to the hub until either side ends."""
    demuxer = TsDemuxer()
    media = DemuxedMedia(demuxer, publication)
    notices = PictureNotices(time.monotonic)
    try:
        while data := await connection.read():
            media.take(demuxer.feed(data, time.time_ns() // 1_000))
            if notices.due(demuxer.unfinished_bytes):
                publication.picture_comes()
        media.take(demuxer.flush())
    except MediaError as error:
        publication.reject(error.reason, str(error))
        await publication.ended


@asynccontextmanager
async def running_srt(
    settings: GatewaySettings, hubs: Hubs, limits: AddressLimits, registry: CollectorRegistry
) -> AsyncIterator[SrtIngest]:
    """Listen for SRT publishers while the context lasts; then cut every connection."""
    chosen = SrtListenerSettings(
        bind=settings.bind,
        port=settings.srt_port,
        latency_ms=settings.srt_latency_milliseconds,
        silence_ms=round(settings.srt_silence_seconds * 1_000),
        max_connections=settings.max_connections,
    )
    async with asyncio.TaskGroup() as tasks:
        metrics = SrtMetrics(registry)
        ingest = SrtIngest(hubs, limits, metrics, tasks)
        async with running_srt_listener(chosen, ingest.look_up) as ingest.listener:
            metrics.watch_listener(ingest.listener, hubs.metrics)
            running = tasks.create_task(ingest.run(), name="srt-accept")
            sampling = tasks.create_task(metrics.sample_for_ever(), name="srt-metrics")
            try:
                yield ingest
            finally:
                for task in (running, sampling, *ingest.connections):
                    task.cancel()
