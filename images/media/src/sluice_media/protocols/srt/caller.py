"""The calling side of SRT, for pushing: connect, send at the media's pace, report refusals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from sluice_media.protocols.srt.errors import (
    CallError,
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
)
from sluice_media.protocols.srt.library import (
    Library,
    Option,
    SocketState,
    load,
    pack_address,
)
from sluice_media.protocols.srt.pacing import HEADROOM, MediaPacer
from sluice_media.protocols.srt.stats import SrtStats

MESSAGE_BYTES = 1_316
"""Size of one SRT message: seven transport packets."""
_FULL_SECONDS = 0.005
_ROOM_SHARE = 0.4
_ROOM_RTTS, _ROOM_MS = 1.5, 50
"""Limit of unacknowledged media, above which sending pauses: ``_ROOM_SHARE`` of the latency, or
``_ROOM_RTTS`` round trips plus ``_ROOM_MS`` milliseconds, whichever is more. A server drops packets
that are later than the latency and acknowledges them nevertheless, so the sender cannot count them.
Measured on a link with four fifths of the needed rate: two fifths of the packets were lost at the
server, none was counted here. So the sender of the media must leave out whole groups of pictures
when the link is too slow."""
_POLL_SECONDS = 0.02
_SLICE_SECONDS = 0.050
_SLICE_BYTES = 32 << 10
"""Limits of the media that is sent at once: one or two pictures, as encoders send them, and no
more than a network queue holds. Each slice needs a timer, and timers are most of a push's cost."""
_PROBE_RTTS, _PROBE_SECONDS = 2.0, 0.1
"""Time without an acknowledgement after which a probe is sent: round trips, and at least seconds.
In live mode libsrt sends a lost packet again only when the server reports it, and a server misses
a packet only when a later one arrives. After a gap in the network that took all unacknowledged
packets, a sender that waits for acknowledgements would wait for ever."""
_PROBE = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 7
"""One message of null packets (ISO/IEC 13818-1, 2.4.3.3), which every receiver discards."""
_CONNECT_POLL_SECONDS = 0.010
_REJ_TIMEOUT = 16


@dataclass(slots=True, frozen=True)
class SrtTarget:
    """A server and how to call it. ``repr`` and errors show neither stream id nor passphrase."""

    host: str
    """Address, not a name: the code that resolves the name also checks the address."""
    port: int
    stream_id: SecretStr = field(default_factory=lambda: SecretStr(""))
    """At most 512 bytes."""
    passphrase: SecretStr | None = None
    """10 to 79 characters, or None for no encryption."""
    latency_ms: int = 120
    peer_idle_ms: int = 5_000
    """Time without any packet after which libsrt ends the connection."""
    key_bytes: int = 32
    """Length of the AES key: 16, 24 or 32."""


