"""``GET /v1/timeline`` for readers, and ``POST /v1/timeline/ack`` for recorders' acknowledgements.

Our readers request an HTTP Upgrade, and get the records on a plain connection. Without an upgrade
the records are the body of the reply, for users and other tools.

A reader's reply has framed records from the requested position, a heartbeat every 500 ms, and the
end record of the session, after which the reply ends. Before a session it has only heartbeats.
With ``session=`` it has that session's content; when the hub holds none of it, the reply is 404
(``NoSuchSession``). With ``format=ts`` it is a plain transport stream for users and other tools.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from aiohttp import ClientError, web
from pydantic import SecretStr, ValidationError

from sluice_media.contract import TimelineAck, TimelineRefusal
from sluice_media.hub.clock import Clock, us_of
from sluice_media.hub.http.delivery import Delivery
from sluice_media.hub.http.reader_output import ReaderOutput, UpgradedOutput, body_output
from sluice_media.hub.hub import Hub
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.output.grid import Numbers
from sluice_media.hub.output.readers import PLAYER, RECORDER, Reader
from sluice_media.hub.output.timeline import Request
from sluice_media.hub.output.ts_view import TsView
from sluice_media.hub.spool.spooler import Spooler
from sluice_media.net.upgrade import accept_upgrade, wants_upgrade
from sluice_media.pod.status_server import bearer_matches
from sluice_media.timeline.framing import CONTENT_TYPE, TIMELINE_PROTOCOL

MAX_READERS = 500
MAX_NAME = 128
MAX_ACK_BYTES = 4096

_log = structlog.get_logger(__name__)


class TimelineEndpoint:
    """The connected readers, each with its :class:`Delivery`."""

    def __init__(
        self,
        hub: Hub,
        *,
        clock: Clock,
        token: Callable[[], SecretStr | None],
        metrics: HubMetrics,
        spool: Spooler | None = None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._token = token
        self._metrics = metrics
        self._spool = spool
        self._deliveries: dict[Reader, Delivery] = {}
        self._pushing: asyncio.Handle | None = None

    def push_soon(self) -> None:
        """Schedule one :meth:`push` for all units that arrive in the present loop iteration."""
        if self._pushing is None:
            self._pushing = asyncio.get_running_loop().call_soon(self.push)

    def push(self) -> None:
        """Send new records, and heartbeats that are due. Called regularly."""
        if self._pushing is not None:
            self._pushing.cancel()
            self._pushing = None
        if not self._deliveries:
            return
        now = self._clock()
        for delivery in tuple(self._deliveries.values()):
            delivery.push(now)

    def drop_slow(self) -> None:
        """Disconnect readers that are too slow. Called regularly."""
        now = self._clock()
        for reader in self._hub.readers:
            if not reader.too_slow(now):
                continue
            _log.warning(
                "reader_dropped", reader=reader.id, role=reader.role, behind=reader.behind_bytes
            )
            self._hub.readers.dropped += 1
            self._cut(reader)

    def cut_all(self) -> None:
        """Break every connection without an end record: the hub stops, the session continues."""
        for reader in self._hub.readers:
            self._cut(reader)

    async def get(self, request: web.Request) -> web.StreamResponse:
        if not bearer_matches(request, self._token()):
            raise web.HTTPUnauthorized(text="the hub's bearer token is missing or wrong")
        if len(self._hub.readers) >= MAX_READERS:
            raise web.HTTPServiceUnavailable(text=f"there are {MAX_READERS} readers already")
        wanted = self._check_session(_request(request))
        reader = Reader(*_identity(request), wanted, self._clock())
        view = TsView() if request.query.get("format") == "ts" else None
        output: ReaderOutput
        if view is None and wants_upgrade(request, TIMELINE_PROTOCOL):
            output = UpgradedOutput(
                await accept_upgrade(request, TIMELINE_PROTOCOL, buffer_bytes=MAX_ACK_BYTES)
            )
        else:
            output = await body_output(request, CONTENT_TYPE if view is None else "video/mp2t")
        delivery = Delivery(
            self._hub,
            reader,
            output,
            view=view,
            clock=self._clock,
            metrics=self._metrics,
            spool=self._spool,
        )
        self._deliveries[reader] = delivery
        self._hub.attach(reader, self._clock())
        _log.info("reader_attached", reader=reader.id, role=reader.role)
        try:
            await delivery.run()
        except (OSError, ClientError) as error:
            _log.info("reader_broken", reader=reader.id, error=type(error).__name__)
        finally:
            self._deliveries.pop(reader, None)
            self._hub.readers.detach(reader, self._clock())
        await output.close()
        return output.response

    async def acknowledge(self, request: web.Request) -> web.Response:
        if not bearer_matches(request, self._token()):
            raise web.HTTPUnauthorized(text="the hub's bearer token is missing or wrong")
        if (request.content_length or 0) > MAX_ACK_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_ACK_BYTES, request.content_length or 0)
        try:
            ack = TimelineAck.model_validate_json(await request.read())
        except ValidationError:
            raise web.HTTPBadRequest(text="the body is not a TimelineAck") from None
        if not self._hub.readers.acknowledge(ack, self._clock()):
            raise web.HTTPNotFound(text="no recorder of that name is connected or expected")
        return web.Response(status=204)

    def _check_session(self, wanted: Request) -> Request:
        """Return the request with the exact start of its session.

        Raises HTTPNotFound when the hub holds nothing of the requested session."""
        if wanted.session_us is None:
            return wanted
        found = self._hub.output.session(wanted.session_us)
        if found is None:
            message = "this hub holds nothing of that session"
            refusal = {"reason": TimelineRefusal.NO_SUCH_SESSION, "message": message}
            raise web.HTTPNotFound(text=json.dumps(refusal), content_type="application/json")
        return replace(wanted, session_us=found.started_us)

    def _cut(self, reader: Reader) -> None:
        delivery = self._deliveries.pop(reader, None)
        if delivery is not None:
            delivery.cut()


def _identity(request: web.Request) -> tuple[str, str]:
    name = request.query.get("reader", "")[:MAX_NAME] or f"anonymous {request.remote}"
    role = request.query.get("role", "viewer")
    return name, role if role in (RECORDER, "pusher", PLAYER) else "viewer"


def _request(request: web.Request) -> Request:
    """Parse the query: ``from`` wins over ``session``, and ``session`` over ``since``.

    Raises HTTPBadRequest for a position that cannot be parsed."""
    recorder = request.query.get("role") == RECORDER
    whole = recorder or request.query.get("role") == PLAYER
    since = request.query.get("since")
    session = request.query.get("session")
    start = request.query.get("from")
    try:
        since_us = _moment(since) if since else None
        session_us = _moment(session) if session else None
        if not start:
            return Request(since_us=since_us, whole=whole, recorder=recorder, session_us=session_us)
        timeline, _, dts = start.rpartition(":")
        if not timeline:
            raise ValueError("a position is <timeline>:<dts>")
        held_until = request.query.get("held_until")
        return Request(
            timeline=timeline,
            dts=int(dts),
            held_until_us=_moment(held_until) if held_until else None,
            since_us=since_us,
            whole=whole,
            recorder=recorder,
            numbers=_numbers(request.query.get("segment")),
        )
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the position cannot be parsed: {error}") from None


def _numbers(text: str | None) -> Numbers | None:
    """Parse ``<segment number>:<format number>``. Raises ValueError."""
    if not text:
        return None
    segment, _, format_number = text.partition(":")
    return Numbers(int(segment), int(format_number))


def _moment(text: str) -> int:
    """Parse microseconds UTC, or a time of RFC 3339. Raises ValueError."""
    if text.isdigit():
        return int(text)
    # An unescaped plus sign in a query is decoded as a space.
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return us_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
