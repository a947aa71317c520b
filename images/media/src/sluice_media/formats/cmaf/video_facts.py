"""Facts of a video track that are only in its parameter sets."""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.codecs import CodecError, h264, hevc
from sluice_media.formats.codecs.h264 import Display
from sluice_media.formats.units import Codec, TrackFormat

_SQUARE = (1, 1)
_MAX_ASPECT = 16
"""Maximum ratio of a sample's sides. Anything above is a mistake of the encoder."""


@dataclass(slots=True, frozen=True)
class VideoFacts:
    """Size for display, frame rate and colour of a video track."""

    display_width: int
    """Width of the picture in square samples; the height stays the coded one."""
    frame_rate: float | None
    """Frames per second that the parameter sets declare; None when they do not."""
    sample_aspect: tuple[int, int]
    colour: tuple[int, int, int] | None
    """Code points of primaries, transfer function and matrix (Rec. ITU-T H.273)."""
    is_full_range: bool


def video_facts(track_format: TrackFormat) -> VideoFacts:
    """Return the facts of a video track; nothing is declared when the sets cannot be read."""
    try:
        frame_rate, display = _parsed(track_format)
    except CodecError:
        frame_rate, display = None, Display()
    width, height = display.sample_aspect or _SQUARE
    if not 1 <= max(width, height) / min(width, height) <= _MAX_ASPECT:
        width, height = _SQUARE
    return VideoFacts(
        display_width=(track_format.width * width + height // 2) // height,
        frame_rate=frame_rate,
        sample_aspect=(width, height),
        colour=display.colour,
        is_full_range=display.is_full_range,
    )


def _parsed(track_format: TrackFormat) -> tuple[float | None, Display]:
    if track_format.codec is Codec.HEVC:
        hvc = hevc.parse_hvcc(track_format.config)
        return hvc.frame_rate, hevc.parse_sps(hvc.sps[0]).display
    avc = h264.parse_avcc(track_format.config)
    return avc.frame_rate, h264.parse_sps(avc.sps[0]).display
