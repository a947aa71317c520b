"""RTMP messages in, the FLV parts of a leg out.

Parts have steady times: :mod:`sluice_media.timeline.source_clock` removes a jump of the source's
clock here, once, so that no hub has to.
"""

from __future__ import annotations

from collections.abc import Callable

from sluice_media.formats.flv.demux import AUDIO_TRACK, MillisecondClock
from sluice_media.formats.flv.inspect import MessageClass, MessageInspector
from sluice_media.formats.flv.mux import sequence_header
from sluice_media.formats.flv.tags import FILE_HEADER, PICTURE_COMES, TagType, encode_tag
from sluice_media.formats.flv.video_format import VIDEO_TRACK
from sluice_media.formats.units import TICKS_PER_MS
from sluice_media.protocols.rtmp import Media
from sluice_media.publishing.parts import LegForm, Part, SoundEntries
from sluice_media.timeline.source_clock import SourceClock

FLV = LegForm("flv", "video/x-flv", FILE_HEADER, wrap_ticks=(1 << 32) * TICKS_PER_MS)

PICTURE_NOTICE = encode_tag(TagType.SCRIPT, 0, PICTURE_COMES)
"""A picture is on its way; nothing to keep."""
_FRAMES = (MessageClass.RANDOM_ACCESS, MessageClass.PICTURE, MessageClass.SOUND)
_HEADERS = {
    MessageClass.SCRIPT: "script",
    MessageClass.VIDEO_CONFIG: "video",
    MessageClass.AUDIO_CONFIG: "audio",
}


class FlvParts:
    """Makes the parts of one publisher. A tag is encoded once, and every hub gets the same bytes.

    ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inspector = MessageInspector()
        self._times = MillisecondClock()
        self._source = SourceClock()
        self._sounds = SoundEntries()
        self._video_header: Part | None = None

    def encode(self, media: Media) -> Part | None:
        """Return the message as a part; None: it is sound that overlaps what came before a jump."""
        kind = self._inspector.classify(media.type_id, media.payload)
        if kind not in _FRAMES:
            data = encode_tag(media.type_id, media.timestamp_ms, media.payload)
            part = Part(data, header=_HEADERS.get(kind, ""))
            if kind is MessageClass.VIDEO_CONFIG:
                self._video_header = part
            return part
        track = AUDIO_TRACK if kind is MessageClass.SOUND else VIDEO_TRACK
        source_dts = self._times.unwrap(media.timestamp_ms) * TICKS_PER_MS
        dts = self._source.place(track, source_dts, self._clock(), lead=VIDEO_TRACK)
        if dts is None:
            return None
        timestamp_ms = dts // TICKS_PER_MS
        data = encode_tag(media.type_id, timestamp_ms, media.payload)
        if kind is MessageClass.RANDOM_ACCESS:
            return Part(data, dts, random_access=True, entry=self._entry(timestamp_ms))
        if kind is MessageClass.SOUND and self._video_header is None:
            return Part(data, dts, self._sounds.begins(dts))
        return Part(data, dts)

    def _entry(self, timestamp_ms: int) -> Part | None:
        """An encoder may change its parameter sets in one keyframe and never say them again, as a
        sequence header or otherwise; who starts at a later keyframe is told them by us."""
        wanted = self._inspector.entry_format
        if wanted is None:
            return self._video_header
        tag = sequence_header(wanted, timestamp_ms)
        return Part(encode_tag(tag.type_id, tag.timestamp_ms, tag.payload), header="video")
