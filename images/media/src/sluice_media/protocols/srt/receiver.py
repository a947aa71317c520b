"""The one thread that receives from all connections of a listener.

The thread sleeps in ``srt_epoll_wait`` until data comes, reads all of it, hands it to the event
loop in one call and rests for 30 ms. That is less than the duration of a picture. At 6 Mb/s a
message comes every 1.8 ms, and each wake-up costs the same however much it finds. SRT delays media
by 120 ms or more anyway. The thread does not rest while a connection has more than one batch.
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
    """The receiving thread and the connections that it reads."""

    def __init__(
        self,
        library: Library,
        listener: int,
        accept: Callable[[], None],
        *,
        silence_seconds: float,
    ) -> None:
        """``accept`` is called in the thread when the listening socket has a connection.

        Raise CallError, and OSError when the process has no file descriptor left.
        """
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
        """Done when the thread has ended by itself. Then the listener no longer works."""
        self._buffer = ctypes.create_string_buffer(_BATCH_MESSAGES * MAX_PAYLOAD_BYTES)
        self._address = ctypes.addressof(self._buffer)
        library.epoll_set(self._epoll, listener, Epoll.IN, new=True)
        library.epoll_add_descriptor(self._epoll, self._wake_descriptor)
        # Not a daemon: a thread inside libsrt must not outlive the interpreter.
        self._thread = threading.Thread(target=self._run, name="srt-receiver")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Close all connections and the listening socket, and wait for the thread to end."""
        self._stopping = True
        self._wake()
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError("the SRT thread does not end")
        os.close(self._wake_descriptor)

    # ------------------------------------------------------------------ from the loop

    def resume(self, connection: SrtConnection) -> None:
        """Read a paused connection again."""
        self._command(lambda: self._resume(connection))

    def close(self, connection: SrtConnection) -> None:
        """Close a connection soon, in the thread."""
        self._command(lambda: self.drop(connection))

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # the thread is awake or has ended
            os.eventfd_write(self._wake_descriptor, 1)

    # ------------------------------------------------------------------ in the thread

    def add(self, connection: SrtConnection) -> None:
        """Read this connection from now on."""
        self._connections[connection.handle] = connection
        events = Epoll.IN | Epoll.ERROR
        self._library.epoll_set(self._epoll, connection.handle, events, new=True)

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
                    self._read_draining()
                self._cut_silent()
                self._deliver()
                if ready and not has_more:
                    time.sleep(_REST_SECONDS)
        except Exception as bug:
            # The exception's text is left out: it may hold a stream id.
            _log.error("srt_receiver_failed", error=type(bug).__name__)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the owner is gone
                self._loop.call_soon_threadsafe(self._fail)
        finally:
            for connection in tuple(self._connections.values()):
                self.drop(connection)
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
                self.drop(connection)

    def _fail(self) -> None:
        if not self.failed.done():
            self.failed.set_result(None)

    def _read(self, connection: SrtConnection) -> bool:
        """Read at most one batch. Return whether there may be more."""
        receive, handle, address = self._library.receive, connection.handle, self._address
        size = 0
        for _ in range(_BATCH_MESSAGES):
            count = receive(handle, address + size, MAX_PAYLOAD_BYTES)
            if count <= 0:
                if self._library.last_error() != E_ASYNC_RECEIVE:
                    self._start_draining(connection)
                break
            size += count
        self._put(connection, size)
        return bool(count > 0)

    def _start_draining(self, connection: SrtConnection) -> None:
        """Read a connection whose peer is gone for the length of its latency, then drop it.

        libsrt still holds the media of the last latency interval. Reads return "lost" until the
        next message is due, and then that message. An encoder that ends its broadcast disconnects
        right after its last picture.
        """
        if connection not in self._draining:
            self._library.epoll_remove(self._epoll, connection.handle)
            hold_back = connection.latency_ms / 1000 + _REST_SECONDS
            self._draining[connection] = time.monotonic() + hold_back

    def _read_draining(self) -> None:
        now = time.monotonic()
        for connection, until in tuple(self._draining.items()):
            self._read(connection)
            if now > until:
                self.drop(connection)

    def _put(self, connection: SrtConnection, size: int) -> None:
        if not size:
            return
        self._woken.add(connection)
        is_full = not connection.put(ctypes.string_at(self._address, size), time.monotonic())
        if is_full and connection not in self._draining:
            self._library.epoll_set(self._epoll, connection.handle, Epoll.ERROR)

    def _resume(self, connection: SrtConnection) -> None:
        known = self._connections.get(connection.handle) is connection
        if known and connection not in self._draining:
            # We did not read: the pause does not count as silence of the publisher.
            connection.last_received_at = time.monotonic()
            connection.paused = False
            with contextlib.suppress(CallError):  # It broke meanwhile, and an error event follows.
                self._library.epoll_set(self._epoll, connection.handle, Epoll.IN | Epoll.ERROR)

    def drop(self, connection: SrtConnection) -> None:
        """Close a connection now and wake its reader. No effect when it was dropped before."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: no reader waits any more
            self._loop.call_soon_threadsafe(_wake_all, woken)


def _wake_all(connections: set[SrtConnection]) -> None:
    for connection in connections:
        connection.wake()
