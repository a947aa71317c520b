"""The removal of holes from the times of a chunk, so that the MP4's media is continuous (pure).

In: the bytes of a chunk made by our own multiplexer, with the times of the timeline. Out: the same
packets, with PCR, PTS and DTS moved earlier by the holes before them. FFmpeg closes only holes of
more than 10 s, and closes a hole of one track for all tracks. Source: ISO/IEC 13818-1:2019, clauses
2.4.3.4 to 2.4.3.7.
"""

from __future__ import annotations

import re

from sluice_media.formats.mpegts.mux import PCR_LEAD
from sluice_media.formats.mpegts.packets import CLOCK_TICKS, PACKET_BYTES, payload_offset
from sluice_media.formats.mpegts.pes import timestamp_field
from sluice_media.formats.mpegts.pes_reader import read_timestamp, unwrapped
from sluice_media.recording.media_time import MediaTime

_STARTS = re.compile(b"[\x40-\x7f\xc0-\xff]")
"""The second byte of packets in which a PES packet or a table begins."""
_ADAPTED = re.compile(b"[\x20-\x3f\x60-\x7f\xa0-\xbf\xe0-\xff]")
"""The fourth byte of packets with an adaptation field."""
_PES = b"\x00\x00\x01"
_HAS_PCR = 0x10


def retime(data: bytes | memoryview, near: int, media: MediaTime) -> bytes:
    """Return the chunk with its times as they are in ``media``. ``near``: a DTS in the chunk, not
    wrapped."""
    out = bytearray(data)
    for match in _ADAPTED.finditer(bytes(out[3::PACKET_BYTES])):
        at = match.start() * PACKET_BYTES
        if out[at + 4] and out[at + 5] & _HAS_PCR:
            _move_pcr(out, at + 6, near, media)
    for match in _STARTS.finditer(bytes(out[1::PACKET_BYTES])):
        at = match.start() * PACKET_BYTES
        start = payload_offset(out, at)
        if out[start : start + 3] == _PES:
            _move_pes(out, start, near, media)
    return bytes(out)


def _move_pcr(out: bytearray, at: int, near: int, media: MediaTime) -> None:
    field = int.from_bytes(out[at : at + 6])
    base = unwrapped(field >> 15, near)
    moved = (base - media.removed_before(base + PCR_LEAD)) % CLOCK_TICKS
    out[at : at + 6] = (moved << 15 | field & 0x7FFF).to_bytes(6)


def _move_pes(out: bytearray, start: int, near: int, media: MediaTime) -> None:
    flags = out[start + 7] >> 6
    if not flags & 2:
        return
    places = (start + 9, start + 14) if flags == 3 else (start + 9,)
    dts = unwrapped(read_timestamp(out, places[-1]), near)
    removed = media.removed_before(dts)
    for at in places:
        out[at : at + 5] = timestamp_field(out[at] >> 4, read_timestamp(out, at) - removed)
