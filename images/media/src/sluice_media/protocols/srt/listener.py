"""Publishers over SRT: one UDP port for all streams.

libsrt asks before each accept, in its receiving thread; the answer comes from the
:class:`~.admission.AdmissionTable`. What is not in the table is looked up in the event loop.
While nobody publishes, libsrt does not run: the :class:`~.doorbell.Doorbell` waits for callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from sluice_media.protocols.srt.admission import AdmissionTable, Admit, Refuse, Verdict
from sluice_media.protocols.srt.connection import ConnectionOwner, SrtConnection
from sluice_media.protocols.srt.doorbell import Doorbell
from sluice_media.protocols.srt.errors import CallError, SrtError, StreamIdError
from sluice_media.protocols.srt.library import Library, Option, load, unpack_address
from sluice_media.protocols.srt.receiver import Receiver
from sluice_media.protocols.srt.reject import RejectCode
from sluice_media.protocols.srt.settings import SrtListenerSettings
from sluice_media.protocols.srt.streamid import PublishRequest, parse_stream_id

Lookup = Callable[[PublishRequest, str], Awaitable[Verdict]]
"""(request, remote address) -> verdict. What it raises counts as UNAVAILABLE."""

_BACKLOG = 64
_PENDING_SECONDS = 5.0
_KEY_BYTES = 32
_SOCKADDR_BYTES = 28
_HOUSEKEEPING_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class _Awake:
    """What there is while libsrt runs."""

    receiver: Receiver
    owner: ConnectionOwner
    hook: object
    """Kept as long as the listening socket."""


class SrtListener:
    """Made by :func:`running_srt_listener`."""

    def __init__(
        self, library: Library, settings: SrtListenerSettings, lookup: Lookup,
        tasks: asyncio.TaskGroup,
    ) -> None:  # fmt: skip
        self._library = library
        self._settings = settings
        self._lookup = lookup
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._table = AdmissionTable(
            wait_seconds=settings.lookup_wait_ms / 1000,
            clock=time.monotonic,
        )
        self._lookups: set[asyncio.Task[None]] = set()
        self._pending: dict[int, tuple[PublishRequest, Admit, str, float]] = {}
        self._live: dict[str, SrtConnection] = {}
        """By leg; ended ones among them, until the next round."""
        self._live_lock = threading.Lock()
        self._accepted: deque[SrtConnection] = deque()
        self._accepted_event = asyncio.Event()
        self.rejections: Counter[RejectCode] = Counter()
        """Refused handshakes by our code."""
        self.broken_handshakes = 0
        """Handshakes that did not come to an end after we had agreed: libsrt refuses wrong
        passphrases by itself, and tells nobody."""
        self.accepting = True
        """False: everybody is told to try again, elsewhere."""
        self._stirred = asyncio.Event()
        self._rung = False
        self._busy_at = 0.0
        self._awake: _Awake | None = None
        self._doorbell = Doorbell(settings.bind, settings.port, self._ring)

    @property
    def port(self) -> int:
        return self._doorbell.port

    @property
    def awake(self) -> bool:
        """Whether libsrt runs."""
        return self._awake is not None

    @property
    def connections(self) -> tuple[SrtConnection, ...]:
        return tuple(c for c in tuple(self._live.values()) if not c.ended)

    async def accept(self) -> SrtConnection:
        """The next publisher. Its handshake is done, media may be there already."""
        while not self._accepted:
            self._accepted_event.clear()
            await self._accepted_event.wait()
        return self._accepted.popleft()

    def announce(self, request: PublishRequest, verdict: Verdict) -> None:
        """Replaces what is known of a publisher, before it asks (again)."""
        self._table.answer(request, verdict)

    # ------------------------------------------------------------------ life

    def _ring(self) -> None:
        self._rung = True
        self._stirred.set()

    def _wake_up(self) -> None:
        """Starts libsrt. Raises CallError or OSError; then nothing has changed."""
        library, settings = self._library, self._settings
        handle = library.create()
        receiver: Receiver | None = None
        try:
            library.set_int(handle, Option.RECEIVE_BLOCKING, 0)
            library.set_int(handle, Option.RECEIVE_LATENCY_MS, settings.latency_ms)
            library.set_int(handle, Option.PEER_IDLE_MS, settings.silence_ms)
            library.set_int(handle, Option.ENFORCED_ENCRYPTION, 1)
            if ":" in settings.bind:
                library.set_int(handle, Option.IPV6_ONLY, 0)
            hook = library.hook(handle, self._on_handshake)
            descriptor = self._doorbell.placeholder()
            try:
                library.bind_descriptor(handle, descriptor)
            except CallError:
                os.close(descriptor)
                raise
            library.listen(handle, _BACKLOG)
            receiver = Receiver(
                library,
                handle,
                lambda: self._accept_all(handle),
                silence_seconds=settings.silence_ms / 1000,
            )
            self._doorbell.hand_over(descriptor)
        except BaseException:
            if receiver is not None:
                receiver.discard()
            library.close(handle)
            raise
        receiver.failed.add_done_callback(lambda _: self._stirred.set())
        owner = ConnectionOwner(library, receiver.resume, receiver.close, settings.queue_bytes)
        self._awake = _Awake(receiver, owner, hook)
        self._busy_at = time.monotonic()
        self._rung = False
        receiver.start()

    async def _fall_asleep(self, awake: _Awake) -> None:
        try:
            self._doorbell.take_back()
        except OSError as error:
            _log.warning("srt_not_stopped", error=error.strerror)  # the next round tries again
            return
        await awake.receiver.stop()
        self._awake = None

    async def _keep_house(self) -> None:
        pause_seconds = min(_HOUSEKEEPING_SECONDS, self._settings.idle_seconds)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._stirred.wait()
            self._stirred.clear()
            self._table.forget_expired()
            self._forget_pending()
            self._forget_ended()
            if self._awake is None:
                if self._rung:
                    self._try_to_wake_up()
            elif self._awake.receiver.failed.done():
                raise SrtError("the SRT receiver has failed")
            elif self._is_idle():
                await self._fall_asleep(self._awake)

    def _try_to_wake_up(self) -> None:
        try:
            self._wake_up()
        except (CallError, OSError) as error:
            # No file descriptor left, say. Publishers over other protocols must not notice; the
            # next round tries again.
            _log.error("srt_not_started", error=str(error))

    def _is_idle(self) -> bool:
        if self.connections or self._pending or self._lookups or self._accepted:
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at >= self._settings.idle_seconds

    async def _close(self) -> None:
        self._doorbell.close()
        if self._awake is not None:
            await self._awake.receiver.stop()

    # ------------------------------------------------------------------ libsrt's thread

    def _on_handshake(
        self, handle: int, _version: int, peer: int | None, stream_id: bytes | None
    ) -> int:
        self._busy_at = time.monotonic()
        try:
            remote = unpack_address(ctypes.string_at(peer, _SOCKADDR_BYTES))[0] if peer else ""
            code = self._decide(handle, remote, stream_id or b"")
        except Exception as bug:
            # An exception must not pass through C. Its text might hold the stream id.
            _log.error("srt_handshake_failed", error=type(bug).__name__)
            code = RejectCode.INTERNAL
        if code is None:
            return 0
        self.rejections[code] += 1
        self._library.reject(handle, code)
        return -1

    def _decide(self, handle: int, remote: str, stream_id: bytes) -> RejectCode | None:
        """Prepares the socket; or the code to refuse it with."""
        try:
            request = parse_stream_id(stream_id.decode("ascii", "replace"))
        except StreamIdError as error:
            return RejectCode(error.code)
        if not self.accepting:
            return RejectCode.UNAVAILABLE
        if len(self.connections) + len(self._pending) >= self._settings.max_connections:
            return RejectCode.OVERLOAD
        if len(self._accepted) >= self._settings.max_unaccepted:
            return RejectCode.OVERLOAD
        verdict = self._table.ask(request, lambda: self._start_lookup(request, remote))
        if isinstance(verdict, Refuse):
            return verdict.code
        if self._is_busy(verdict.leg):
            return RejectCode.CONFLICT
        try:
            if verdict.passphrase is not None:
                secret = verdict.passphrase.get_secret_value().encode()
                self._library.set_bytes(handle, Option.PASSPHRASE, secret)
            if verdict.latency_ms is not None:
                self._library.set_int(handle, Option.RECEIVE_LATENCY_MS, verdict.latency_ms)
        except CallError as error:
            _log.error("srt_handshake_failed", error=str(error))
            return RejectCode.INTERNAL
        self._forget_pending()
        self._pending[handle] = (request, verdict, remote, time.monotonic())
        return None

    def _forget_pending(self) -> None:
        # From two threads, and the dictionary changes in a third one: each step alone is atomic.
        long_ago = time.monotonic() - _PENDING_SECONDS
        for handle, entry in tuple(self._pending.items()):
            if entry[3] < long_ago and self._pending.pop(handle, None) is not None:
                self.broken_handshakes += 1

    def _forget_ended(self) -> None:
        with self._live_lock:
            for leg in [leg for leg, known in self._live.items() if known.ended]:
                del self._live[leg]

    def _is_busy(self, leg: str) -> bool:
        present = self._live.get(leg)
        if present is None or present.ended:
            return False
        silent = time.monotonic() - present.last_received_at
        return silent * 1000 < self._settings.takeover_ms

    def _start_lookup(self, request: PublishRequest, remote: str) -> None:
        def start() -> None:
            task = self._tasks.create_task(self._look_up(request, remote))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)

        self._loop.call_soon_threadsafe(start)

    async def _look_up(self, request: PublishRequest, remote: str) -> None:
        verdict: Verdict = Refuse(RejectCode.UNAVAILABLE, valid_seconds=0.1)
        try:
            verdict = await self._lookup(request, remote)
        except Exception as error:
            # Whatever went wrong, the publisher may try again, and the others must not notice.
            _log.warning("srt_lookup_failed", error=type(error).__name__)
        finally:
            self._table.answer(request, verdict)

    # ------------------------------------------------------------------ the receiver's thread

    def _accept_all(self, listener: int) -> None:
        try:
            while (handle := self._library.accept(listener)) is not None:
                self._accept(handle)
        except CallError as error:
            _log.warning("srt_accept_failed", error=str(error))

    def _accept(self, handle: int) -> None:
        awake = self._awake
        assert awake is not None
        entry = self._pending.pop(handle, None)
        if entry is None or self._is_busy(entry[1].leg):
            # The second of two handshakes at the same time.
            self._library.close(handle)
            return
        request, verdict, remote, _ = entry
        try:
            self._library.set_int(handle, Option.RECEIVE_BLOCKING, 0)
            latency_ms = self._library.get_int(handle, Option.RECEIVE_LATENCY_MS)
            connection = SrtConnection(
                awake.owner, handle, request=request, leg=verdict.leg, remote=remote,
                latency_ms=latency_ms, encrypted=verdict.passphrase is not None,
                now=time.monotonic(),
            )  # fmt: skip
            awake.receiver.add(connection)
        except CallError:
            self._library.close(handle)  # it went at once
            return
        with self._live_lock:
            silent = self._live.pop(verdict.leg, None)
            self._live[verdict.leg] = connection
        if silent is not None:
            awake.receiver.drop(silent)
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending
            self._loop.call_soon_threadsafe(self._arrived, connection)

    def _arrived(self, connection: SrtConnection) -> None:
        self._accepted.append(connection)
        self._accepted_event.set()


@asynccontextmanager
async def running_srt_listener(
    settings: SrtListenerSettings, lookup: Lookup
) -> AsyncIterator[SrtListener]:
    """A listener that takes publishers while the context lasts; then every connection is cut.

    Raises LibraryMissing, and OSError when the port cannot be had; an SrtError (in the group of
    the context's tasks) when the receiving thread fails.
    """
    library = load()
    async with asyncio.TaskGroup() as tasks:
        listener = SrtListener(library, settings, lookup, tasks)
        house = tasks.create_task(listener._keep_house())
        try:
            yield listener
        finally:
            for task in (house, *listener._lookups):
                task.cancel()
            await listener._close()
