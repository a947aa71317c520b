"""HTTP Upgrade: a request opens a connection, and then both sides own its bytes.

Legs and timelines carry media for hours in both directions. As HTTP bodies, each write would cost a
coroutine and several copies in aiohttp. After the upgrade there is a plain socket.

Source: RFC 9110, 7.8 (Upgrade) and 15.2.2 (101 Switching Protocols).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import h11
from aiohttp import web

_MAX_HEAD_BYTES = 16 << 10
_MAX_BODY_BYTES = 4_096
_UNSENT_BYTES = 64 << 10


class UpgradeRefused(ConnectionError):  # noqa: N818  the name is the field's word
    """The server answered the request with a status other than 101."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status
        self.body = body
        """The first 4 KiB of the answer's body."""


class NotHttp(ConnectionError):  # noqa: N818  the name is the field's word
    """The peer does not speak HTTP/1.1, or the request cannot be written in it."""


# ---------------------------------------------------------------------- the client


async def open_upgraded(
    url: str, protocol: str, headers: Mapping[str, str], *, method: str = "GET"
) -> tuple[socket.socket, bytes]:
    """Request an upgrade to ``protocol`` from ``url`` (http).

    Return the connected socket (non-blocking), and the bytes that came after the server's answer.
    Raises UpgradeRefused, NotHttp or another OSError. The caller limits the time.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    fields = {"Host": parts.netloc, "Connection": "Upgrade", "Upgrade": protocol, **headers}
    try:
        request = http.send(h11.Request(method=method, target=target, headers=[*fields.items()]))
    except h11.LocalProtocolError as error:  # its text may quote a key
        raise NotHttp("a header of the request cannot be sent") from error
    sock = await _connect(parts.hostname or "", parts.port or 80)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, (request or b"") + (http.send(h11.EndOfMessage()) or b""))
        return sock, await _read_answer(sock, http)
    except h11.RemoteProtocolError as error:
        sock.close()
        raise NotHttp("the peer does not speak HTTP/1.1") from error
    except BaseException:
        sock.close()
        raise


async def _connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of ``host`` that answers, one try at a time.

    Raises the OSError of the last address when all fail.
    """
    loop = asyncio.get_running_loop()
    last: OSError = OSError("the name has no address")
    for family, kind, number, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


async def _read_answer(sock: socket.socket, http: h11.Connection) -> bytes:
    """Read a 101 answer and return the bytes after it.

    Raises UpgradeRefused, h11.RemoteProtocolError and OSError.
    """
    loop = asyncio.get_running_loop()
    refused: UpgradeRefused | None = None
    while True:
        match http.next_event():
            case h11.InformationalResponse(status_code=HTTPStatus.SWITCHING_PROTOCOLS):
                return http.trailing_data[0]
            case h11.Response(status_code=status):
                refused = UpgradeRefused(status, b"")
            case h11.Data(data=data) if refused is not None:
                refused.body = (refused.body + data)[:_MAX_BODY_BYTES]
            case h11.EndOfMessage() if refused is not None:
                raise refused
            case h11.NEED_DATA:
                data = await loop.sock_recv(sock, _MAX_HEAD_BYTES)
                if not data and refused is None:
                    raise ConnectionResetError("the server closed the connection")
                http.receive_data(data)


# ---------------------------------------------------------------------- the server


class _Switched(asyncio.StreamReaderProtocol):
    """The protocol of an upgraded connection. It also reports the end to aiohttp."""

    def __init__(self, reader: asyncio.StreamReader, handler: web.RequestHandler) -> None:
        super().__init__(reader)
        self._handler = handler

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._handler.connection_lost(exc)


class Upgraded:
    """The server's side of an upgraded connection, for as long as its request is handled."""

    def __init__(
        self,
        response: web.StreamResponse,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.response = response
        """The answer that the request's handler has to return at the end."""
        self.reader = reader
        self.writer = writer

    async def close(self, seconds: float) -> None:
        """Send what was written and close the connection. Cut it after ``seconds``."""
        transport = self.writer.transport
        try:
            async with asyncio.timeout(seconds):
                self.writer.close()
                await self.writer.wait_closed()
        except (TimeoutError, OSError):
            transport.abort()


def wants_upgrade(request: web.Request, protocol: str) -> bool:
    """Return whether the client requests an upgrade to ``protocol``."""
    return request.headers.get("Upgrade", "").lower() == protocol


async def accept_upgrade(request: web.Request, protocol: str, *, buffer_bytes: int) -> Upgraded:
    """Answer with 101, and take the connection over from aiohttp.

    ``buffer_bytes`` is the number of unread bytes beyond which the peer has to wait. The client
    must send nothing before it has the answer. Raises ConnectionResetError when the
    client has disconnected.
    """
    transport, handler = request.transport, request.protocol
    if transport is None:
        raise ConnectionResetError("the client has disconnected")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=buffer_bytes, loop=loop)
    switched = _Switched(reader, handler)
    response = web.StreamResponse(
        status=HTTPStatus.SWITCHING_PROTOCOLS,
        headers={"Connection": "Upgrade", "Upgrade": protocol},
    )
    response.force_close()
    # This comes before the answer, because the client may send as soon as it has the answer.
    transport.set_protocol(switched)
    switched.connection_made(transport)
    await response.prepare(request)
    return Upgraded(response, reader, asyncio.StreamWriter(transport, switched, reader, loop))


def takes_more(transport: asyncio.WriteTransport) -> bool:
    """Return whether the peer is there and has taken nearly everything that was written before."""
    return not transport.is_closing() and transport.get_write_buffer_size() <= _UNSENT_BYTES
