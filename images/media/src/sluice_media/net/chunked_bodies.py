"""Chunked bodies (RFC 9112, 7.1), for media that is written and read past aiohttp.

aiohttp opens and ends the message; in between its writer, a coroutine and several copies for each
write, costs several times what the socket does. So does its reader for who reads in large pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

_UNSENT_BYTES = 64 << 10
_MAX_LINE_BYTES = 256
"""Of a chunk's size and its extensions, of which no peer of ours sends any."""
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def chunk(parts: Sequence[bytes]) -> list[bytes]:
    """One chunk as buffers to write one after another. ``parts`` are not empty all together: an
    empty chunk would end the body."""
    return [b"%x\r\n" % sum(map(len, parts)), *parts, b"\r\n"]


def takes_more(transport: asyncio.Transport) -> bool:
    """Whether the peer has taken nearly all that was written before, and is there."""
    return not transport.is_closing() and transport.get_write_buffer_size() <= _UNSENT_BYTES


class ChunkedBody:
    """Takes the data out of a chunked body, whatever pieces it comes in (sans-io)."""

    def __init__(self) -> None:
        self.ended = False
        """The last chunk has come; what follows it (trailers) is passed over."""
        self._left = 0
        """Of the present chunk."""
        self._line = b""
        """The beginning of a line of which the rest has not come."""
        self._is_behind_data = False

    def feed(self, piece: bytearray, size: int, data: Callable[[memoryview], None]) -> None:
        """Hands the data in ``piece[:size]`` to ``data``, in parts that are gone on its return.

        Raises ValueError for what is no chunked body."""
        position = 0
        with memoryview(piece) as view:
            while position < size and not self.ended:
                if self._left:
                    end = min(size, position + self._left)
                    self._left -= end - position
                    self._is_behind_data = True
                    with view[position:end] as part:
                        data(part)
                    position = end
                    continue
                found = piece.find(b"\n", position, size)
                end = size if found < 0 else found + 1
                self._line += piece[position:end]
                position = end
                if len(self._line) > _MAX_LINE_BYTES:
                    raise ValueError("a chunk's size has no end")
                if found >= 0:
                    self._on_line(self._line.strip())
                    self._line = b""

    def _on_line(self, line: bytes) -> None:
        if self._is_behind_data:
            if line:
                raise ValueError("a chunk is longer than it said")
            self._is_behind_data = False
            return
        digits = line.partition(b";")[0].strip()
        if not digits or not _HEX_DIGITS.issuperset(digits):
            raise ValueError("a chunk without a size")
        self._left = int(digits, 16)
        self.ended = not self._left
