"""How a pod's HTTP ports are served: quiet about garbage, patient with nobody who asks nothing.

aiohttp logs a malformed request with a traceback that quotes it, the bearer token of a half-right
one included, and lets a connection that never completes a request stay for ever. Both are put
right here, once for all ports.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["serving"]

FIRST_REQUEST_SECONDS = 10.0
"""A connection without a complete request head by then is cut."""
KEEPALIVE_SECONDS = 75.0
_BODY_BUFFER_BYTES = 64 << 10

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _WithoutGarbage(logging.Filter):
    """Leaves out what a peer did wrong: it was answered with 400, and its words are its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_logger = logging.getLogger(__name__)
_logger.addFilter(_WithoutGarbage())


@asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    *,
    shutdown_seconds: float = 1.0,
    body_buffer_bytes: int = _BODY_BUFFER_BYTES,
) -> AsyncIterator[int]:
    """Serves ``app`` while the context lasts; yields the port (useful when ``port`` is 0)."""
    asked: WeakSet[asyncio.BaseProtocol] = WeakSet()

    @web.middleware
    async def note(request: web.Request, handler: _Handler) -> web.StreamResponse:
        asked.add(request.protocol)
        return await handler(request)

    app.middlewares.insert(0, note)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_logger,
        keepalive_timeout=KEEPALIVE_SECONDS,
        read_bufsize=body_buffer_bytes,
    )
    await runner.setup()
    accept = runner.server
    assert accept is not None
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.Protocol:
        protocol = accept()
        loop.call_later(FIRST_REQUEST_SECONDS, cut_if_silent, protocol)
        return protocol

    def cut_if_silent(protocol: web.RequestHandler[web.Request]) -> None:
        if protocol not in asked and protocol.transport is not None:
            protocol.transport.abort()

    listener = await loop.create_server(connected, host, port)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await accept.shutdown(shutdown_seconds)
        await runner.cleanup()
