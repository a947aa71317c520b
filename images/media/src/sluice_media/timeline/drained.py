"""A timeline connection that is emptied now and then, for a reader that is in no haste.

In: where the hub is and what is asked of it. Out: at each :meth:`DrainedConnection.take`, the
records that have come since. Nothing wakes the process in between: what comes waits in the kernel,
then in the hub's ring. A client that is told of every arrival cost a recorder more than all that
it does with the media.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from sluice_media.net.chunked_bodies import ChunkedBody
from sluice_media.timeline.framing import FramingError, Record, TimelineDecoder

READ_BYTES = 256 << 10
"""Others want their turn while the past is caught up, and a spool has a limit."""
_MAX_HEAD_BYTES = 16 << 10
_STATUS_LINE = re.compile(r"HTTP/1\.\d ([1-5]\d\d)\b", re.ASCII)


class RefusedError(ConnectionError):
    """The hub answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the hub answered {status}")
        self.status = status


class ClosedError(ConnectionError):
    """The hub closed the connection. All records that came before were taken."""


class DrainedConnection:
    """The body of a reply that has begun; :func:`connect` makes one. To be closed."""

    def __init__(self, sock: socket.socket, *, chunked: bool, begun: bytes) -> None:
        """``begun``: of the body, read already."""
        self._sock = sock
        self._read = bytearray(READ_BYTES)
        self._decoder = TimelineDecoder()
        self._body = ChunkedBody() if chunked else None
        self._begun = bytearray(begun)

    def take(self, records: list[Record]) -> bool:
        """Appends what has come, up to READ_BYTES; returns whether there may be more at once.

        What came whole is appended before an error is raised: ClosedError, another OSError of the
        socket, or FramingError."""
        try:
            if self._begun:
                begun, self._begun = self._begun, bytearray()
                self._feed(begun, len(begun))
            try:
                count = self._sock.recv_into(self._read)
            except BlockingIOError:
                return False
            if not count:
                raise ClosedError("the hub closed the connection")
            self._feed(self._read, count)
            return count == READ_BYTES
        finally:
            self._decoder.take(records)

    def close(self) -> None:
        self._sock.close()

    def _feed(self, data: bytearray, size: int) -> None:
        if self._body is None:
            with memoryview(data) as view:
                self._decoder.append(view[:size])
            return
        try:
            self._body.feed(data, size, self._decoder.append)
        except ValueError as broken:
            raise FramingError(str(broken)) from None
        if self._body.ended:
            raise ClosedError("the hub ended the reply")


async def connect(
    url: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> DrainedConnection:
    """Asks the hub at ``url`` (http) for ``path``; returns when it has accepted.

    Raises RefusedError, another OSError, and FramingError for a peer that is no HTTP server. It
    may take for ever: the caller limits the time."""
    parts = urlsplit(url)
    request = [f"GET {path}?{urlencode(query)} HTTP/1.1", f"Host: {parts.netloc}"]
    request += [f"{name}: {value}" for name, value in headers.items()]
    request += ["Connection: close", "", ""]
    if any("\r" in line or "\n" in line for line in request):
        raise FramingError("a line of the request has a line break inside")
    loop = asyncio.get_running_loop()
    sock = await _dial(parts.hostname or "", parts.port or 80)
    try:
        await loop.sock_sendall(sock, "\r\n".join(request).encode())
        head, begun = await _read_head(loop, sock)
        return DrainedConnection(sock, chunked=_is_chunked(head), begun=begun)
    except BaseException:
        sock.close()
        raise


async def _dial(host: str, port: int) -> socket.socket:
    """Tries the addresses one after the other; raises the last one's OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    refused: OSError = OSError("the name of the hub has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            refused = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise refused


async def _read_head(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> tuple[bytes, bytes]:
    """The head of the reply, and what of the body came with it."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _MAX_HEAD_BYTES:
            raise FramingError("the head of the reply has no end")
        more = await loop.sock_recv(sock, _MAX_HEAD_BYTES)
        if not more:
            raise ClosedError("the hub closed the connection")
        data += more
    return data[:end], data[end + 4 :]


def _is_chunked(head: bytes) -> bool:
    """Raises RefusedError, and FramingError for what is no reply of HTTP/1."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    found = _STATUS_LINE.match(status_line)
    if found is None:
        raise FramingError("the peer does not speak HTTP/1")
    if (status := int(found[1])) != HTTPStatus.OK:
        raise RefusedError(status)
    fields = (line.partition(":") for line in lines)
    return any(
        name.lower() == "transfer-encoding" and "chunked" in value.lower()
        for name, _, value in fields
    )
