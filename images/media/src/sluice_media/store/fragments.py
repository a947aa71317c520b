"""The count of samples in a fragmented MP4 while it is written (sans-io).

In: bytes of an MP4 in pieces of any size. Out: the number of samples of each track. Only ``moov``
and ``moof`` are buffered; media is skipped. Source: ISO/IEC 14496-12:2022, clauses 4.2 (boxes),
8.3.2 (tkhd), 8.8.7 (tfhd) and 8.8.8 (trun).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD_BYTES = 16
_MAX_INDEX_BYTES = 16 << 20


class FragmentError(RuntimeError):
    """The bytes are not a fragmented MP4."""


class FragmentCounter:
    """The samples of one MP4."""

    def __init__(self) -> None:
        self.samples: dict[int, int] = {}
        """Track of the MP4 -> number of samples so far, in the order of its tracks."""
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """Count the next bytes. Raises FragmentError."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        self._buffer += data[self._skip :]
        self._skip = 0
        while self._box():
            pass

    def _box(self) -> bool:
        """Remove one box from the buffer. Return False when more bytes are needed."""
        buffer = self._buffer
        if len(buffer) < _HEAD_BYTES:
            return False
        size, kind = struct.unpack_from(">I4s", buffer)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", buffer, 8)
            head = 16
        if size < head:
            raise FragmentError("a box of the MP4 is shorter than its own head")
        if kind in (b"moov", b"moof"):
            if size > _MAX_INDEX_BYTES:
                raise FragmentError("an index of the MP4 is too large")
            if len(buffer) < size:
                return False
            body = bytes(buffer[head:size])
            self._moov(body) if kind == b"moov" else self._moof(body)
        self._skip = max(0, size - len(buffer))
        del buffer[:size]
        return not self._skip

    def _moov(self, body: bytes) -> None:
        for kind, trak in _boxes(body):
            if kind != b"trak":
                continue
            tkhd = dict(_boxes(trak)).get(b"tkhd", b"")
            if len(tkhd) < 24:
                raise FragmentError("a track of the MP4 has no head")
            (track,) = struct.unpack_from(">I", tkhd, 20 if tkhd[0] == 1 else 12)
            self.samples[track] = 0

    def _moof(self, body: bytes) -> None:
        for kind, traf in _boxes(body):
            if kind != b"traf":
                continue
            track = 0
            for name, box in _boxes(traf):
                if len(box) < 8:
                    continue
                (number,) = struct.unpack_from(">I", box, 4)
                if name == b"tfhd":
                    track = number
                elif name == b"trun":
                    self.samples[track] = self.samples.get(track, 0) + number


def _boxes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(body):
        size, kind = struct.unpack_from(">I4s", body, at)
        if size < 8 or at + size > len(body):
            raise FragmentError("a box of the MP4 does not fit into the one around it")
        yield kind, body[at + 8 : at + size]
        at += size
