"""ADTS frames out of a byte stream.

Source: ISO/IEC 14496-3:2019, clause 1.A.3.2 (ADTS) and 1.6.2.1 (AudioSpecificConfig).
"""

from __future__ import annotations

import re

from sluice_media.formats.codecs import CodecError, aac

_CRC_BYTES = 2
_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
"""Syncword and layer 0; MPEG-2 or 4, with or without CRC."""


def adts_frame_bytes(data: bytes | bytearray, at: int) -> int:
    """Size of the frame whose header is at ``at``, header included; 0 when there is no header.

    There must be 7 bytes.
    """
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:  # syncword, layer 0
        return 0
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return size if size > adts_header_bytes(data, at) else 0


def adts_header_bytes(data: bytes | bytearray, at: int) -> int:
    """7, or 9 with a CRC."""
    crc = 0 if data[at + 1] & 1 else _CRC_BYTES
    return aac.ADTS_HEADER_BYTES + crc


def adts_config(data: bytes | bytearray, at: int) -> bytes:
    """The AudioSpecificConfig that says what the header at ``at`` says.

    Raises CodecError when one frame holds several raw data blocks, which cannot be told apart
    without decoding them.
    """
    if data[at + 6] & 3:
        raise CodecError("an ADTS frame with several raw data blocks")
    return _config(data, at)


def same_config(data: bytes | bytearray, at: int, config: bytes) -> bool:
    """Whether the header at ``at`` says the same as ``config``."""
    return _config(data, at) == config


def _config(data: bytes | bytearray, at: int) -> bytes:
    object_type = (data[at + 2] >> 6) + 1
    rate_index = data[at + 2] >> 2 & 0xF
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    return (object_type << 11 | rate_index << 7 | channels << 3).to_bytes(2, "big")


def find_adts(data: bytes | bytearray, start: int) -> int:
    """Where the next header might be, at or after ``start``; the end of ``data`` if nowhere."""
    found = _SYNC.search(data, start)
    return found.start() if found else len(data)
