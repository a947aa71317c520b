"""Writer of one RTMP publish (pure): units in, RTMP messages out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sluice_media.formats.flv.mux import FlvMuxer
from sluice_media.formats.flv.tags import FlvTag
from sluice_media.formats.units import TrackFormat
from sluice_media.protocols.rtmp.client import ClientSession
from sluice_media.push.channel import CodecRefused
from sluice_media.push.feeder import QueuedUnit
from sluice_media.push.tracks import FOURCCS, TrackPlan, VideoCodecs, refused_codec


def needed_fourccs(formats: Iterable[TrackFormat]) -> frozenset[str]:
    """Return the FourCCs that a target must announce to get these tracks."""
    return frozenset(FOURCCS[f.codec] for f in formats if f.codec in FOURCCS)


class FlvWriter:
    """Tracks, clock and headers of one connection. It sends new headers when the tracks change."""

    def __init__(
        self, session: ClientSession, plan: TrackPlan, video_codecs: VideoCodecs = "Assume"
    ) -> None:
        self._session = session
        self._announced_only = video_codecs == "Announced"
        self._plan = plan
        self._muxer = FlvMuxer()
        self._source: tuple[TrackFormat, ...] | None = None
        self._formats: tuple[TrackFormat, ...] | None = None
        self._first_dts: int | None = None

    def encode(self, items: Sequence[QueuedUnit]) -> bytes:
        """Return the bytes of some units.

        Raises CodecRefused when the stream changes to a codec that the target does not take.
        """
        parts: list[bytes | memoryview] = []
        for item in items:
            if item.formats is not self._source:
                self._source = item.formats
                self._begin(self._plan.take_formats(item.formats), parts)
            if self._first_dts is None:
                self._first_dts = item.unit.dts
            for unit in self._plan.units(item.unit):
                # Audio before the first picture is left out: it would get the picture's time.
                if unit.dts >= self._first_dts and (tag := self._muxer.unit(unit)) is not None:
                    self._put(tag, parts)
        return b"".join(parts)

    def _begin(self, formats: tuple[TrackFormat, ...], parts: list[bytes | memoryview]) -> None:
        if formats == self._formats:
            return
        self._formats = formats
        for fourcc in sorted(needed_fourccs(formats)):
            if self._announced_only and not self._session.takes(fourcc):
                raise CodecRefused(refused_codec(fourcc))
        for tag in self._muxer.start(formats):
            self._put(tag, parts)

    def _put(self, tag: FlvTag, parts: list[bytes | memoryview]) -> None:
        parts += self._session.media_buffers(tag.type_id, tag.timestamp_ms, tag.payload)
