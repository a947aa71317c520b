"""Transfer of a demultiplexer's events to a publication, for RTMP and SRT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sluice_media.formats.events import DemuxEvent, Metadata
from sluice_media.formats.units import AccessUnit, TrackFormat


class Demuxer(Protocol):
    """The state that a demultiplexer shows between events."""

    @property
    def formats(self) -> tuple[TrackFormat, ...]: ...

    @property
    def left_out(self) -> str: ...


class MediaSink(Protocol):
    """The part of a publication that takes media."""

    def take_formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None = None, left_out: str = ""
    ) -> None: ...

    def take_units(self, units: Sequence[AccessUnit]) -> None: ...


class DemuxedMedia:
    """Hands the events of one publisher's demultiplexer to its publication."""

    def __init__(self, demuxer: Demuxer, publication: MediaSink) -> None:
        self._demuxer = demuxer
        self._publication = publication
        self._has_video: bool | None = None
        self._left_out = ""

    def take(self, events: Iterable[DemuxEvent]) -> None:
        """Pass all events to the publication; consecutive units go to the hub in one write.

        Raises what ``events`` raises, after it has passed the events before the error.
        """
        units: list[AccessUnit] = []
        try:
            for event in events:
                if isinstance(event, AccessUnit):
                    units.append(event)
                    continue
                self._publication.take_units(units)
                units.clear()
                # Metadata without video and audio properties does not declare the tracks.
                if isinstance(event, Metadata) and (event.declares_video or event.declares_audio):
                    self._has_video = event.declares_video
                if self._demuxer.formats:
                    self._take_formats()
        finally:
            self._publication.take_units(units)
        if self._demuxer.left_out != self._left_out:
            self._take_formats()

    def _take_formats(self) -> None:
        self._left_out = self._demuxer.left_out
        self._publication.take_formats(self._demuxer.formats, self._has_video, self._left_out)
