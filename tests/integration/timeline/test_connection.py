"""The connection of a reader: the same records, whatever the hub sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest

from sluice_media.contract import TimelineEnd, TimelineHeartbeat
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.net.upgrade import NotHttp, UpgradeRefused
from sluice_media.timeline.connection import ClosedError, TimelineConnection, connect
from sluice_media.timeline.framing import TIMELINE_PROTOCOL, FramingError, Record, encode

HEAD = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    f"Upgrade: {TIMELINE_PROTOCOL}\r\n\r\n"
).encode()
RECORDS: list[Record] = [
    AccessUnit(0, 90_000, 93_600, UnitFlags.RANDOM_ACCESS, 7, b"picture" * 100),
    AccessUnit(1, 90_001, 90_001, UnitFlags.NONE, 8, b"sound"),
    TimelineHeartbeat(session=True, delivering=True),
    TimelineEnd(reason="WindowPassed", finished_at=datetime(2026, 3, 1, tzinfo=UTC)),
]
WIRE = b"".join(map(encode, RECORDS))


Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(script: Script) -> AsyncIterator[str]:
    """A server that reads one request and does what ``script`` does; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            await script(writer)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def ask(url: str) -> TimelineConnection:
    async with asyncio.timeout(5):
        return await connect(url, {"reader": "r 1"}, {"Authorization": "Bearer x"})


async def everything(url: str) -> tuple[list[Record], Exception]:
    """All records, and how it ended."""
    found: list[Record] = []
    with closing(await ask(url)) as connection:
        async with asyncio.timeout(5):
            while True:
                try:
                    connection.take(found)
                except (OSError, FramingError) as error:
                    return found, error
                await asyncio.sleep(0.01)


def saying(*pieces: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    return script


async def received(url: str) -> tuple[list[Record], Exception]:
    """All records as a reader gets them that waits for each arrival, and how it ended."""
    found: list[Record] = []
    with closing(await ask(url)) as connection:
        async with asyncio.timeout(5):
            while True:
                try:
                    await connection.receive(found)
                except (OSError, FramingError) as error:
                    return found, error


@pytest.mark.parametrize("read", [everything, received], ids=["at ticks", "at arrivals"])
@pytest.mark.parametrize("size", [1, 31, 700])
async def test_pieces_of_any_size_give_the_records(
    read: Callable[[str], Awaitable[tuple[list[Record], Exception]]], size: int
) -> None:
    async with peer(saying(HEAD, WIRE[:size], WIRE[size:])) as url:
        found, error = await read(url)
    assert found == RECORDS
    assert isinstance(error, ClosedError)


async def test_records_that_come_with_the_answer_are_taken() -> None:
    async with peer(saying(HEAD + WIRE)) as url:
        found, error = await everything(url)
    assert found == RECORDS
    assert isinstance(error, ClosedError)


async def test_what_came_whole_before_garbage_is_there() -> None:
    async with peer(saying(HEAD, WIRE + b"\xff\0\0\0\1x", b"\xff" * 9)) as url:
        found, error = await everything(url)
    assert found == RECORDS
    assert isinstance(error, FramingError)


async def test_a_refusal_has_its_status() -> None:
    async with peer(saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as url:
        with pytest.raises(UpgradeRefused) as refused:
            await ask(url)
    assert refused.value.status == 404


@pytest.mark.parametrize("reply", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"y" * 40_000])
async def test_a_peer_that_speaks_something_else_is_no_hub(reply: bytes) -> None:
    async with peer(saying(reply)) as url:
        with pytest.raises(NotHttp):
            await ask(url)


async def test_a_peer_that_goes_before_it_answers_is_an_os_error() -> None:
    async with peer(saying(b"HTTP/1.1 200")) as url:
        with pytest.raises(OSError, match="closed"):
            await ask(url)
    with pytest.raises(OSError):
        await ask(url)


async def test_a_token_cannot_add_a_line_to_the_request() -> None:
    with pytest.raises(NotHttp):
        await connect("http://localhost:1", {}, {"Authorization": "Bearer x\r\nHost: y"})


async def test_nothing_new_is_no_error() -> None:
    async with peer(lambda writer: asyncio.sleep(1)) as url, asyncio.timeout(5):
        asking = asyncio.create_task(ask(url))
        await asyncio.sleep(0.05)
        assert not asking.done(), "it has not accepted yet"
        asking.cancel()
        await asyncio.wait((asking,))
