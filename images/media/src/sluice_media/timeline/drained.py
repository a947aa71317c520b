"""A timeline connection that its reader empties now and then.

The address of the hub and the request come in. Each :meth:`DrainedConnection.take` returns the
records that have arrived since the last one. Arrivals do not wake the process: they wait in the
kernel, then in the hub's ring. A recorder with a client that was woken by every arrival used more
CPU for that client than for all its work on the media.
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
"""Maximum size of one read. While a reader catches up, other tasks need their turn, and the
recorder's spool has a limit."""
_MAX_HEAD_BYTES = 16 << 10
_STATUS_LINE = re.compile(r"HTTP/1\.\d ([1-5]\d\d)\b", re.ASCII)


class RefusedError(ConnectionError):
    """The hub answered with a status other than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the hub answered {status}")
        self.status = status


class ClosedError(ConnectionError):
    """The hub closed the connection. All records before that were taken."""


class DrainedConnection:
    """Body of a reply that has begun. :func:`connect` makes it; the caller closes it."""

    def __init__(self, sock: socket.socket, *, chunked: bool, begun: bytes) -> None:
        """``begun`` is the part of the body that was read with the head."""
        self._sock = sock
        self._read = bytearray(READ_BYTES)
        self._decoder = TimelineDecoder()
        self._body = ChunkedBody() if chunked else None
        self._begun = bytearray(begun)

    def take(self, records: list[Record]) -> bool:
        """Append the records that have arrived; return whether more may be ready now.

        One call reads at most READ_BYTES. Raises ClosedError, another OSError of the socket, or
        FramingError; the complete records before the error are appended first.
        """
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
    """Request ``path`` from the hub at ``url`` (http); return when the hub has accepted.

    Raises RefusedError, another OSError, or FramingError for a peer that is not an HTTP server. The
    caller sets the timeout.
    """
    parts = urlsplit(url)
    request = [f"GET {path}?{urlencode(query)} HTTP/1.1", f"Host: {parts.netloc}"]
    request += [f"{name}: {value}" for name, value in headers.items()]
    request += ["Connection: close", "", ""]
    if any("\r" in line or "\n" in line for line in request):
        raise FramingError("a line of the request contains a line break")
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
    """Connect to the first address that accepts; raise the OSError of the last one if none does."""
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
    """Return the head of the reply, and the part of the body that came with it."""
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
    """Return whether the body is chunked. Raises RefusedError, or FramingError for a reply that is
    not HTTP/1."""
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
