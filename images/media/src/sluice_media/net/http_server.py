"""HTTP server of a pod's ports, hardened against malformed requests and silent connections.

aiohttp logs a malformed request with a traceback that quotes the request, possibly with a bearer
token. It logs a traceback when a client disconnects before it has its answer, as the operator does
when it restarts. It also never closes a connection whose request stays incomplete. This module
corrects all three for all ports.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

from sluice_media.net.listening import listen_on

FIRST_REQUEST_SECONDS = 10.0
"""Time after which a connection without a complete request head is cut."""
KEEPALIVE_SECONDS = 75.0
_BODY_BUFFER_BYTES = 64 << 10

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _WithoutFaultsOfPeers(logging.Filter):
    """Filter that drops log records about the peer's faults.

    A malformed request has received status 400; its bytes may hold a token. A peer that has
    disconnected needs no answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ClientConnectionResetError)


_logger = logging.getLogger(__name__)
_logger.addFilter(_WithoutFaultsOfPeers())


@asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    *,
    shutdown_seconds: float = 1.0,
) -> AsyncIterator[int]:
    """Serve ``app`` while the context lasts; yield the port (useful when ``port`` is 0)."""
    waiting: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
    """Connections without a request so far, with the timers that cut them."""

    @web.middleware
    async def note(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if (timer := waiting.pop(request.protocol, None)) is not None:
            timer.cancel()
        return await handler(request)

    app.middlewares.insert(0, note)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_logger,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=shutdown_seconds,
        read_bufsize=_BODY_BUFFER_BYTES,
    )
    await runner.setup()
    accept = runner.server
    assert accept is not None
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.Protocol:
        protocol = accept()
        waiting[protocol] = loop.call_later(FIRST_REQUEST_SECONDS, cut, protocol)
        return protocol

    def cut(protocol: web.RequestHandler) -> None:
        del waiting[protocol]
        if protocol.transport is not None:
            protocol.transport.abort()

    try:
        listener = await loop.create_server(connected, sock=listen_on(host, port))
        try:
            yield int(listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
    finally:
        for timer in waiting.values():
            timer.cancel()
        await runner.cleanup()
