"""Writer of program specific information: PAT and PMT of a stream with one program.

Source: ISO/IEC 13818-1:2019, clause 2.4.4 (tables), 2.6.8 (registration descriptor) and table
2-34 (stream types). The layout follows only from the track numbers. Layout and version number
change only when a track comes or goes, because readers probe again when a PMT changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_media.formats.mpegts.crc import crc32_mpeg2
from sluice_media.formats.mpegts.packets import PACKET_BYTES, PAYLOAD_BYTES, packet_header
from sluice_media.formats.units import Codec

PAT_PID = 0x0000
PMT_PID = 0x1000
PROGRAM_NUMBER = 1
TRANSPORT_STREAM_ID = 1

STREAM_TYPES = {Codec.H264: 0x1B, Codec.HEVC: 0x24, Codec.AAC: 0x0F}
"""AAC is carried as ADTS (ISO/IEC 13818-7 syntax)."""
_REGISTRATIONS = {Codec.HEVC: b"HEVC"}
_REGISTRATION_DESCRIPTOR = 0x05


@dataclass(slots=True, frozen=True)
class ElementaryStream:
    """One entry of a PMT."""

    pid: int
    codec: Codec


def psi_packets(
    pcr_pid: int, streams: Sequence[ElementaryStream], version: int = 0
) -> tuple[bytes, ...]:
    """Return PAT and PMT, one packet each, in 16 variants: one for each continuity counter.

    ``version`` (0 to 31) is the PMT's; it changes when the tracks change.
    """
    pat = _section(0x00, TRANSPORT_STREAM_ID, _program(PMT_PID))
    pmt = _section(0x02, PROGRAM_NUMBER, _program_map(pcr_pid, streams), version)
    return tuple(
        _packet(PAT_PID, pat, counter) + _packet(PMT_PID, pmt, counter) for counter in range(16)
    )


def _program(pmt_pid: int) -> bytes:
    return PROGRAM_NUMBER.to_bytes(2, "big") + (0xE000 | pmt_pid).to_bytes(2, "big")


def _program_map(pcr_pid: int, streams: Sequence[ElementaryStream]) -> bytes:
    parts = [(0xE000 | pcr_pid).to_bytes(2, "big"), b"\xf0\x00"]
    for stream in streams:
        registration = _REGISTRATIONS.get(stream.codec, b"")
        descriptors = (
            bytes((_REGISTRATION_DESCRIPTOR, len(registration))) + registration
            if registration
            else b""
        )
        parts.append(bytes((STREAM_TYPES[stream.codec],)))
        parts.append((0xE000 | stream.pid).to_bytes(2, "big"))
        parts.append((0xF000 | len(descriptors)).to_bytes(2, "big"))
        parts.append(descriptors)
    return b"".join(parts)


def _section(table_id: int, table_id_extension: int, body: bytes, version: int = 0) -> bytes:
    length = 5 + len(body) + 4
    section = b"".join(
        (
            bytes((table_id,)),
            (0xB000 | length).to_bytes(2, "big"),
            table_id_extension.to_bytes(2, "big"),
            bytes((0xC1 | version << 1, 0, 0)),  # current; the only section
            body,
        )
    )
    return section + crc32_mpeg2(section).to_bytes(4, "big")


def _packet(pid: int, section: bytes, counter: int) -> bytes:
    payload = b"\x00" + section  # pointer_field
    if len(payload) > PAYLOAD_BYTES:
        raise ValueError("the program map of these tracks does not fit one packet")
    return (packet_header(pid, counter, unit_start=True) + payload).ljust(PACKET_BYTES, b"\xff")
