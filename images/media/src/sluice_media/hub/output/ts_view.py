"""The timeline as a plain MPEG transport stream, for users and other tools."""

from __future__ import annotations

import structlog

from sluice_media.contract import TimelineFormat
from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.timeline.framing import TimelineDecoder, track_formats

_log = structlog.get_logger(__name__)


class TsView:
    """Converter from framed records to transport stream packets.

    After a format that MPEG-TS cannot carry, there are no packets until the next format."""

    def __init__(self) -> None:
        self._decoder = TimelineDecoder()
        self._muxer: TsMuxer | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the packets of the records in ``data``."""
        packets: list[bytes] = []
        for record in self._decoder.feed(data):
            try:
                if isinstance(record, TimelineFormat):
                    before, self._muxer = self._muxer, None
                    self._muxer = TsMuxer(track_formats(record.tracks), after=before)
                elif isinstance(record, AccessUnit) and self._muxer is not None:
                    packets.append(self._muxer.write(record))
            except (CodecError, ValueError, KeyError) as error:
                _log.warning("ts_view_record_skipped", error=str(error))
        return b"".join(packets)
