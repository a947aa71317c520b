"""The address guard in front of a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sluice_media.contract import AddressGuard
from sluice_media.net.address_guard import AddressRules, DialGuard, NotAllowedError


async def test_what_is_dialled_is_the_address_that_was_checked() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asked: list[str] = []

    async def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    guard = DialGuard(AddressRules.of(AddressGuard(allowed=["127.0.0.1/32"])), resolve)
    reader, writer = await guard.dial("rebind.example", port)
    assert await reader.read() == b"here"
    writer.close()
    assert len(asked) == 1, "looked up once: there is no second answer to fall for"
    with pytest.raises(NotAllowedError):
        await guard.dial("rebind.example", port)
    server.close()
