"""``POST /v1/legs``: the media of one publisher; ``POST /v1/legs/lookup``: a lookup before it.

The first is an HTTP Upgrade. The hub refuses it with a status and a reason, or accepts it with 101.
Then the gateway sends framed records, and the hub sends one acknowledgement every 200 ms as a line
of JSON. A leg that the hub itself ends gets a LegEnd as its last line. A lookup takes no leg. Its
answer is a LegGrant, or the refusal that a leg would get.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from pydantic import SecretStr, ValidationError

from sluice_media.contract import HELLO_HEADER, LegEnd, LegGrant, LegHello, LegReason, Refusal
from sluice_media.hub.clock import Clock
from sluice_media.hub.feed import UnitFeed
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.admission import LegRefusedError
from sluice_media.hub.legs.leg import Leg, LegName
from sluice_media.hub.metrics import HubMetrics
from sluice_media.net.upgrade import Upgraded, accept_upgrade, takes_more, wants_upgrade
from sluice_media.net.writing import write
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, LegMediaRejected

ACK_SECONDS = 0.2
CLOSE_SECONDS = 1.0
"""Time that a half-open socket has for the last line before it is cut."""
READ_BYTES = 256 << 10
BUFFER_BYTES = 128 << 10
"""Unread bytes of one leg. More would only delay the publisher's notice of congestion."""
MAX_HELLO_BYTES = 4096
DEAD_PEER_SECONDS = 10
"""Time after which an acknowledgement that the gateway's node does not confirm ends the connection.
"""
MIN_PASSPHRASE_BYTES, MAX_PASSPHRASE_BYTES = 10, 79
"""Limits of libsrt."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Connection:
    leg: Leg
    key: SecretStr
    ended: asyncio.Event


class _Repeating:
    """Timer that calls a short function now and at intervals, without a task."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self._seconds = seconds
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._call()

    def cancel(self) -> None:
        self._handle.cancel()

    def _call(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._call)
        self._function()


