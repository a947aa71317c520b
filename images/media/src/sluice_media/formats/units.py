"""Access units, the data that flows between a leg, the hub and its readers.

A unit is one coded picture or one coded audio frame. Its payload has the *sample* form of ISO/IEC
14496-15 (video: NAL units with a length prefix) or ISO/IEC 14496-3 (audio: a raw AAC frame without
ADTS). FLV and MP4 carry this form; the MPEG-TS code converts to it and from it. The decoder
configuration is in :class:`TrackFormat`, never inside the units.

All times are in ticks of 90 kHz and *unwrapped*: 64-bit integers that only increase. No other code
handles the wraps at 2^33 or 2^32.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum

TICKS_PER_SECOND = 90_000
TICKS_PER_MS = TICKS_PER_SECOND // 1_000


class TrackKind(StrEnum):
    """Kind of a track's media."""

    VIDEO = "video"
    AUDIO = "audio"


class Codec(StrEnum):
    """Codecs that Sluice carries."""

    H264 = "h264"
    HEVC = "hevc"
    AAC = "aac"


class UnitFlags(IntFlag):
    """Properties of an access unit."""

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
    """Everything that a decoder needs to start with a track. Equal formats are the same format."""

    track: int
    """Number of the track, stable within one timeline: 0 for video, 1 for the first audio track."""
    kind: TrackKind
    codec: Codec
    config: bytes
    """AVCDecoderConfigurationRecord, HEVCDecoderConfigurationRecord or AudioSpecificConfig."""
    width: int = 0
    """Width of the displayed picture in luma samples; 0 for audio."""
    height: int = 0
    sample_rate: int = 0
    """Sample rate in Hz; 0 for video."""
    channels: int = 0


@dataclass(slots=True, unsafe_hash=True)
class AccessUnit:
    """One coded picture or audio frame. It is not frozen, for speed, but no code changes one."""

    track: int
    dts: int
    """Decoding time, 90 kHz, unwrapped."""
    pts: int
    flags: UnitFlags
    utc_us: int
    """Time at which the unit reached Sluice, in microseconds since the Unix epoch (UTC)."""
    payload: bytes

    @property
    def is_random_access(self) -> bool:
        # An IntFlag's own operator takes a microsecond, and this runs several times for each unit.
        return int.__and__(self.flags, _RANDOM_ACCESS) != 0

    @property
    def is_discontinuity(self) -> bool:
        return int.__and__(self.flags, _DISCONTINUITY) != 0
