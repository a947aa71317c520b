"""Writer of PES headers: the header of an access unit, with its times.

Source: ISO/IEC 13818-1:2019, clause 2.4.3.6 and 2.4.3.7. Times are coded modulo 2^33 (26.5 h).
"""

from __future__ import annotations

from struct import Struct

from sluice_media.formats.mpegts.packets import CLOCK_TICKS

VIDEO_STREAM_ID = 0xE0
_FIRST_AUDIO_STREAM_ID = 0xC0
_START_CODE = 0x00000100
_HEAD = Struct("!IHBBB")
_MAX_PACKET_LENGTH = 0xFFFF
_TIMESTAMP_MASK = CLOCK_TICKS - 1
_PTS_ONLY = 0x2
_PTS_WITH_DTS = 0x3
_DTS = 0x1


def audio_stream_id(index: int) -> int:
    """Return the stream id of the audio track number ``index`` (0 to 31)."""
    return _FIRST_AUDIO_STREAM_ID + (index & 0x1F)


def pes_header(stream_id: int, pts_90khz: int, dts_90khz: int, payload_bytes: int) -> bytes:
    """Return the header before ``payload_bytes`` of one access unit.

    The length is coded when it fits. A demultiplexer then need not wait for the next packet to
    find the end of this one. Only pictures above 64 KiB have no coded length.
    """
    if (pts_90khz - dts_90khz) & _TIMESTAMP_MASK:
        flags = 0xC0
        times = timestamp_field(_PTS_WITH_DTS, pts_90khz) + timestamp_field(_DTS, dts_90khz)
    else:
        flags, times = 0x80, timestamp_field(_PTS_ONLY, pts_90khz)
    packet_length = 3 + len(times) + payload_bytes
    if packet_length > _MAX_PACKET_LENGTH:
        packet_length = 0
    # 0x84: data_alignment_indicator
    start = _START_CODE | stream_id
    return _HEAD.pack(start, packet_length, 0x84, flags, len(times)) + times


def timestamp_field(prefix: int, time_90khz: int) -> bytes:
    """Return a PTS or DTS in 5 bytes, modulo 2^33. ``prefix`` are its first four bits: its kind."""
    time = time_90khz & _TIMESTAMP_MASK
    return (
        prefix << 36
        | (time >> 30) << 33
        | 1 << 32
        | (time >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (time & 0x7FFF) << 1
        | 1
    ).to_bytes(5, "big")
