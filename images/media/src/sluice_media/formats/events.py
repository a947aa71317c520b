"""Events that demultiplexers return: track formats, access units and metadata."""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.units import AccessUnit, TrackFormat


@dataclass(slots=True, frozen=True)
class Metadata:
    """The publisher's announcement of its tracks; None for a value that is not announced.

    Sizes and rates are hints: the bitstream takes precedence.
    """

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    encoder: str | None = None
    declares_video: bool = False
    declares_audio: bool = False


DemuxEvent = TrackFormat | AccessUnit | Metadata
