"""The bytes of a leg's body, on their way to the hub as formats and units."""

from __future__ import annotations

from sluice_media.flv import FlvDemuxer, Metadata, TagReader
from sluice_media.hub.clock import Moment
from sluice_media.hub.hub import Hub
from sluice_media.hub.leg import Leg
from sluice_media.units import TrackFormat

__all__ = ["FlvFeed"]


class FlvFeed:
    """Demultiplexes one leg's FLV into the hub."""

    def __init__(self, hub: Hub, leg: Leg) -> None:
        self._hub = hub
        self._leg = leg
        self._tags = TagReader()
        self._demuxer = FlvDemuxer()

    def feed(self, data: bytes, now: Moment) -> None:
        """Takes the next bytes. Raises :class:`~sluice_media.flv.FlvError` when they are not
        FLV, or carry what cannot be carried on."""
        self._leg.bytes_arrived(len(data), now)
        for tag in self._tags.feed(data):
            for event in self._demuxer.feed(tag.type_id, tag.timestamp_ms, tag.payload, now.utc_us):
                if isinstance(event, TrackFormat):
                    self._hub.take_formats(self._leg, self._demuxer.formats)
                elif isinstance(event, Metadata):
                    self._declare(event)
                else:
                    self._hub.take_unit(self._leg, event, now)

    def _declare(self, metadata: Metadata) -> None:
        # Metadata that names neither kind says nothing about either.
        if metadata.declares_video or metadata.declares_audio:
            self._leg.declare(has_video=metadata.declares_video)
