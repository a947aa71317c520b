"""Reader of PES packets: headers and times.

Source: ISO/IEC 13818-1:2019, clause 2.4.3.6 and 2.4.3.7.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.mpegts.packets import CLOCK_TICKS

PES_HEAD_BYTES = 6
"""Size of start code, stream id and length."""
_START_CODE = b"\x00\x00\x01"
_NO_HEADER = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})
"""Stream ids of packets without times: program stream maps, padding, private stream 2, …"""
_LONGEST_HEAD_OF_UNIT = 12
"""Maximum size of padding, a start code and the first bytes of a NAL unit."""
_HALF = CLOCK_TICKS >> 1
_MAX_COMPOSITION = 10 * 90_000
"""Maximum of PTS minus DTS, far above the buffer of a decoder."""


@dataclass(slots=True)
class PesHeader:
    """Header of a PES packet."""

    payload_start: int
    pts_90khz: int | None
    """PTS, 33 bits; None when the header has none."""
    dts_90khz: int | None
    """DTS, 33 bits; the PTS when the header has no DTS."""
    is_aligned: bool = False
    """data_alignment_indicator: True when the payload begins with a unit."""

    @property
    def composition(self) -> int:
        """PTS minus DTS."""
        if self.pts_90khz is None or self.dts_90khz is None:
            return 0
        return unwrapped(self.pts_90khz - self.dts_90khz, 0)


def pes_bytes(packet: bytearray) -> int | None:
    """Return the size of the whole packet, from its first 6 bytes; 0 when no length is coded.

    None means that this is not a PES packet, or that it carries no media.
    """
    if packet[:3] != _START_CODE or packet[3] in _NO_HEADER:
        return None
    length = int.from_bytes(packet[4:6], "big")
    return length and PES_HEAD_BYTES + length


def start_of_payload(head: bytes) -> int | None:
    """Return the start of the payload, from the first bytes of a packet; None for too few bytes."""
    if len(head) < 9 or head[:3] != _START_CODE or len(head) < 9 + head[8] + _LONGEST_HEAD_OF_UNIT:
        return None
    return 9 + head[8]


def parse_pes_header(packet: bytearray) -> PesHeader | None:
    """Parse the header of a whole packet; None when it is broken or its times are impossible."""
    if len(packet) < 9 or packet[6] & 0xC0 != 0x80 or packet[6] & 0x30:  # marker, scrambling
        return None
    payload_start = 9 + packet[8]
    is_aligned = bool(packet[6] & 0x04)
    has_pts, has_dts = packet[7] & 0x80, packet[7] & 0x40
    if payload_start > len(packet) or packet[8] < (10 if has_dts else 5 if has_pts else 0):
        return None
    if not has_pts:
        return PesHeader(payload_start, None, None, is_aligned)
    pts = read_timestamp(packet, 9)
    header = PesHeader(
        payload_start, pts, read_timestamp(packet, 14) if has_dts else pts, is_aligned
    )
    return header if abs(header.composition) <= _MAX_COMPOSITION else None


def read_timestamp(packet: bytes | bytearray, at: int) -> int:
    """Return the PTS or DTS in the 5 bytes from ``at`` on, 33 bits."""
    return (
        (packet[at] & 0x0E) << 29
        | packet[at + 1] << 22
        | (packet[at + 2] & 0xFE) << 14
        | packet[at + 3] << 7
        | packet[at + 4] >> 1
    )


def unwrapped(time_90khz: int, near: int) -> int:
    """Return the time nearest to ``near`` that is coded as ``time_90khz``."""
    return near + (time_90khz - near + _HALF) % CLOCK_TICKS - _HALF


class TimestampClock:
    """Clock that unwraps 33-bit times. It accepts jumps of less than 2^32 ticks (13 h), both
    ways."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, time_90khz: int) -> int:
        """Return the unwrapped time, in ticks of 90 kHz."""
        self._last = time_90khz if self._last is None else unwrapped(time_90khz, self._last)
        return self._last
