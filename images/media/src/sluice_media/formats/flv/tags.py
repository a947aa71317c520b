"""FLV as a file or byte stream: header and tags (sans-io).

Source: Adobe Flash Video File Format 10.1 (2010), Annex E.2 (header), E.3 (body), E.4.1 (tag).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from sluice_media.formats.errors import MediaError

FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
"""With both kinds declared (what is really there, the tags tell), and PreviousTagSize0."""
MAX_TAG_BYTES = 8 << 20
_HEADER_BYTES = 9
_MAX_HEADER_BYTES = 1_024
_TAG_HEAD_BYTES = 11
_PREVIOUS_SIZE_BYTES = 4
_FILTERED = 0x20
_TAG_HEAD = struct.Struct("!II3x")
"""Type and length of the payload; timestamp, its highest byte last; stream id, always 0."""
_PREVIOUS_SIZE = struct.Struct("!I")


class TagType(IntEnum):
    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(slots=True)
class FlvTag:
    """Not frozen for the sake of speed: there is one for every frame."""

    type_id: int
    """A TagType, or a number to be ignored. Equal to the RTMP message type."""
    timestamp_ms: int
    """32 bits, wrapping."""
    payload: bytes = field(repr=False)


def encode_tag(type_id: int, timestamp_ms: int, payload: bytes) -> bytes:
    """A tag and the size field behind it. The timestamp is taken modulo 2^32.

    Raises MediaError for a payload whose length 24 bits cannot say.
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
    """Cuts FLV bytes into tags. ``feed()`` accepts any split of the stream."""

    def __init__(self, max_tag_bytes: int = MAX_TAG_BYTES) -> None:
        self._max_tag_bytes = max_tag_bytes
        self._buffer = bytearray()
        self._header_done = False

    def feed(self, data: bytes) -> list[FlvTag]:
        """The tags that are complete now. Raises MediaError; nothing can be read after that.

        PreviousTagSize is not compared: muxers get it wrong, and nothing depends on it.
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
            # As a rule a read holds whole tags: these are cut out of it without another copy.
            tags, position = self._cut(data)
            if position < len(data):
                buffer += memoryview(data)[position:]
            return tags
        buffer += data
        tags, position = self._cut(buffer)
        del buffer[:position]
        return tags

    def _cut(self, data: bytes | bytearray) -> tuple[list[FlvTag], int]:
        """The whole tags of ``data``, and where the rest begins."""
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
        """The position behind the header; sets ``_header_done`` when it is complete."""
        buffer = self._buffer
        if buffer[:3] != b"FLV"[: len(buffer)]:
            raise MediaError("The bytes are no FLV: the signature is missing.")
        if len(buffer) < _HEADER_BYTES:
            return 0
        size = int.from_bytes(buffer[5:9], "big")
        if buffer[3] != 1 or not _HEADER_BYTES <= size <= _MAX_HEADER_BYTES:
            raise MediaError("The FLV header is of a version that is not known.")
        if len(buffer) < size + _PREVIOUS_SIZE_BYTES:
            return 0
        self._header_done = True
        return size + _PREVIOUS_SIZE_BYTES
