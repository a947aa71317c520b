"""Feeds: the bytes of a leg in, formats and units into the hub."""

from __future__ import annotations

from sluice_media.formats.errors import MediaError
from sluice_media.formats.events import Metadata
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.hub.clock import Moment
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import Leg
from sluice_media.timeline.leg_framing import LegDecoder, LegFormats, LegMediaRejected


class UnitFeed:
    """The decoder of a leg's framed records."""

    def __init__(self, hub: Hub, leg: Leg) -> None:
        self._hub = hub
        self._leg = leg
        self._decoder = LegDecoder()

    def feed(self, data: bytes, now: Moment) -> None:
        self._leg.bytes_arrived(len(data), now)
        for event in self._decoder.feed(data, now.utc_us):
            if not isinstance(event, LegFormats):
                self._hub.take_unit(self._leg, event, now)
                continue
            if event.picture_comes:
                self._leg.picture_comes(now)
            self._hub.take_formats(self._leg, event.formats)
            self._hub.leave_out(self._leg, event.left_out)
            if event.has_video is not None:
                self._leg.declare(has_video=event.has_video)


class TsFeed:
    """The demultiplexer of a pulled source's transport stream."""

    def __init__(self, hub: Hub, leg: Leg) -> None:
        self._hub = hub
        self._leg = leg
        self._demuxer = TsDemuxer()

    def feed(self, data: bytes, now: Moment) -> None:
        self._leg.bytes_arrived(len(data), now)
        try:
            for event in self._demuxer.feed(data, now.utc_us):
                self._take(event, now)
        except MediaError as error:
            raise LegMediaRejected(error.reason, str(error)) from error

    def flush(self, now: Moment) -> None:
        """Hand over the last units at the end of the stream: no successor will complete them."""
        for event in self._demuxer.flush():
            self._take(event, now)

    def _take(self, event: TrackFormat | AccessUnit | Metadata, now: Moment) -> None:
        if isinstance(event, AccessUnit):
            self._hub.take_unit(self._leg, event, now)
            return
        if isinstance(event, Metadata):
            self._leg.declare(has_video=event.declares_video)
            self._hub.leave_out(self._leg, self._demuxer.left_out)
        # A program map may take tracks away without a new format.
        self._hub.take_formats(self._leg, self._demuxer.formats)
