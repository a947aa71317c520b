"""NAL units, in the syntax that H.264 and HEVC share.

Sources: Rec. ITU-T H.264 clause 7.3.1 and 7.4.1.1 (emulation prevention), 7.3.2.3.1 (SEI
messages); Rec. ITU-T H.265 clauses 7.3.1.1 and 7.3.5; ISO/IEC 14496-15 clause 4.3 (the length
prefix of the sample form).
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.formats.codecs.errors import CodecError

_SEI_RECOVERY_POINT = 6
_EMULATION = b"\x00\x00\x03"


def iter_nal_units(payload: bytes, nal_length_size: int) -> Iterator[memoryview]:
    """Yield the NAL units of an access unit in sample form, without their length prefixes.

    Empty NAL units are skipped. Raises :class:`CodecError` when a length points outside of the
    payload.
    """
    view = memoryview(payload)
    position = 0
    end = len(payload)
    while position < end:
        start = position + nal_length_size
        length = int.from_bytes(view[position:start], "big")
        position = start + length
        if position > end:
            raise CodecError(f"a NAL unit of {length} bytes does not fit its access unit")
        if length:
            yield view[start:position]


def has_nal_units(payload: bytes, nal_length_size: int) -> bool:
    """Return whether :func:`iter_nal_units` yields a unit; raise :class:`CodecError` as it does."""
    position = 0
    end = len(payload)
    found = False
    while position < end:
        start = position + nal_length_size
        length = int.from_bytes(payload[position:start], "big")
        position = start + length
        if position > end:
            raise CodecError(f"a NAL unit of {length} bytes does not fit its access unit")
        found = found or length > 0
    return found


def unescape(nal: bytes) -> bytes:
    """Return the RBSP of a NAL unit: its bytes without the emulation prevention bytes."""
    # replace() finds matches from left to right without overlap. An emulation prevention byte ends
    # a run of zeros, so replace() finds exactly the emulation prevention bytes.
    return nal.replace(_EMULATION, b"\x00\x00") if _EMULATION in nal else nal


def has_recovery_point(sei_rbsp: bytes) -> bool:
    """Return whether an SEI RBSP (after its NAL unit header) has a recovery point message."""
    position = 0
    end = len(sei_rbsp)
    # The shortest message has 2 bytes. A shorter rest is rbsp_trailing_bits.
    while position + 2 <= end:
        payload_type, position = _sei_number(sei_rbsp, position)
        payload_size, position = _sei_number(sei_rbsp, position)
        if payload_type == _SEI_RECOVERY_POINT:
            return True
        position += payload_size
    return False


def _sei_number(rbsp: bytes, position: int) -> tuple[int, int]:
    """Return a number that is coded as a run of 0xFF and a last byte, and the position after it."""
    value = 0
    for index in range(position, len(rbsp)):
        byte = rbsp[index]
        value += byte
        if byte != 0xFF:
            return value, index + 1
    return value, len(rbsp)
