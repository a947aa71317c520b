"""An SRT listener for publishers: one UDP port for all streams.

libsrt calls :meth:`SrtListener._on_handshake` in its receiving thread before each accept. The
answer comes from the :class:`~.admission.AdmissionTable`. A publisher that the table does not hold
is looked up in the event loop. Accepted connections are read by the
:class:`~.receiver.Receiver`'s thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from sluice_media.protocols.srt.admission import AdmissionTable, Admit, Refuse, Verdict
from sluice_media.protocols.srt.connection import ConnectionOwner, SrtConnection
from sluice_media.protocols.srt.errors import CallError, SrtError, StreamIdError
from sluice_media.protocols.srt.library import (
    Library,
    ListenHook,
    Option,
    load,
    unpack_address,
)
from sluice_media.protocols.srt.receiver import Receiver
from sluice_media.protocols.srt.reject import RejectCode
from sluice_media.protocols.srt.settings import SrtListenerSettings
from sluice_media.protocols.srt.streamid import PublishRequest, parse_stream_id

Lookup = Callable[[PublishRequest, str], Awaitable[Verdict]]
"""Coroutine function (request, remote address) -> verdict. An exception counts as UNAVAILABLE."""

_BACKLOG = 64
_PENDING_SECONDS = 5.0
_SOCKADDR_BYTES = 28
_HOUSEKEEPING_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class _Pending:
    """A handshake that was admitted and is not finished."""

    request: PublishRequest
    verdict: Admit
    remote: str
    """Address of the publisher."""
    admitted_at: float
    """Monotonic seconds."""


@dataclass(slots=True, frozen=True)
class _ListeningSocket:
    """libsrt's listening socket."""

    handle: int
    port: int
    hook: object
    """The C callback for handshakes; it must live as long as the socket."""


