"""Writing after the other side has reset the connection, on the pods' loop and on asyncio's."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from sluice_media.net.writing import write

RESETS = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing is a reset."""


async def write_after_a_reset() -> None:
    def reset(_: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        there.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
        there.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        with pytest.raises(ConnectionResetError):
            write(writer, b"more")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_is_written_after_a_reset_is_a_reset(
    run: Callable[[Coroutine[None, None, None]], None],
) -> None:
    run(write_after_a_reset())
