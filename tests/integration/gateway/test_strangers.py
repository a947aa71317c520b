"""What a connection may cost before a hub has answered for it, and whose places are kept."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from sluice_media.contract import Refusal
from sluice_media.protocols.rtmp import MessageType
from sluice_media.protocols.rtmp.chunk import ChunkWriter
from tests.support.gateway_rig import Rig, until

MAX_HELD_BYTES = 1 << 20
CONNECTIONS = 3
SEND_BYTES = 4 << 20
"""Tried to be sent by each connection; the system's socket buffers take some of it."""


def one_partial_message() -> bytes:
    writer = ChunkWriter()
    size = 8 << 20
    parts = writer.set_chunk_size(16_000_000)
    return parts + writer.encode(6, MessageType.VIDEO, 1, 0, bytes(size - 1))[:SEND_BYTES]


def two_partial_messages_in_small_chunks() -> bytes:
    chunk = bytes(128)
    head = bytes(3) + (8 << 20).to_bytes(3, "big") + bytes((MessageType.VIDEO,)) + b"\1\0\0\0"
    firsts = b"".join(bytes((csid,)) + head + chunk for csid in (6, 7))
    rest = b"".join(bytes((0xC0 | csid,)) + chunk for csid in (6, 7))
    return ChunkWriter().set_chunk_size(128) + firsts + rest * (SEND_BYTES // len(rest))


def tiny_messages() -> bytes:
    writer = ChunkWriter()
    first = writer.encode(6, MessageType.AUDIO, 1, 0, b"\xaf")
    return first + b"\xc6\xaf" * (SEND_BYTES // 2)


@pytest.mark.parametrize(
    "media",
    [
        one_partial_message,
        two_partial_messages_in_small_chunks,
        tiny_messages,
    ],
)
async def test_before_the_hubs_answer_a_connection_holds_one_mebibyte_at_most(
    media: Callable[[], bytes],
) -> None:
    flood = media()
    async with Rig(hold_new_seconds=30).running() as rig, AsyncExitStack() as stack:
        rig.hub.refuse = (503, Refusal(reason="Draining", message="wait"))
        strangers = [await stack.enter_async_context(rig.publisher()) for _ in range(CONNECTIONS)]
        await until(lambda: len(rig.lookups) >= CONNECTIONS)
        tracemalloc.start()
        try:
            for stranger in strangers:
                await stranger.flood(flood)
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    print(f"{media.__name__}: {held_bytes / CONNECTIONS / 1024:.0f} KiB each")
    assert held_bytes < CONNECTIONS * MAX_HELD_BYTES


async def test_strangers_cannot_take_the_place_of_a_publisher_that_comes_back() -> None:
    settings = {"max_connections": 10, "publish_seconds": 30, "handshake_seconds": 30}
    async with Rig(**settings).running() as rig, AsyncExitStack() as stack:
        async with rig.publisher() as encoder:
            await encoder.accepted()
        await until(lambda: rig.metric("connections") == 0)
        for number in range(2, 12):
            stranger = Silent(f"127.0.0.{number}", rig.gateway.port)
            await stack.enter_async_context(stranger)
        await until(lambda: rig.metric("connections_refused_total") == 1)
        assert rig.metric("connections") == 9
        again = await stack.enter_async_context(rig.publisher())
        await again.accepted()


class Silent:
    """A connection from an address of its own that says nothing."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Silent:
        _, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._address, 0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