class SrtListener:
    """The accepted publishers of one port. Made by :func:`running_srt_listener`."""

    def __init__(
        self,
        library: Library,
        settings: SrtListenerSettings,
        lookup: Lookup,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Start to listen. Raise OSError when the port is taken, CallError when libsrt fails."""
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
        self._pending: dict[int, _Pending] = {}
        self._live: dict[str, SrtConnection] = {}
        """By leg. Ended connections are removed by the next housekeeping."""
        self._live_lock = threading.Lock()
        self._accepted: deque[SrtConnection] = deque()
        self._accepted_event = asyncio.Event()
        self.rejections: Counter[RejectCode] = Counter()
        """Handshakes that we refused, by code."""
        self.broken_handshakes = 0
        """Handshakes that we admitted and that never finished. libsrt refuses wrong passphrases
        itself and does not report them."""
        self.accepting = True
        """When False, every publisher is refused with UNAVAILABLE and tries another pod."""
        self._socket = _listen(library, settings, self._on_handshake)
        try:
            self._receiver = Receiver(
                library,
                self._socket.handle,
                self._accept_all,
                silence_seconds=settings.silence_ms / 1000,
            )
        except BaseException:
            library.close(self._socket.handle)
            raise
        self._owner = ConnectionOwner(
            library, self._receiver.resume, self._receiver.close, settings.queue_bytes
        )
        self._receiver.start()

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._socket.port

    @property
    def connections(self) -> tuple[SrtConnection, ...]:
        """The connections that have not ended."""
        return tuple(c for c in tuple(self._live.values()) if not c.ended)

    async def accept(self) -> SrtConnection:
        """Return the next publisher. Its handshake is done; it may have sent media already."""
        while not self._accepted:
            self._accepted_event.clear()
            await self._accepted_event.wait()
        return self._accepted.popleft()

    def announce(self, request: PublishRequest, verdict: Verdict) -> None:
        """Replace the verdict about a publisher before its next handshake."""
        self._table.answer(request, verdict)

    async def _remove_expired(self) -> None:
        """Remove expired state regularly. Raise SrtError when the receiving thread has failed."""
        while not self._receiver.failed.done():
            await asyncio.wait((self._receiver.failed,), timeout=_HOUSEKEEPING_SECONDS)
            self._table.forget_expired()
            self._forget_pending()
            self._forget_ended()
        raise SrtError("the SRT receiver has failed")

    # ------------------------------------------------------------------ libsrt's thread

    def _on_handshake(
        self, handle: int, _version: int, peer: int | None, stream_id: bytes | None
    ) -> int:
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
        """Prepare the socket and return None, or return the code to refuse it with."""
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
        self._pending[handle] = _Pending(request, verdict, remote, time.monotonic())
        return None

    def _forget_pending(self) -> None:
        # Called from two threads while a third one changes the dictionary: each single step here
        # is atomic.
        long_ago = time.monotonic() - _PENDING_SECONDS
        for handle, pending in tuple(self._pending.items()):
            if pending.admitted_at < long_ago and self._pending.pop(handle, None) is not None:
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
            # This publisher may try again; the failure must not affect the others.
            _log.warning("srt_lookup_failed", error=type(error).__name__)
        finally:
            self._table.answer(request, verdict)

    # ------------------------------------------------------------------ the receiver's thread

    def _accept_all(self) -> None:
        try:
            while (handle := self._library.accept(self._socket.handle)) is not None:
                self._accept(handle)
        except CallError as error:
            _log.warning("srt_accept_failed", error=str(error))

    def _accept(self, handle: int) -> None:
        pending = self._pending.pop(handle, None)
        if pending is None or self._is_busy(pending.verdict.leg):
            # Of two handshakes that ran at the same time, this is the second.
            self._library.close(handle)
            return
        leg = pending.verdict.leg
        try:
            self._library.set_int(handle, Option.RECEIVE_BLOCKING, 0)
            latency_ms = self._library.get_int(handle, Option.RECEIVE_LATENCY_MS)
            connection = SrtConnection(
                self._owner,
                handle,
                request=pending.request,
                leg=leg,
                remote=pending.remote,
                latency_ms=latency_ms,
                encrypted=pending.verdict.passphrase is not None,
                now=time.monotonic(),
            )
            self._receiver.add(connection)
        except CallError:
            self._library.close(handle)  # the publisher is gone already
            return
        with self._live_lock:
            silent = self._live.pop(leg, None)
            self._live[leg] = connection
        if silent is not None:
            self._receiver.drop(silent)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the listener is ending
            self._loop.call_soon_threadsafe(self._arrived, connection)

    def _arrived(self, connection: SrtConnection) -> None:
        self._accepted.append(connection)
        self._accepted_event.set()


def _listen(
    library: Library, settings: SrtListenerSettings, on_handshake: ListenHook
) -> _ListeningSocket:
    """Return a listening socket. Raise OSError when the port is taken, CallError otherwise."""
    handle = library.create()
    try:
        library.set_int(handle, Option.RECEIVE_BLOCKING, 0)
        library.set_int(handle, Option.RECEIVE_LATENCY_MS, settings.latency_ms)
        library.set_int(handle, Option.PEER_IDLE_MS, settings.silence_ms)
        library.set_int(handle, Option.ENFORCED_ENCRYPTION, 1)
        if ":" in settings.bind:
            library.set_int(handle, Option.IPV6_ONLY, 0)
        hook = library.hook(handle, on_handshake)
        # A socket of our own: an occupied port is an OSError with the system's errno.
        with _udp_socket(settings.bind, settings.port) as bound:
            port = int(bound.getsockname()[1])
            library.bind_descriptor(handle, bound.fileno())
            bound.detach()  # libsrt closes it
        library.listen(handle, _BACKLOG)
    except BaseException:
        library.close(handle)
        raise
    return _ListeningSocket(handle, port, hook)


def _udp_socket(bind: str, port: int) -> socket.socket:
    """Return a bound UDP socket; one that is bound to ``::`` receives IPv4 as well."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((bind, port))
    except BaseException:
        made.close()
        raise
    return made


@asynccontextmanager
async def running_srt_listener(
    settings: SrtListenerSettings, lookup: Lookup
) -> AsyncIterator[SrtListener]:
    """Yield a listener that takes publishers; cut every connection when the context ends.

    Raise LibraryMissing. Raise, in an ExceptionGroup, OSError when the port is taken, CallError
    when libsrt cannot start, and SrtError when the receiving thread fails later.
    """
    library = load()
    async with asyncio.TaskGroup() as tasks:
        listener = SrtListener(library, settings, lookup, tasks)
        cleanup = tasks.create_task(listener._remove_expired())
        try:
            yield listener
        finally:
            for task in (cleanup, *listener._lookups):
                task.cancel()
            await listener._receiver.stop()