class SrtCaller:
    """A connection that sends. Made by :func:`dial` or :func:`connect`."""

    def __init__(self, library: Library, handle: int, pacer: MediaPacer) -> None:
        self._library = library
        self._handle = handle
        self._pacer = pacer
        self.sent_bytes = 0
        self.held_back_at: float | None = None
        """Monotonic seconds of the last pause for acknowledgements of the server."""

    async def send(self, data: bytes, dts_90khz: int) -> None:
        """Send transport packets whose media time is ``dts_90khz`` (unwrapped).

        The rate is at most 1.25 times that of the media, and no more than the server acknowledges.
        Raise ConnectionLost.
        """
        await self._room()
        start = self._pacer.start_at(len(data), dts_90khz, time.monotonic())
        rate = HEADROOM * self._pacer.bytes_per_second
        slice_seconds = min(_SLICE_SECONDS, _SLICE_BYTES / rate)
        for at in range(0, len(data), MESSAGE_BYTES):
            wait = start + at / rate - time.monotonic()
            if wait >= slice_seconds:
                await asyncio.sleep(wait)
                await self._room()
            await self._send(data[at : at + MESSAGE_BYTES])

    async def _room(self) -> None:
        """Wait until the server has acknowledged enough or the connection has ended."""

        def has_room(stats: SrtStats) -> bool:
            limit_ms = max(_ROOM_SHARE * stats.peer_delay_ms, _ROOM_RTTS * stats.rtt_ms + _ROOM_MS)
            if stats.send_buffer_ms <= limit_ms or not self.connected:
                return True
            self.held_back_at = time.monotonic()
            return False

        await self._acknowledged(has_room)

    async def _acknowledged(self, is_enough: Callable[[SrtStats], bool]) -> SrtStats | None:
        """Wait until ``is_enough``; send a probe when acknowledgements stand still.

        Return the last counters, or None when the connection is gone.
        """
        waiting_bytes, since = -1, 0.0
        while (stats := self.stats()) is not None and not is_enough(stats):
            now = time.monotonic()
            if stats.send_buffer_bytes != waiting_bytes:
                waiting_bytes, since = stats.send_buffer_bytes, now
            elif now - since >= max(_PROBE_RTTS * stats.rtt_ms / 1000, _PROBE_SECONDS):
                with suppress(CallError):  # the next counters say that the connection is gone
                    self._library.send(self._handle, _PROBE)
            await asyncio.sleep(_POLL_SECONDS)
        return stats

    async def _send(self, message: bytes) -> None:
        try:
            while not self._library.send(self._handle, message):
                await asyncio.sleep(_FULL_SECONDS)
                if not self.connected:
                    raise ConnectionLost("the server ended the connection")
        except CallError:
            raise ConnectionLost("the server ended the connection") from None
        self.sent_bytes += len(message)

    def close(self) -> None:
        """End the connection. Media that the server has not received is lost."""
        self._library.close(self._handle)

    async def drain(self, timeout_seconds: float) -> bool:
        """Wait until the server has handed everything to its application.

        A server discards media within the latency when the caller disconnects. Return False when
        the timeout passes or the connection ends first.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                stats = await self._acknowledged(lambda stats: not stats.send_buffer_bytes)
                if stats is None:
                    return False
                await asyncio.sleep((stats.peer_delay_ms + stats.rtt_ms) / 1000)
                return True
        except TimeoutError:
            return False

    @property
    def connected(self) -> bool:
        """True while the connection exists."""
        return self._library.state(self._handle) == SocketState.CONNECTED

    def stats(self) -> SrtStats | None:
        """Return the current counters, or None when the connection is gone."""
        try:
            return self._library.stats(self._handle)
        except CallError:
            return None


async def dial(
    target: SrtTarget, *, timeout_seconds: float = 3.0, pacer: MediaPacer | None = None
) -> SrtCaller:
    """Return a connection that the caller must close.

    Raise LibraryMissing, ConnectTimeout when no answer comes, ConnectRefused with the reason, and
    CallError for a target that libsrt does not accept (such as a passphrase of 9 characters).
    """
    library = load()
    address = pack_address(target.host, target.port)
    handle = library.create()
    try:
        _configure(library, handle, target, timeout_seconds)
        library.connect(handle, address)
        # Non-blocking: a thread that waits in srt_connect cannot be cancelled.
        while (state := library.state(handle)) != SocketState.CONNECTED:
            if state != SocketState.CONNECTING:
                reason = library.reject_reason(handle)
                if reason == _REJ_TIMEOUT:
                    raise ConnectTimeout("the server does not answer")
                raise ConnectRefused(reason)
            await asyncio.sleep(_CONNECT_POLL_SECONDS)
    except BaseException:
        library.close(handle)
        raise
    return SrtCaller(library, handle, pacer or MediaPacer())


@asynccontextmanager
async def connect(
    target: SrtTarget, *, timeout_seconds: float = 3.0, pacer: MediaPacer | None = None
) -> AsyncIterator[SrtCaller]:
    """Yield the connection of :func:`dial` and close it when the context ends."""
    caller = await dial(target, timeout_seconds=timeout_seconds, pacer=pacer)
    try:
        yield caller
    finally:
        caller.close()


def _configure(library: Library, handle: int, target: SrtTarget, timeout_seconds: float) -> None:
    library.set_int(handle, Option.SEND_BLOCKING, 0)
    library.set_int(handle, Option.RECEIVE_BLOCKING, 0)
    library.set_int(handle, Option.CONNECT_TIMEOUT_MS, int(timeout_seconds * 1000))
    library.set_int(handle, Option.PEER_LATENCY_MS, target.latency_ms)
    library.set_int(handle, Option.RECEIVE_LATENCY_MS, target.latency_ms)
    library.set_int(handle, Option.PEER_IDLE_MS, target.peer_idle_ms)
    if stream_id := target.stream_id.get_secret_value().encode():
        library.set_bytes(handle, Option.STREAM_ID, stream_id)
    if target.passphrase is not None:
        library.set_int(handle, Option.KEY_LENGTH, target.key_bytes)
        secret = target.passphrase.get_secret_value().encode()
        library.set_bytes(handle, Option.PASSPHRASE, secret)
