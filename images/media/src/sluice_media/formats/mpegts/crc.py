"""CRC of PSI sections (ISO/IEC 13818-1:2019, Annex A)."""

from __future__ import annotations

_POLYNOMIAL = 0x04C11DB7


def _entry(byte: int) -> int:
    remainder = byte << 24
    for _ in range(8):
        carry = remainder & 0x8000_0000
        remainder = (remainder << 1) & 0xFFFF_FFFF
        if carry:
            remainder ^= _POLYNOMIAL
    return remainder


_TABLE = tuple(_entry(byte) for byte in range(256))


def crc32_mpeg2(data: bytes) -> int:
    """Return the CRC-32/MPEG-2: not reflected, starts at all ones, no final inversion.

    The CRC of a whole section with its own CRC is 0.
    """
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = ((crc << 8) & 0xFFFF_FFFF) ^ _TABLE[(crc >> 24) ^ byte]
    return crc
