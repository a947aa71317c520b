"""The one thread that receives from all connections of a listener.

It sleeps in ``srt_epoll_wait`` until something comes, takes all there is, hands it to the event
loop in one call and rests for 30 ms, which is less than a picture lasts: at 6 Mb/s a message comes
every 1.8 ms, and each wake-up costs the same whatever it finds. SRT holds media back for 120 ms and
more anyway. While a connection has more than is taken at once, it does not rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from sluice_media.protocols.srt.connection import SrtConnection
from sluice_media.protocols.srt.errors import CallError
from sluice_media.protocols.srt.library import E_ASYNC_RECEIVE, MAX_PAYLOAD_BYTES, Epoll, Library

_REST_SECONDS = 0.030
_BATCH_MESSAGES = 256
_IDLE_WAIT_MS = 1_000
_DRAIN_WAIT_MS = 10
_CHECK_WAIT_MS = 100
_JOIN_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class Receiver:
    """``accept`` is called in the thread when the listening socket has a connection. Raises
    CallError, and OSError when the process has no file descriptor left."""

    def __init__(
        self,
        library: Library,
        listener: int,
        accept: Callable[[], None],
        *,
        silence_seconds: float,
    ) -> None:
        self._library = library
        self._listener = listener
        self._accept = accept
        self._silence_seconds = silence_seconds
        self._checked_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._epoll = library.epoll_create()
        try:
            self._wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            library.epoll_release(self._epoll)
            raise
        self._connections: dict[int, SrtConnection] = {}
        self._draining: dict[SrtConnection, float] = {}
        self._commands: deque[Callable[[], None]] = deque()
        self._woken: set[SrtConnection] = set()
        self._stopping = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Done when the thread has ended by itself: without it there is no SRT."""
        self._buffer = ctypes.create_string_buffer(_BATCH_MESSAGES * MAX_PAYLOAD_BYTES)
        self._address = ctypes.addressof(self._buffer)
        library.epoll_set(self._epoll, listener, Epoll.IN, new=True)
        library.epoll_add_descriptor(self._epoll, self._wake_descriptor)
        # Not a daemon: a thread inside libsrt must not outlive the interpreter.
        self._thread = threading.Thread(target=self._run, name="srt-receiver")

    def start(self) -> None:
        self._thread.start()

    def discard(self) -> None:
        """Release a receiver that was not started. The listening socket stays as it is."""
        self._library.epoll_release(self._epoll)
        os.close(self._wake_descriptor)

    async def stop(self) -> None:
        """Closes all connections and the listening socket, and waits for the thread."""
        self._stopping = True
        self._wake()
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError("the SRT thread does not end")
        os.close(self._wake_descriptor)

    # ------------------------------------------------------------------ from the loop

    def resume(self, connection: SrtConnection) -> None:
        """Reads the connection again."""
        self._command(lambda: self._resume(connection))

    def close(self, connection: SrtConnection) -> None:
        self._command(lambda: self._drop(connection))

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # it is awake, or gone
            os.eventfd_write(self._wake_descriptor, 1)

    # ------------------------------------------------------------------ in the thread

    def add(self, connection: SrtConnection) -> None:
        self._connections[connection.handle] = connection
        events = Epoll.IN | Epoll.ERROR
        self._library.epoll_set(self._epoll, connection.handle, events, new=True)

    def drop(self, connection: SrtConnection) -> None:
        self._drop(connection)

    def _run(self) -> None:
        try:
            while not self._stopping:
                ready = self._library.epoll_wait(self._epoll, self._wait_ms())
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake_descriptor)
                while self._commands:
                    self._commands.popleft()()
                has_more = False
                for handle in ready:
                    if handle == self._listener:
                        self._accept()
                    elif (connection := self._connections.get(handle)) is not None:
                        has_more |= self._read(connection)
                if self._draining:
                    self._drain()
                self._cut_silent()
                self._deliver()
                if ready and not has_more:
                    time.sleep(_REST_SECONDS)
        except Exception as bug:
            # Said to the owner; the text is left out, because nobody knows what is in it.
            _log.error("srt_receiver_failed", error=type(bug).__name__)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the owner has gone
                self._loop.call_soon_threadsafe(self._fail)
        finally:
            for connection in tuple(self._connections.values()):
                self._drop(connection)
            self._library.close(self._listener)
            self._library.epoll_release(self._epoll)
            self._deliver()

    def _wait_ms(self) -> int:
        if self._draining:
            return _DRAIN_WAIT_MS
        return _CHECK_WAIT_MS if self._connections else _IDLE_WAIT_MS

    def _cut_silent(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < _CHECK_WAIT_MS / 1000:
            return
        self._checked_at = now
        for connection in tuple(self._connections.values()):
            silent = now - connection.last_received_at
            if silent > self._silence_seconds and not connection.paused:
                self._drop(connection)

    def _fail(self) -> None:
        if not self.failed.done():
            self.failed.set_result(None)

    def _read(self, connection: SrtConnection) -> bool:
        """Take what has come, a batch at most. Return whether there may be more."""
        receive, handle, address = self._library.receive, connection.handle, self._address
        size = 0
        for _ in range(_BATCH_MESSAGES):
            count = receive(handle, address + size, MAX_PAYLOAD_BYTES)
            if count <= 0:
                if self._library.last_error() != E_ASYNC_RECEIVE:
                    self._broken(connection)
                break
            size += count
        self._put(connection, size)
        return bool(count > 0)

    def _broken(self, connection: SrtConnection) -> None:
        """The peer has gone. libsrt still holds back what came within the latency, says "lost"
        until the next of it is due, and gives it out then; an encoder that ends its broadcast
        goes right after its last picture."""
        if connection not in self._draining:
            self._library.epoll_remove(self._epoll, connection.handle)
            hold_back = connection.latency_ms / 1000 + _REST_SECONDS
            self._draining[connection] = time.monotonic() + hold_back

    def _drain(self) -> None:
        now = time.monotonic()
        for connection, until in tuple(self._draining.items()):
            self._read(connection)
            if now > until:
                self._drop(connection)

    def _put(self, connection: SrtConnection, size: int) -> None:
        if not size:
            return
        self._woken.add(connection)
        enough = not connection.put(ctypes.string_at(self._address, size), time.monotonic())
        if enough and connection not in self._draining:
            self._library.epoll_set(self._epoll, connection.handle, Epoll.ERROR)

    def _resume(self, connection: SrtConnection) -> None:
        known = self._connections.get(connection.handle) is connection
        if known and connection not in self._draining:
            connection.last_received_at = time.monotonic()  # the silence was ours
            connection.paused = False
            with contextlib.suppress(CallError):  # broken meanwhile: the error event is there
                self._library.epoll_set(self._epoll, connection.handle, Epoll.IN | Epoll.ERROR)

    def _drop(self, connection: SrtConnection) -> None:
        if self._connections.pop(connection.handle, None) is None:
            return
        self._draining.pop(connection, None)
        self._library.epoll_remove(self._epoll, connection.handle)
        self._library.close(connection.handle)
        connection.end()
        self._woken.add(connection)

    def _deliver(self) -> None:
        if not self._woken:
            return
        woken, self._woken = self._woken, set()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_wake_all, woken)


def _wake_all(connections: set[SrtConnection]) -> None:
    for connection in connections:
        connection.wake()
