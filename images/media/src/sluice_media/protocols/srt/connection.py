"""One publisher's connection, between the receiving thread and the event loop.

The thread puts bytes in, the loop takes them out. When the queue is full the thread stops reading
this connection, and libsrt's own flow control reaches the sender.
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
    """What a connection needs of its listener."""

    library: Library
    resume: Callable[[SrtConnection], None] = field(repr=False)
    close: Callable[[SrtConnection], None] = field(repr=False)
    queue_bytes: int


class SrtConnection:
    """An accepted publisher. Used in the event loop, but for what is said to be the thread's."""

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
        """libsrt's number of the socket."""
        self.request = request
        self.leg = leg
        self.remote = remote
        """The publisher's address."""
        self.latency_ms = latency_ms
        """As negotiated."""
        self.encrypted = encrypted
        self.received_bytes = 0
        self.last_received_at = now
        """Monotonic seconds of the last media (or of the connection): the byte clock."""
        self._lock = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self._queued = 0
        self.paused = False
        """The thread does not read, because the queue was full."""
        self._ended = False
        self._readable = asyncio.Event()

    def __repr__(self) -> str:
        return f"<SrtConnection {self.leg} from {self.remote}>"

    async def read(self) -> bytes:
        """What has come since the last call, at least one message; empty at the end."""
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
        return self._ended

    def stats(self) -> SrtStats | None:
        """Counters of now; None when the connection is gone."""
        try:
            return self._owner.library.stats(self.handle)
        except CallError:
            return None

    def close(self) -> None:
        """Ends the connection; what was received can still be read."""
        self._owner.close(self)

    # ------------------------------------------------------------------ the thread's

    def put(self, data: bytes, now: float) -> bool:
        """Takes what was received; False when that was enough for now."""
        with self._lock:
            self._chunks.append(data)
            self._queued += len(data)
            self.received_bytes += len(data)
            self.last_received_at = now
            self.paused = self._queued >= self._owner.queue_bytes
            return not self.paused

    def end(self) -> None:
        self._ended = True

    def wake(self) -> None:
        """In the loop: there is something to read, or the end."""
        self._readable.set()
