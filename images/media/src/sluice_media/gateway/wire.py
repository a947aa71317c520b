"""The socket of one publisher, as an asyncio protocol around the sans-io session.

The session's events are handed on in the call that brings the bytes. A stream reader and a task in
between would copy the bytes twice more and wake up twice for each read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

import structlog

from sluice_media.net.listening import plain_address
from sluice_media.protocols.rtmp import RtmpError, ServerEvent, ServerSession

_MAX_UNSENT_BYTES = 1 << 20
_DEAD_PEER_SECONDS = 30
_LINGER_SECONDS = 1.0
_MAX_AWAITED_BYTES = 32 << 10
_MIN_AWAITED_BYTES = 1 << 10
_AWAITED_SECONDS = 0.1
"""The kernel collects no more bytes than arrive in this time at the publisher's pace. So a picture
that has begun to arrive over a slow line is noticed in time."""
_PACE_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Wire(asyncio.Protocol):
    """The socket of one publisher.

    ``on_connected`` is called once the socket is connected, ``on_events`` with what it receives.
    """

    def __init__(self, on_connected: Callable[[Wire], None], protocol: str = "RTMP") -> None:
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._discarding = False
        self._socket: socket.socket | None = None
        self._awaited = 1
        self._awaited_at_most = _MIN_AWAITED_BYTES
        self._pace_from = (self._loop.time(), 0)
        self._lost = asyncio.Event()
        self.max_received: int | None = None
        """Maximum of received bytes before the connection ends; None: no limit."""
        self.pause_beyond: int | None = None
        """Number of received bytes after which reading pauses until :meth:`resume`; None: no limit.
        """
        self.on_events: Callable[[list[ServerEvent]], None] = lambda events: None
        """Called with the complete events; with an empty list while more of a message arrives."""
        self.session = ServerSession()
        self.protocol = protocol
        """RTMP or RTMPS."""
        self.address = ""
        self.received = 0
        self.last_byte_at = self._loop.time()
        self.broke_protocol = False
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """Done when the publisher has ended, with the reason as a sentence."""

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = plain_address(peer[0]) if peer else ""
        sock = transport.get_extra_info("socket")
        _watch_for_dead_peers(sock)
        if not self._is_tls:  # TLS adds bytes, so SO_RCVLOWAT would be wrong
            self._socket = sock
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.last_byte_at = self._loop.time()
        self._note_pace()
        if self._discarding:
            return
        try:
            events = self.session.feed(data)
            self.flush()
            if events or self.session.unfinished_bytes:
                self.on_events(events)
            self._await_bytes(self.session.awaited_bytes)
            if self.max_received is not None and self.received > self.max_received:
                raise RtmpError("too many bytes before publish")
            if self.pause_beyond is not None and self.received > self.pause_beyond:
                self.pause()
        except RtmpError as error:
            self.broke_protocol = True
            self.end(str(error))
        except Exception as bug:
            # An error of one publisher must not end the others. Its text may hold a key, so it is
            # not logged.
            _log.error("publisher_failed", address=self.address, error=type(bug).__name__)
            self.end("an internal error")

    def _note_pace(self) -> None:
        since, received = self._pace_from
        seconds = self.last_byte_at - since
        if seconds < _PACE_SECONDS:
            return
        self._pace_from = (self.last_byte_at, self.received)
        comes = round((self.received - received) / seconds * _AWAITED_SECONDS)
        self._awaited_at_most = max(_MIN_AWAITED_BYTES, min(comes, _MAX_AWAITED_BYTES))

    def _await_bytes(self, count: int) -> None:
        """Let the kernel wake us only when ``count`` bytes have arrived.

        A picture arrives in many segments, and FFmpeg sends the header of each message first.
        Waking for each of them costs more than parsing them.

        This does not hold up a sender that waits for the kernel's acknowledgement (Nagle's
        algorithm, FFmpeg): the median from the first byte of a picture to its message was 0.5 ms
        with it and 0.4 ms without it, and TCP_QUICKACK changed nothing. That was measured over
        loopback only, not on a line with a round trip time.
        """
        awaited = min(count, self._awaited_at_most)
        if awaited == self._awaited or self._socket is None:
            return
        self._awaited = awaited
        with contextlib.suppress(OSError):  # it may be closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, awaited)

    def eof_received(self) -> bool:
        self.end("the publisher closed the connection")
        self._lost.set()
        # We close after our last output. TLS has no half-closed connections.
        return not self._is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("the connection was reset" if exc else "the publisher closed the connection")
        self._lost.set()

    # ------------------------------------------------------------------ for the publisher

    def end(self, how: str) -> None:
        """Ignore all further bytes. The first reason counts."""
        self._discarding = True
        if not self.ended.done():
            self.ended.set_result(how)

    def flush(self) -> None:
        """Send the session's output. Raises RtmpError when the peer does not read its answers."""
        data = self.session.take_output()
        if not data or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise RtmpError("the peer sends requests, but does not read the answers")

    def pause(self) -> None:
        with contextlib.suppress(RuntimeError):  # uvloop, when it is closed already
            self._transport.pause_reading()

    def resume(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._transport.resume_reading()

    async def linger(self) -> None:
        """Send the last output and let the peer close: a reset could overtake the output."""
        self._discarding = True
        with contextlib.suppress(RtmpError, OSError, RuntimeError, TimeoutError):
            self.flush()
            self.resume()
            if self._is_tls:
                self._transport.close()  # sends the waiting bytes, then close_notify
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._lost.wait()

    async def until_peer_closes(self) -> None:
        """Wait a moment for the peer to close. A peer that has just ended its stream would take our
        close for an error."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._lost.wait()

    @property
    def _is_tls(self) -> bool:
        return self._transport.get_extra_info("ssl_object") is not None

    def abort(self) -> None:
        self._transport.abort()


def _watch_for_dead_peers(sock: socket.socket | None) -> None:
    """Make the kernel end half-open connections: a pulled cable sends no FIN."""
    if sock is None:
        return
    options = [
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", _DEAD_PEER_SECONDS * 1000),
    ]
    with contextlib.suppress(OSError):  # it may be closed already
        for level, name, value in options:
            if hasattr(socket, name):  # Linux; developers have other machines
                sock.setsockopt(level, getattr(socket, name), value)
