"""Pushing over SRT: a caller that connects, sends paced, and says why it could not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
"""Seven transport packets."""
_FULL_SECONDS = 0.005
_ROOM_SHARE = 0.4
_ROOM_RTTS, _ROOM_MS = 1.5, 50
"""No more is sent while so much waits to be acknowledged: that share of the latency, or so many
round trips and a little. A server gives up packets that are later than the latency, acknowledges
them all the same, and the sender never learns of it: at four fifths of the rate two fifths of the
packets were missing there, and none was counted here. What a slow way cannot carry has to be left
out before, in whole groups."""
_ROOM_POLL_SECONDS = 0.02
_SLICE_SECONDS = 0.050
_SLICE_BYTES = 32 << 10
"""What goes out in one go: a picture or two, as encoders send, and no more than a queue
takes. Each slice is a timer, and timers are most of what a push costs."""
_DRAIN_POLL_SECONDS = 0.02
_CONNECT_POLL_SECONDS = 0.010
_REJ_TIMEOUT = 16


@dataclass(slots=True, frozen=True)
class SrtTarget:
    """Neither ``repr`` nor any error shows the stream id or the passphrase."""

    host: str
    """An address, not a name: who looks names up also decides which addresses are allowed."""
    port: int
    stream_id: SecretStr = field(default_factory=lambda: SecretStr(""))
    """At most 512 bytes."""
    passphrase: SecretStr | None = None
    """10 to 79 characters."""
    latency_ms: int = 120
    peer_idle_ms: int = 5_000
    key_bytes: int = 32
    """Of the AES key: 16, 24 or 32."""


class SrtCaller:
    """A connection that sends; made by :func:`dial` or :func:`connect`."""

    def __init__(self, library: Library, handle: int, pacer: MediaPacer) -> None:
        self._library = library
        self._handle = handle
        self._pacer = pacer
        self.sent_bytes = 0
        self.held_back_at: float | None = None
        """Monotonic: when sending waited last for the server to acknowledge what it has."""

    async def send(self, data: bytes, dts_90khz: int) -> None:
        """Sends transport packets whose media time is ``dts_90khz`` (unwrapped), at most 1.25
        times as fast as the media plays, and no faster than the server gets them. Raises
        ConnectionLost."""
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
        """Wait until the server has acknowledged enough, or the connection is gone."""
        while (stats := self.stats()) is not None:
            limit_ms = max(_ROOM_SHARE * stats.peer_delay_ms, _ROOM_RTTS * stats.rtt_ms + _ROOM_MS)
            if stats.send_buffer_ms <= limit_ms or not self.connected:
                return
            self.held_back_at = time.monotonic()
            await asyncio.sleep(_ROOM_POLL_SECONDS)

    async def _send(self, message: bytes) -> None:
        try:
            while not self._library.send(self._handle, message):
                await asyncio.sleep(_FULL_SECONDS)
                if not self.connected:
                    raise ConnectionLost("the server is not there any more")
        except CallError:
            raise ConnectionLost("the server is not there any more") from None
        self.sent_bytes += len(message)

    def close(self) -> None:
        """Ends the connection; what the server has not got is forgotten."""
        self._library.close(self._handle)

    async def drain(self, timeout_seconds: float) -> bool:
        """Waits until the server has everything and its application could take it (a server that
        is told goodbye forgets what it still keeps back); whether it has."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    stats = self.stats()
                    if stats is None:
                        return False
                    if not stats.send_buffer_bytes:
                        await asyncio.sleep(stats.peer_delay_ms / 1000 + stats.rtt_ms / 1000)
                        return True
                    await asyncio.sleep(_DRAIN_POLL_SECONDS)
        except TimeoutError:
            return False

    @property
    def connected(self) -> bool:
        return self._library.state(self._handle) == SocketState.CONNECTED

    def stats(self) -> SrtStats | None:
        """Counters of now; None when the connection is gone."""
        try:
            return self._library.stats(self._handle)
        except CallError:
            return None


async def dial(
    target: SrtTarget, *, timeout_seconds: float = 3.0, pacer: MediaPacer | None = None
) -> SrtCaller:
    """A connection; whoever gets it closes it.

    Raises LibraryMissing, ConnectTimeout when nobody answers, ConnectRefused with the reason, and
    CallError for a target that libsrt does not take (a passphrase of 9 characters).
    """
    library = load()
    address = pack_address(target.host, target.port)
    handle = library.create()
    try:
        _configure(library, handle, target, timeout_seconds)
        library.connect(handle, address)
        # Non-blocking: a thread that waits in srt_connect cannot be called back.
        while (state := library.state(handle)) != SocketState.CONNECTED:
            if state != SocketState.CONNECTING:
                reason = library.reject_reason(handle)
                if reason == _REJ_TIMEOUT:
                    raise ConnectTimeout("nobody answers there")
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
    """The same, closed with the context."""
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
