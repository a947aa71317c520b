"""FLV as a file or byte stream: header and tags (sans-io).

Source: Adobe Flash Video File Format 10.1 (2010), Annex E.2 (header), E.3 (body), E.4.1 (tag).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from sluice_media.flv.errors import FlvError

__all__ = ["FILE_HEADER", "MAX_TAG_BYTES", "FlvTag", "TagReader", "TagType", "encode_tag"]

FILE_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
"""With both kinds declared (what is really there, the tags tell), and PreviousTagSize0."""
MAX_TAG_BYTES = 8 << 20

_HEADER_BYTES = 9
_MAX_HEADER_BYTES = 1_024
_TAG_HEAD_BYTES = 11
_PREVIOUS_SIZE_BYTES = 4
_FILTERED = 0x20


class TagType(IntEnum):
    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(slots=True, frozen=True)
class FlvTag:
    type_id: int
    """A TagType, or a number to be ignored. Equal to the RTMP message type."""
    timestamp_ms: int
    """32 bits, wrapping."""
    payload: bytes = field(repr=False)


def encode_tag(type_id: int, timestamp_ms: int, payload: bytes) -> bytes:
    """A tag and the size field behind it. The timestamp is taken modulo 2^32.

    Raises FlvError for a payload whose length 24 bits cannot say.
    """
    length = len(payload)
    if length > 0xFFFFFF:
        raise FlvError(f"A payload of {length} bytes does not fit an FLV tag.")
    return b"".join(
        (
            bytes((type_id,)),
            length.to_bytes(3, "big"),
            (timestamp_ms & 0xFFFFFF).to_bytes(3, "big"),
            bytes(((timestamp_ms >> 24) & 0xFF, 0, 0, 0)),
            payload,
            (length + _TAG_HEAD_BYTES).to_bytes(4, "big"),
        )
    )


class TagReader:
    """Cuts FLV bytes into tags. ``feed()`` accepts any split of the stream."""

    def __init__(self, max_tag_bytes: int = MAX_TAG_BYTES) -> None:
        self._max_tag_bytes = max_tag_bytes
        self._buffer = bytearray()
        self._header_done = False

    def feed(self, data: bytes) -> list[FlvTag]:
        """The tags that are complete now. Raises FlvError; nothing can be read after that.

        PreviousTagSize is not compared: muxers get it wrong, and nothing depends on it.
        """
        buffer = self._buffer
        buffer += data
        position = 0
        if not self._header_done:
            position = self._read_header()
            if not self._header_done:
                return []
        tags: list[FlvTag] = []
        while len(buffer) - position >= _TAG_HEAD_BYTES:
            length = int.from_bytes(buffer[position + 1 : position + 4], "big")
            if length > self._max_tag_bytes:
                raise FlvError(f"An FLV tag of {length} bytes is larger than the limit.")
            if buffer[position] & _FILTERED:
                raise FlvError("Encrypted FLV is not supported.")
            start = position + _TAG_HEAD_BYTES
            end = start + length + _PREVIOUS_SIZE_BYTES
            if len(buffer) < end:
                break
            timestamp = int.from_bytes(buffer[position + 4 : position + 7], "big")
            timestamp |= buffer[position + 7] << 24
            payload = bytes(memoryview(buffer)[start : start + length])
            tags.append(FlvTag(buffer[position] & 0x1F, timestamp, payload))
            position = end
        del buffer[:position]
        return tags

    def _read_header(self) -> int:
        """The position behind the header; sets ``_header_done`` when it is complete."""
        buffer = self._buffer
        if buffer[:3] != b"FLV"[: len(buffer)]:
            raise FlvError("The bytes are no FLV: the signature is missing.")
        if len(buffer) < _HEADER_BYTES:
            return 0
        size = int.from_bytes(buffer[5:9], "big")
        if buffer[3] != 1 or not _HEADER_BYTES <= size <= _MAX_HEADER_BYTES:
            raise FlvError("The FLV header is of a version that is not known.")
        if len(buffer) < size + _PREVIOUS_SIZE_BYTES:
            return 0
        self._header_done = True
        return size + _PREVIOUS_SIZE_BYTES
