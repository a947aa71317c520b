"""Codec strings for ``CODECS`` in HLS and ``@codecs`` in DASH (RFC 6381 clause 3.3).

Sources: ISO/IEC 14496-15:2022 Annex E (avc1, hvc1); ISO/IEC 14496-3:2019 table 1.17 (audio object
types).
"""

from __future__ import annotations

from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.units import Codec, TrackFormat

_AOT_SBR = 5
_AOT_PS = 29


def codec_string(track_format: TrackFormat) -> str:
    """Return the codec string of a track; raises CodecError for a broken configuration."""
    config = track_format.config
    if track_format.codec is Codec.H264:
        if len(config) < 4:
            raise CodecError("the H.264 configuration is shorter than its fixed part")
        return f"avc1.{config[1:4].hex()}"
    if track_format.codec is Codec.HEVC:
        return _hevc(config)
    return _aac(config)


def _hevc(config: bytes) -> str:
    """Return profile, compatibility flags, tier and level, and the constraint bytes (E.3)."""
    if len(config) < 13:
        raise CodecError("the HEVC configuration is shorter than its fixed part")
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    # The flags are written in reverse bit order, so that trailing zeros need no digits.
    compatibility = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    constraints = config[6:12].rstrip(b"\x00")
    return ".".join(
        [
            f"hvc1.{space}{config[1] & 0x1F}",
            f"{compatibility:X}",
            f"{tier}{config[12]}",
            *(f"{byte:X}" for byte in constraints),
        ]
    )


def _aac(config: bytes) -> str:
    parsed = aac.parse_asc(config)
    signalled = config[0] >> 3
    if signalled in (_AOT_SBR, _AOT_PS):
        return f"mp4a.40.{signalled}"
    if parsed.output_sample_rate != parsed.sample_rate:
        # SBR behind a configuration that an old decoder reads as AAC-LC (1.6.5.2).
        return f"mp4a.40.{_AOT_SBR}"
    return f"mp4a.40.{parsed.object_type}"