class LegEndpoint:
    """The legs of the hub's publishers.

    ``keys`` and ``passphrase`` (SRT's) are called at each request, so that a rotated value counts
    at once. ``changed`` is called after everything that may have changed the hub.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        clock: Clock,
        keys: Callable[[], Mapping[LegName, SecretStr]],
        passphrase: Callable[[], SecretStr | None],
        changed: Callable[[], None],
        metrics: HubMetrics,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._keys = keys
        self._passphrase = passphrase
        self._changed = changed
        self._metrics = metrics
        self._connections: set[_Connection] = set()

    def keys_changed(self) -> None:
        """End the legs of publishers whose key has changed.

        A key that is missing altogether ends no leg: a Secret that is being replaced must not end a
        broadcast.
        """
        keys = self._keys()
        for connection in tuple(self._connections):
            current = keys.get(connection.leg.name)
            if current is not None and not _same(current, connection.key):
                end = LegEnd(
                    reason=LegReason.KEY_ROTATED, message="the stream key has been changed"
                )
                self._end(connection, end)

    def drain(self) -> None:
        """End all legs with the reason Draining, because another hub follows."""
        for connection in tuple(self._connections):
            end = LegEnd(reason=LegReason.DRAINING, message="another hub is on its way: post again")
            self._end(connection, end)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Take one leg, and serve it until it ends."""
        if not wants_upgrade(request, LEG_PROTOCOL):
            raise web.HTTPUpgradeRequired(text=f"a leg needs an upgrade to {LEG_PROTOCOL}")
        hello = _hello(request)
        key = _bearer(request)
        try:
            leg = self._hub.admit(self._leg_of(key), hello, self._clock())
        except LegRefusedError as refused:
            return self._refused(refused, hello)
        _watch_for_dead_peer(request)
        self._metrics.legs.labels(hello.protocol).inc()
        _log.info("leg_admitted", leg=leg.name, protocol=hello.protocol, remote=hello.remote)
        connection = _Connection(leg, key, asyncio.Event())
        self._connections.add(connection)
        self.wake_ended()
        try:
            return await self._serve(request, connection)
        finally:
            self._connections.discard(connection)
            self._hub.end_leg(leg, None, self._clock())
            reason = leg.end.reason if leg.end else "Closed"
            _log.info("leg_ended", leg=leg.name, reason=reason, bytes=leg.bytes_in)
            self._changed()

    async def lookup(self, request: web.Request) -> web.Response:
        """Answer a lookup: the facts that a gateway needs before its protocol's own handshake."""
        hello = _hello(request)
        key = _bearer(request)
        try:
            name = self._hub.judge(self._leg_of(key), hello, self._clock())
            passphrase = self._passphrase_for(hello)
        except LegRefusedError as refused:
            return self._refused(refused, hello)
        grant = LegGrant(
            leg=name,
            passphrase=passphrase.get_secret_value() if passphrase else None,
            latency_milliseconds=self._hub.config.srt_latency_milliseconds,
        )
        headers = {"Cache-Control": "no-store"}
        return web.Response(text=grant.to_json(), content_type="application/json", headers=headers)

    def _passphrase_for(self, hello: LegHello) -> SecretStr | None:
        if hello.protocol != "SRT" or not self._hub.config.srt_passphrase:
            return None
        passphrase = self._passphrase()
        if not is_passphrase(passphrase):
            # The stream's owner requires encryption.
            raise LegRefusedError(
                503, LegReason.PASSPHRASE_MISSING, "the stream's passphrase is missing"
            )
        return passphrase

    def _refused(self, refused: LegRefusedError, hello: LegHello) -> web.Response:
        self._metrics.rejections.labels(refused.reason).inc()
        _log.info("leg_refused", reason=refused.reason, protocol=_plain(hello.protocol))
        self._changed()
        return _refusal(refused)

    def wake_ended(self) -> None:
        """Wake the connections whose legs the hub has ended."""
        for connection in self._connections:
            if connection.leg.end is not None:
                connection.ended.set()

    async def _serve(self, request: web.Request, connection: _Connection) -> web.StreamResponse:
        upgraded = await accept_upgrade(request, LEG_PROTOCOL, buffer_bytes=BUFFER_BYTES)
        self._changed()
        acknowledging = self._acknowledge(upgraded.writer.transport, connection)
        body = asyncio.create_task(self._read(upgraded.reader, connection), name="leg-body")
        ended = asyncio.create_task(connection.ended.wait(), name="leg-ended")
        try:
            await asyncio.wait((body, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            acknowledging.cancel()
            for task in (body, ended):
                task.cancel()
            await asyncio.gather(body, ended, return_exceptions=True)
        await _close(upgraded, connection.leg.end)
        if not body.cancelled() and (error := body.exception()) is not None:
            raise error
        return upgraded.response

    async def _read(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Feed the records to the hub until the leg ends, breaks or sends something else."""
        leg = connection.leg
        feed = UnitFeed(self._hub, leg)
        try:
            while data := await reader.read(READ_BYTES):
                if leg.end is not None:
                    return
                self._metrics.bytes_in += len(data)
                feed.feed(data, self._clock())
                self._changed()
        except LegMediaRejected as rejected:
            self._metrics.rejections.labels(rejected.reason).inc()
            self._hub.reject_media(leg, rejected.reason, str(rejected), self._clock())
        except OSError as error:
            _log.info("leg_broken", leg=leg.name, error=type(error).__name__)

    def _acknowledge(
        self, transport: asyncio.WriteTransport, connection: _Connection
    ) -> _Repeating:
        """Send a line every 200 ms. A gateway that does not read gets none until it reads again."""

        def acknowledge() -> None:
            if connection.leg.end is None and takes_more(transport):
                transport.write(self._hub.ack(connection.leg).to_json().encode() + b"\n")

        return _Repeating(ACK_SECONDS, acknowledge)

    def _end(self, connection: _Connection, end: LegEnd) -> None:
        self._hub.end_leg(connection.leg, end, self._clock())
        self.wake_ended()
        self._changed()

    def _leg_of(self, key: SecretStr) -> LegName | None:
        """Return the leg of a key. All keys are compared, in constant time."""
        found = None
        for name, expected in self._keys().items():
            if _same(expected, key):
                found = name
        return found


def is_passphrase(passphrase: SecretStr | None) -> bool:
    """Return whether libsrt accepts the passphrase."""
    if passphrase is None:
        return False
    size = len(passphrase.get_secret_value().encode())
    return MIN_PASSPHRASE_BYTES <= size <= MAX_PASSPHRASE_BYTES


def _watch_for_dead_peer(request: web.Request) -> None:
    """Make the kernel end the connection of a gateway whose node has vanished."""
    sock = request.transport.get_extra_info("socket") if request.transport else None
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):  # it may be closed already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)


def _plain(protocol: str) -> str:
    """Return a peer's protocol name, made safe for a log."""
    return protocol[:16] if protocol.isascii() and protocol.isalnum() else "?"


def _same(a: SecretStr, b: SecretStr) -> bool:
    return hmac.compare_digest(a.get_secret_value().encode(), b.get_secret_value().encode())


def _bearer(request: web.Request) -> SecretStr:
    """Return the bearer key; an empty key, which matches no leg, when there is none."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return SecretStr(given.strip() if scheme.lower() == "bearer" else "")


def _hello(request: web.Request) -> LegHello:
    raw = request.headers.get(HELLO_HEADER, "")
    if len(raw) <= MAX_HELLO_BYTES:
        try:
            return LegHello.model_validate_json(raw)
        except ValidationError:
            pass
    response = web.HTTPBadRequest(text=f"the header {HELLO_HEADER} is not a LegHello")
    response.force_close()
    raise response


def _refusal(refused: LegRefusedError) -> web.Response:
    body = Refusal(reason=refused.reason, message=refused.message).to_json()
    response = web.Response(status=refused.status, text=body, content_type="application/json")
    # The rest of the request is not read.
    response.force_close()
    return response


async def _close(upgraded: Upgraded, end: LegEnd | None) -> None:
    """Send the reason why the hub ends a leg, and close the connection.

    Media that is still on its way is read and dropped: a socket that is closed with unread data is
    reset, and the gateway could lose the reason.
    """
    reader, writer = upgraded.reader, upgraded.writer
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS):
            if end is not None:
                write(writer, end.to_json().encode() + b"\n")
                writer.write_eof()
                while await reader.read(READ_BYTES):
                    pass
    await upgraded.close(CLOSE_SECONDS)
