"""One publisher's connection: a queue between the receiving thread and the event loop.

The thread puts bytes in, the loop takes them out. When the queue is full, the thread stops reading
this connection, and libsrt's own flow control slows the sender down.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice_media.protocols.srt.errors import CallError
from sluice_media.protocols.srt.library import Library
from sluice_media.protocols.srt.stats import SrtStats
from sluice_media.protocols.srt.streamid import PublishRequest


@dataclass(slots=True, frozen=True)
class ConnectionOwner:
    """The parts of a listener that its connections use."""

    library: Library
    resume: Callable[[SrtConnection], None] = field(repr=False)
    close: Callable[[SrtConnection], None] = field(repr=False)
    queue_bytes: int
    """Received bytes that wait to be read, at which reading pauses."""


class SrtConnection:
    """An accepted publisher. Used in the event loop, except for the last section of methods."""

    def __init__(
        self,
        owner: ConnectionOwner,
        handle: int,
        *,
        request: PublishRequest,
        leg: str,
        remote: str,
        latency_ms: int,
        encrypted: bool,
        now: float,
    ) -> None:
        self._owner = owner
        self.handle = handle
        """Number of the socket in libsrt."""
        self.request = request
        self.leg = leg
        self.remote = remote
        """Address of the publisher."""
        self.latency_ms = latency_ms
        """Negotiated latency."""
        self.encrypted = encrypted
        self.received_bytes = 0
        self.last_received_at = now
        """Monotonic seconds of the last media; of the connection before any media came."""
        self._lock = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self._queued = 0
        self.paused = False
        """True while the thread does not read because the queue was full."""
        self._ended = False
        self._readable = asyncio.Event()

    def __repr__(self) -> str:
        return f"<SrtConnection {self.leg} from {self.remote}>"

    async def read(self) -> bytes:
        """Wait for bytes and return all that came since the last call; empty at the end."""
        while True:
            self._readable.clear()
            with self._lock:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._queued = 0
                resume = self.paused and not self._ended
                ended = self._ended
            if resume:
                self._owner.resume(self)
            if data or ended:
                return data
            await self._readable.wait()

    @property
    def ended(self) -> bool:
        """True after the connection was closed by either side."""
        return self._ended

    def stats(self) -> SrtStats | None:
        """Return the current counters, or None when the connection is gone."""
        try:
            return self._owner.library.stats(self.handle)
        except CallError:
            return None

    def close(self) -> None:
        """End the connection. Bytes that were received can still be read."""
        self._owner.close(self)

    # ------------------------------------------------------------------ for the thread

    def put(self, data: bytes, now: float) -> bool:
        """Queue received bytes. Return False when the queue is full: reading must pause."""
        with self._lock:
            self._chunks.append(data)
            self._queued += len(data)
            self.received_bytes += len(data)
            self.last_received_at = now
            self.paused = self._queued >= self._owner.queue_bytes
            return not self.paused

    def end(self) -> None:
        """Mark the connection as ended."""
        self._ended = True

    def wake(self) -> None:
        """Wake :meth:`read`, for data or for the end. Called in the loop."""
        self._readable.set()
