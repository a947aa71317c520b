"""The TCP relay of one FFmpeg child: the child dials it on loopback instead of its source.

The relay resolves, checks and dials the source, and verifies and removes TLS. So FFmpeg reaches no
other place and needs no certificates. A relay takes at most four connections, one after the other:
a login of RTMP needs three.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from sluice_media.net.address_guard import DialGuard, NotAllowedError
from sluice_media.net.writing import write
from sluice_media.pull.failures import (
    Outcome,
    PullFailure,
    from_dial_error,
    from_http_status,
)
from sluice_media.pull.rtsp_watch import RtspRefusedError, RtspWatch
from sluice_media.pull.uri import PullUri

MAX_CONNECTIONS = 4
_CHUNK_BYTES = 64 << 10


class Relay:
    """The relay of one child. Made by :func:`tcp_relay`."""

    def __init__(
        self,
        uri: PullUri,
        guard: DialGuard,
        tls: ssl.SSLContext,
        problem: Callable[[PullFailure], None],
    ) -> None:
        self._uri = uri
        self._guard = guard
        self._tls = tls if uri.tls else None
        self._problem = problem
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    def hang_up(self) -> None:
        """Drop the connections. FFmpeg ends at once then, which it does not do on a signal."""
        if self._serving is not None:
            self._serving.cancel()

    async def serve(self, listener: socket.socket) -> None:
        """Take connections until the last allowed one has ended."""
        loop = asyncio.get_running_loop()
        for _ in range(MAX_CONNECTIONS):
            connection, _ = await loop.sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                await self._join(reader, writer)
            finally:
                writer.close()

    async def _join(self, child: asyncio.StreamReader, to_child: asyncio.StreamWriter) -> None:
        place = self._uri.place
        try:
            source, to_source = await self._guard.dial(self._uri.host, self._uri.port, self._tls)
        except NotAllowedError as refused:
            self._problem(PullFailure(Outcome.NOT_ALLOWED, str(refused)))
            return
        except OSError as error:  # TimeoutError is an OSError
            self._problem(from_dial_error(error, place))
            return
        watch = RtspWatch() if self._uri.scheme.startswith("rtsp") else None
        try:
            await _both(
                _pump(child, to_source, watch.sent if watch else None),
                self._to_child(source, to_child, watch),
            )
        except RtspRefusedError as refused_answer:
            self._problem(self._refused(refused_answer))
        except ssl.SSLError as error:
            self._problem(from_dial_error(error, place))
        except OSError:
            self._problem(PullFailure(Outcome.RESET, f"{place} reset the connection."))
        finally:
            to_source.close()
            if watch is not None and (failure := from_http_status(watch.status, place)) is not None:
                self._problem(failure)

    async def _to_child(
        self,
        source: asyncio.StreamReader,
        to_child: asyncio.StreamWriter,
        watch: RtspWatch | None,
    ) -> None:
        while data := await source.read(_CHUNK_BYTES):
            try:
                write(to_child, watch.received(data) if watch else data)
                await to_child.drain()
            except ConnectionError:
                return  # the child was stopped

    def _refused(self, error: RtspRefusedError) -> PullFailure:
        if error.status:
            return PullFailure(
                Outcome.REDIRECTED,
                f"{self._uri.place} redirects to another place ({error.status}). Sluice does not "
                "follow RTSP redirects: use the URI that it leads to.",
            )
        return PullFailure(Outcome.NO_MEDIA, f"{self._uri.place} breaks the RTSP protocol.")


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seen: Callable[[bytes], None] | None,
) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        if seen is not None:
            seen(data)
        write(writer, data)
        await writer.drain()


async def _both(*directions: Coroutine[None, None, None]) -> None:
    """Run both until one ends, then cancel the other. Raise the first one's exception."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@asynccontextmanager
async def tcp_relay(
    uri: PullUri,
    guard: DialGuard,
    tls: ssl.SSLContext,
    problem: Callable[[PullFailure], None],
) -> AsyncIterator[Relay]:
    """Yield the relay of one child, which runs until the context ends.

    ``problem`` is called with each failure of the source.
    """
    relay = Relay(uri, guard, tls, problem)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        listener.setblocking(False)
        relay.port = listener.getsockname()[1]
        serving = relay._serving = asyncio.create_task(relay.serve(listener))
        try:
            yield relay
        finally:
            serving.cancel()
            await asyncio.wait((serving,))
