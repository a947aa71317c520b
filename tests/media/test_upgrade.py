"""HTTP Upgrade over real sockets: both ends of ours, and peers that do something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest
from aiohttp import web

from sluice_media.net.http_server import serving
from sluice_media.net.upgrade import (
    NotHttp,
    UpgradeRefused,
    accept_upgrade,
    open_upgraded,
    wants_upgrade,
)

PROTOCOL = "sluice-test"
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Echo:
    """A server that upgrades and sends everything back."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if not wants_upgrade(request, PROTOCOL):
            raise web.HTTPUpgradeRequired(text="upgrade")
        upgraded = await accept_upgrade(request, PROTOCOL, buffer_bytes=64 << 10)
        upgraded.writer.write(b"first")
        try:
            while data := await upgraded.reader.read(64 << 10):
                upgraded.writer.write(data)
                await upgraded.writer.drain()
        except OSError:
            self.lost.set()
        await upgraded.close(1)
        self.lost.set()
        return upgraded.response


@asynccontextmanager
async def running(echo: Echo) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/echo", echo.handle)
    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/echo"


async def received(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readexactly(size)


async def test_both_sides_own_the_connection_after_the_answer() -> None:
    echo = Echo()
    async with running(echo) as url:
        sock, begun = await open_upgraded(url, PROTOCOL, {"X-Key": "k"}, method="POST")
        reader, writer = await asyncio.open_connection(sock=sock)
        assert begun + await received(reader, 5 - len(begun)) == b"first"
        media = bytes(range(256)) * 20_000
        writer.write(media)
        assert await received(reader, len(media)) == media
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await asyncio.wait_for(echo.lost.wait(), 10)


async def test_a_client_that_is_killed_ends_the_servers_side() -> None:
    echo = Echo()
    async with running(echo) as url:
        sock, _ = await open_upgraded(url, PROTOCOL, {}, method="POST")
        _, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"x" * 100_000)
        writer.transport.abort()
        await asyncio.wait_for(echo.lost.wait(), 10)


async def test_a_refusal_has_its_status_and_its_body() -> None:
    async with running(Echo()) as url:
        with pytest.raises(UpgradeRefused) as refused:
            await open_upgraded(url, "something-else", {}, method="POST")
    assert (refused.value.status, refused.value.body) == (426, b"upgrade")


@asynccontextmanager
async def peer(answer: bytes) -> AsyncIterator[str]:
    """A server that reads one request and sends ``answer``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_bytes_behind_the_answer_are_returned() -> None:
    head = f"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\r\n".encode()
    async with peer(head + b"media") as url:
        sock, begun = await open_upgraded(url, PROTOCOL, {})
        sock.close()
    assert begun in (b"", b"m", b"me", b"med", b"medi", b"media")


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"y" * 40_000])
async def test_a_peer_that_speaks_something_else_is_not_http(answer: bytes) -> None:
    async with peer(answer) as url:
        with pytest.raises(NotHttp):
            await open_upgraded(url, PROTOCOL, {})


async def test_a_peer_that_goes_before_it_answers_is_an_os_error() -> None:
    async with peer(b"HTTP/1.1 101") as url:
        with pytest.raises(OSError):
            await open_upgraded(url, PROTOCOL, {})
    with pytest.raises(OSError):
        await open_upgraded(url, PROTOCOL, {})


async def test_a_header_cannot_add_a_line_to_the_request() -> None:
    with pytest.raises(NotHttp):
        await open_upgraded("http://127.0.0.1:1/", PROTOCOL, {"X-Key": "k\r\nHost: y"})


async def test_a_peer_that_answers_nothing_can_be_given_up() -> None:
    async with peer(b"") as url:
        with pytest.raises((TimeoutError, OSError)):
            async with asyncio.timeout(0.5):
                await open_upgraded(url, PROTOCOL, {})
