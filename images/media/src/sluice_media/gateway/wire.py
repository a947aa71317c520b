"""The socket of one publisher, as an asyncio protocol around the sans-io session.

What the session makes of the bytes is handed on in the same call, without a stream reader and a
task in between, which would copy the bytes twice more and wake up twice for each read.
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
"""No more is awaited than comes in this time at the publisher's pace, so that the hub hears at
once when a large picture has begun to come over a slow line."""
_PACE_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Wire(asyncio.Protocol):
    """``on_connected`` is called once the socket is there, ``on_events`` for what comes in."""

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
        """More bytes than this end the connection; None: no limit."""
        self.pause_beyond: int | None = None
        """Behind so many bytes nothing is read until :meth:`resume`; None: no limit."""
        self.on_events: Callable[[list[ServerEvent]], None] = lambda events: None
        """Called with what is complete; with nothing while more of a message comes."""
        self.session = ServerSession()
        self.protocol = protocol
        """RTMP or RTMPS."""
        self.address = ""
        self.received = 0
        self.last_byte_at = self._loop.time()
        self.broke_protocol = False
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """How the publisher ended, in words."""

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = plain_address(peer[0]) if peer else ""
        sock = transport.get_extra_info("socket")
        _watch_for_dead_peers(sock)
        if not self._is_tls:  # whose records have bytes of their own
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
            # Nothing of one publisher may reach the others. The text of the error is left out,
            # because nobody knows what is in it.
            _log.error("publisher_failed", address=self.address, error=type(bug).__name__)
            self.end("an error of ours")

    def _note_pace(self) -> None:
        since, received = self._pace_from
        seconds = self.last_byte_at - since
        if seconds < _PACE_SECONDS:
            return
        self._pace_from = (self.last_byte_at, self.received)
        comes = round((self.received - received) / seconds * _AWAITED_SECONDS)
        self._awaited_at_most = max(_MIN_AWAITED_BYTES, min(comes, _MAX_AWAITED_BYTES))

    def _await_bytes(self, count: int) -> None:
        """Lets the kernel wake us no sooner. A picture comes in many segments, and FFmpeg sends the
        header of each message first: to wake up for every one costs more than the parsing.

        A sender that waits for our kernel's acknowledgement (Nagle's algorithm, FFmpeg) was not
        held up by it: from the first byte of a picture to its message 0.5 ms with this and 0.4 ms
        without, as a median, and TCP_QUICKACK changed nothing. That was measured over loopback
        alone; on a line with a round trip time nobody has."""
        awaited = min(count, self._awaited_at_most)
        if awaited == self._awaited or self._socket is None:
            return
        self._awaited = awaited
        with contextlib.suppress(OSError):  # it may be closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, awaited)

    def eof_received(self) -> bool:
        self.end("the publisher closed the connection")
        self._lost.set()
        # We close, after our last words; TLS has no half-closed connections.
        return not self._is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("the connection was reset" if exc else "the publisher closed the connection")
        self._lost.set()

    # ------------------------------------------------------------------ for the publisher

    def end(self, how: str) -> None:
        """Nothing is read from now on. The first reason counts."""
        self._discarding = True
        if not self.ended.done():
            self.ended.set_result(how)

    def flush(self) -> None:
        """Sends what the session wants to say. Raises RtmpError when the peer does not read."""
        data = self.session.take_output()
        if not data or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise RtmpError("the peer asks, but does not read the answers")

    def pause(self) -> None:
        with contextlib.suppress(RuntimeError):  # uvloop, when it is closed already
            self._transport.pause_reading()

    def resume(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._transport.resume_reading()

    async def linger(self) -> None:
        """Sends what waits, then lets the peer close: a reset could overtake the last words."""
        self._discarding = True
        with contextlib.suppress(RtmpError, OSError, RuntimeError, TimeoutError):
            self.flush()
            self.resume()
            if self._is_tls:
                self._transport.close()  # after what waits, with a farewell of its own
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._lost.wait()

    async def until_peer_closes(self) -> None:
        """For a moment: to a peer that has just ended its stream our close would be an error."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._lost.wait()

    @property
    def _is_tls(self) -> bool:
        return self._transport.get_extra_info("ssl_object") is not None

    def abort(self) -> None:
        self._transport.abort()


def _watch_for_dead_peers(sock: socket.socket | None) -> None:
    """Lets half-open connections end: nobody says goodbye when a cable is pulled."""
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
