"""The connection of one reader, as the hub writes to it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from sluice_media.net.upgrade import Upgraded, takes_more
from sluice_media.net.writing import write

_CLOSE_SECONDS = 1.0


class ReaderOutput(Protocol):
    """The connection of one reader."""

    @property
    def response(self) -> web.StreamResponse:
        """The answer that the request's handler returns at the end."""
        ...

    @property
    def takes_more(self) -> bool:
        """True while the reader has taken nearly everything, so that data can be pushed."""
        ...

    def push(self, data: bytes) -> None:
        """Write data at once. Call this only while :attr:`takes_more` is true."""

    async def write(self, data: bytes) -> None:
        """Write data, and wait while the reader takes no more. Raises OSError."""

    def cut(self) -> None:
        """Break the connection."""

    async def close(self) -> None:
        """Send the written data and end the connection."""


class UpgradedOutput:
    """A connection after an HTTP Upgrade."""

    def __init__(self, upgraded: Upgraded) -> None:
        self.response = upgraded.response
        self._upgraded = upgraded
        self._transport = upgraded.writer.transport

    @property
    def takes_more(self) -> bool:
        return takes_more(self._transport)

    def push(self, data: bytes) -> None:
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        write(self._upgraded.writer, data)
        await self._upgraded.writer.drain()

    def cut(self) -> None:
        self._transport.abort()

    async def close(self) -> None:
        await self._upgraded.close(_CLOSE_SECONDS)


class BodyOutput:
    """The body of an HTTP reply. Each write is a coroutine of aiohttp, so nothing is pushed."""

    takes_more = False

    def __init__(self, response: web.StreamResponse, transport: asyncio.Transport) -> None:
        self.response = response
        self._transport = transport

    def push(self, data: bytes) -> None:
        raise RuntimeError("only the task of the request writes to its reply")

    async def write(self, data: bytes) -> None:
        if data:
            await self.response.write(data)

    def cut(self) -> None:
        self._transport.abort()

    async def close(self) -> None:
        """Leave the end of the reply to aiohttp."""


async def body_output(request: web.Request, content_type: str) -> BodyOutput:
    """Begin the reply. Raises ConnectionResetError when the reader has disconnected."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.force_close()
    await response.prepare(request)
    if request.transport is None:
        raise ConnectionResetError("the reader has disconnected")
    return BodyOutput(response, request.transport)
