"""RTMP messages in, the framed records of a leg out, as in the gateway but without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice_media.formats.flv import FlvDemuxer, TagReader
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.demuxed import DemuxedMedia
from sluice_media.publishing.leg_records import LegEncoder, LegRecord


class FlvLeg:
    """One RTMP publisher. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._encoder = LegEncoder(clock)
        self._demuxer = FlvDemuxer()
        self._media = DemuxedMedia(self._demuxer, self)
        self._records: list[LegRecord] = []

    def feed(self, type_id: int, timestamp_ms: int, payload: bytes) -> list[LegRecord]:
        """Return the records that a message becomes. Raises MediaError."""
        self._records = []
        self._media.take(self._demuxer.feed(type_id, timestamp_ms & 0xFFFFFFFF, payload, 0))
        return self._records

    def of_file(self, flv: bytes) -> list[bytes]:
        """Return the records of a whole FLV file."""
        tags = TagReader().feed(flv)
        return [
            record.data
            for tag in tags
            for record in self.feed(tag.type_id, tag.timestamp_ms, tag.payload)
        ]

    # ------------------------------------------------------------------ MediaSink

    def take_formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None = None, left_out: str = ""
    ) -> None:
        self._records.append(self._encoder.formats(formats, has_video, left_out))

    def take_units(self, units: Sequence[AccessUnit]) -> None:
        found = (self._encoder.unit(unit) for unit in units)
        self._records += (record for record in found if record is not None)
