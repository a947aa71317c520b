"""Access units: what flows between a leg, the hub and its readers.

A unit is one coded picture or one coded audio frame. Its payload is in the *sample* form of
ISO/IEC 14496-15 (video: NAL units with a length prefix) and ISO/IEC 14496-3 (audio: a raw AAC
frame without ADTS), that is what FLV and MP4 carry; MPEG-TS is converted at its own edge. Decoder
configuration travels beside the units, in :class:`TrackFormat`, never inside them.

All times are in ticks of 90 kHz and *unwrapped*: 64-bit integers that only grow, so that nobody
downstream ever thinks about 2^33 or 2^32.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum

TICKS_PER_SECOND = 90_000
TICKS_PER_MS = TICKS_PER_SECOND // 1_000


class TrackKind(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"


class Codec(StrEnum):
    H264 = "h264"
    HEVC = "hevc"
    AAC = "aac"


class UnitFlags(IntFlag):
    NONE = 0
    RANDOM_ACCESS = 1
    """Decoding can start here: IDR/IRAP, a recovery-point SEI, or any audio frame of a stream
    without video."""
    DISCONTINUITY = 2
    """Units before this one are missing (a splice, a gap, a dropped GOP)."""


_RANDOM_ACCESS = int(UnitFlags.RANDOM_ACCESS)
_DISCONTINUITY = int(UnitFlags.DISCONTINUITY)


@dataclass(slots=True, frozen=True)
class TrackFormat:
    """What a decoder needs to know of one track. Two formats are the same iff they are equal."""

    track: int
    """Track id, stable within one timeline; 0 is the video track, 1 the first audio track."""
    kind: TrackKind
    codec: Codec
    config: bytes
    """AVCDecoderConfigurationRecord, HEVCDecoderConfigurationRecord or AudioSpecificConfig."""
    width: int = 0
    """Displayed picture size in luma samples; 0 for audio."""
    height: int = 0
    sample_rate: int = 0
    """Hz; 0 for video."""
    channels: int = 0


@dataclass(slots=True, unsafe_hash=True)
class AccessUnit:
    """Not frozen for the sake of speed, but nobody changes one."""

    track: int
    dts: int
    """Decoding time, 90 kHz, unwrapped."""
    pts: int
    flags: UnitFlags
    utc_us: int
    """When the unit reached Sluice, microseconds since the Unix epoch (UTC)."""
    payload: bytes

    @property
    def is_random_access(self) -> bool:
        # An IntFlag's own operators take a microsecond each, and every unit is asked several times.
        return int.__and__(self.flags, _RANDOM_ACCESS) != 0

    @property
    def is_discontinuity(self) -> bool:
        return int.__and__(self.flags, _DISCONTINUITY) != 0
