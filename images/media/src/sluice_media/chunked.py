"""Chunked bodies (RFC 9112, 7.1), for media that is written past aiohttp to its transport.

aiohttp opens and ends the message; in between its writer, a coroutine and several copies for each
write, costs several times what the socket does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

__all__ = ["chunk", "takes_more"]

_UNSENT_BYTES = 64 << 10


def chunk(parts: Sequence[bytes]) -> list[bytes]:
    """One chunk as buffers to write one after another. ``parts`` are not empty all together: an
    empty chunk would end the body."""
    return [b"%x\r\n" % sum(map(len, parts)), *parts, b"\r\n"]


def takes_more(transport: asyncio.Transport) -> bool:
    """Whether the peer has taken nearly all that was written before, and is there."""
    return not transport.is_closing() and transport.get_write_buffer_size() <= _UNSENT_BYTES
