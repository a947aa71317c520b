"""FLV as a file or byte stream: header and tags (sans-io).

Source: Adobe Flash Video File Format 10.1 (2010), Annex E.2 (header), E.3 (body), E.4.1 (tag).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from sluice_media.formats.errors import MediaError

FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
"""Header that declares audio and video, and PreviousTagSize0. The tags show the real tracks."""
MAX_TAG_BYTES = 8 << 20
"""Maximum payload of one tag."""
_HEADER_BYTES = 9
_MAX_HEADER_BYTES = 1_024
_TAG_HEAD_BYTES = 11
_PREVIOUS_SIZE_BYTES = 4
_FILTERED = 0x20
_TAG_HEAD = struct.Struct("!II3x")
"""Type and length of the payload; timestamp with its highest byte last; stream id, always 0."""
_PREVIOUS_SIZE = struct.Struct("!I")


class TagType(IntEnum):
    """Type of a tag; equal to the RTMP message type."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(slots=True)
class FlvTag:
    """One tag. It is not frozen, for speed: there is one for every frame."""

    type_id: int
    """A TagType, or another number that readers ignore."""
    timestamp_ms: int
    """Time in milliseconds, 32 bits, wrapping."""
    payload: bytes = field(repr=False)


def encode_tag(type_id: int, timestamp_ms: int, payload: bytes) -> bytes:
    """Return a tag and the size field after it. The timestamp is taken modulo 2^32.

    Raises MediaError for a payload whose length does not fit 24 bits.
    """
    length = len(payload)
    if length > 0xFFFFFF:
        raise MediaError(f"A payload of {length} bytes does not fit an FLV tag.")
    head = _TAG_HEAD.pack(
        (type_id & 0xFF) << 24 | length,
        (timestamp_ms << 8 | timestamp_ms >> 24 & 0xFF) & 0xFFFFFFFF,
    )
    return b"".join((head, payload, _PREVIOUS_SIZE.pack(length + _TAG_HEAD_BYTES)))


class TagReader:
    """Buffer that cuts FLV bytes into tags, at any split of the stream."""

    def __init__(self, max_tag_bytes: int = MAX_TAG_BYTES) -> None:
        self._max_tag_bytes = max_tag_bytes
        self._buffer = bytearray()
        self._header_done = False

    def feed(self, data: bytes) -> list[FlvTag]:
        """Return the complete tags. After a MediaError nothing more can be read.

        PreviousTagSize is ignored: some muxers write it wrong, and nothing depends on it.
        """
        buffer = self._buffer
        if not self._header_done:
            buffer += data
            position = self._read_header()
            if not self._header_done:
                return []
            data = bytes(memoryview(buffer)[position:])
            buffer.clear()
        if not buffer:
            # A read usually contains whole tags, which are cut out without another copy.
            tags, position = self._cut(data)
            if position < len(data):
                buffer += memoryview(data)[position:]
            return tags
        buffer += data
        tags, position = self._cut(buffer)
        del buffer[:position]
        return tags

    def _cut(self, data: bytes | bytearray) -> tuple[list[FlvTag], int]:
        """Return the whole tags of ``data``, and the position of the rest."""
        tags: list[FlvTag] = []
        position = 0
        available = len(data)
        while available - position >= _TAG_HEAD_BYTES:
            first, second = _TAG_HEAD.unpack_from(data, position)
            length = first & 0xFFFFFF
            if length > self._max_tag_bytes:
                raise MediaError(f"An FLV tag of {length} bytes is larger than the limit.")
            type_id = first >> 24
            if type_id & _FILTERED:
                raise MediaError("Encrypted FLV is not supported.")
            start = position + _TAG_HEAD_BYTES
            end = start + length
            if available < end + _PREVIOUS_SIZE_BYTES:
                break
            timestamp = second >> 8 | (second & 0xFF) << 24
            tags.append(FlvTag(type_id & 0x1F, timestamp, bytes(data[start:end])))
            position = end + _PREVIOUS_SIZE_BYTES
        return tags, position

    def _read_header(self) -> int:
        """Return the position after the header; set ``_header_done`` when the header is
        complete."""
        buffer = self._buffer
        if buffer[:3] != b"FLV"[: len(buffer)]:
            raise MediaError("The bytes are not FLV: the signature is missing.")
        if len(buffer) < _HEADER_BYTES:
            return 0
        size = int.from_bytes(buffer[5:9], "big")
        if buffer[3] != 1 or not _HEADER_BYTES <= size <= _MAX_HEADER_BYTES:
            raise MediaError("The FLV header has an unknown version.")
        if len(buffer) < size + _PREVIOUS_SIZE_BYTES:
            return 0
        self._header_done = True
        return size + _PREVIOUS_SIZE_BYTES
