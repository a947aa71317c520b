"""RTMP messages in, the FLV parts of a leg out."""

from __future__ import annotations

from sluice_media.flv.demux import TICKS_PER_MS, MillisecondClock
from sluice_media.flv.inspect import MessageClass, MessageInspector
from sluice_media.flv.tags import FILE_HEADER, encode_tag
from sluice_media.gateway.parts import LegForm, Part, SoundEntries
from sluice_media.rtmp import Media

__all__ = ["FLV", "FlvParts"]

FLV = LegForm("flv", "video/x-flv", FILE_HEADER, wrap_ticks=(1 << 32) * TICKS_PER_MS)

_FRAMES = (MessageClass.RANDOM_ACCESS, MessageClass.PICTURE, MessageClass.SOUND)
_HEADERS = {
    MessageClass.SCRIPT: "script",
    MessageClass.VIDEO_CONFIG: "video",
    MessageClass.AUDIO_CONFIG: "audio",
}


class FlvParts:
    """Of one publisher. Tags are encoded once, here, and the same bytes go to every hub."""

    def __init__(self) -> None:
        self._inspector = MessageInspector()
        self._times = MillisecondClock()
        self._sounds = SoundEntries()
        self._has_video = False

    def encode(self, media: Media) -> Part:
        data = encode_tag(media.type_id, media.timestamp_ms, media.payload)
        kind = self._inspector.classify(media.type_id, media.payload)
        if kind not in _FRAMES:
            self._has_video = self._has_video or kind is MessageClass.VIDEO_CONFIG
            return Part(data, header=_HEADERS.get(kind, ""))
        dts = self._times.unwrap(media.timestamp_ms) * TICKS_PER_MS
        random_access = kind is MessageClass.RANDOM_ACCESS
        if kind is MessageClass.SOUND and not self._has_video:
            random_access = self._sounds.begins(dts)
        return Part(data, dts, random_access)
