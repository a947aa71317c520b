"""The HTTP server of all ports, and peers that behave badly."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from sluice_media.net.http_server import serving


async def test_a_client_that_leaves_before_its_answer_is_not_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A restarted operator leaves a waiting request at every pod."""
    left = asyncio.Event()
    answered = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await left.wait()
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        finally:
            answered.set()

    app = web.Application()
    app.router.add_get("/", wait)
    async with serving(app, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        left.set()
        async with asyncio.timeout(10):
            await answered.wait()
    assert caplog.records == []
