"""Writes to connections that are closed already, on the event loop of the pods."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import uvloop
from aiohttp import web

from sluice_media.hub.http.reader_output import UpgradedOutput
from sluice_media.net.upgrade import Upgraded
from sluice_media.publishing.leg import PREAMBLE, LegBody


async def closed_connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection whose transport is closed."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.transport.abort()
    await asyncio.sleep(0.01)
    return reader, writer


def test_a_reader_that_was_cut_is_a_broken_connection() -> None:
    async def write() -> None:
        reader, writer = await closed_connection()
        response = cast(web.StreamResponse, None)
        await UpgradedOutput(Upgraded(response, reader, writer)).write(b"record")

    with pytest.raises(ConnectionResetError):
        uvloop.run(write())


def test_a_leg_whose_hub_has_gone_is_a_broken_connection() -> None:
    async def send() -> None:
        _, writer = await closed_connection()
        await LegBody(PREAMBLE).send(writer)

    with pytest.raises(ConnectionResetError):
        uvloop.run(send())
