"""A connection to a hub's timeline, as its readers use it.

The address of the hub and the request come in, records go out. Bytes wait in the kernel, and then
in the hub's ring, until the reader takes them. A recorder takes them at its ticks, and is not woken
by arrivals: a client that was woken by every arrival used more CPU than all the recorder's work on
the media.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from urllib.parse import urlencode

from sluice_media.net.upgrade import open_upgraded
from sluice_media.timeline.framing import TIMELINE_PROTOCOL, Record, TimelineDecoder

READ_BYTES = 256 << 10
"""Maximum size of one read. While a reader catches up, other tasks need their turn, and the
recorder's spool has a limit."""
_RECEIVE_BUFFER_BYTES = 1 << 20


class ClosedError(ConnectionError):
    """The hub closed the connection. All records before that were taken."""


class TimelineConnection:
    """An accepted connection. :func:`connect` makes it; the caller closes it."""

    def __init__(self, sock: socket.socket, begun: bytes) -> None:
        """``begun`` are the bytes that came after the hub's answer."""
        self._sock = sock
        self._read = bytearray(READ_BYTES)
        self._decoder = TimelineDecoder()
        self._decoder.append(memoryview(begun))

    def take(self, records: list[Record]) -> bool:
        """Append the records that have arrived; return whether more may be ready now.

        One call reads at most READ_BYTES. Raises ClosedError, another OSError of the socket, or
        FramingError; the complete records before the error are appended first.
        """
        try:
            return self._decode(self._sock.recv_into(self._read), records) == READ_BYTES
        except BlockingIOError:
            self._decoder.take(records)
            return False

    async def receive(self, records: list[Record]) -> int:
        """Wait for bytes and append their records; return the number of bytes.

        Raises what :meth:`take` raises.
        """
        loop = asyncio.get_running_loop()
        return self._decode(await loop.sock_recv_into(self._sock, self._read), records)

    def collect_in_kernel(self) -> None:
        """Enlarge the kernel's buffer, for a reader that pauses between two reads."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)

    def close(self) -> None:
        self._sock.close()

    def _decode(self, count: int, records: list[Record]) -> int:
        try:
            if not count:
                raise ClosedError("the hub closed the connection")
            with memoryview(self._read) as view:
                self._decoder.append(view[:count])
        finally:
            self._decoder.take(records)
        return count


async def connect(
    hub_url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> TimelineConnection:
    """Open the timeline of the hub at ``hub_url`` (http); return when the hub has accepted.

    Raises UpgradeRefused, NotHttp or another OSError. The caller limits the time.
    """
    url = f"{hub_url}/v1/timeline?{urlencode(query)}"
    return TimelineConnection(*await open_upgraded(url, TIMELINE_PROTOCOL, headers))
