"""FLV multiplexer: track formats and access units in, tags out (RTMP messages have the same
payload).

Each sink (a pushed connection, a file) has its own muxer. Times start at 0 with the first unit.
They are rounded to milliseconds and never decrease within a track.

Sources: Adobe Flash Video File Format 10.1, Annex E.4.2, E.4.3, E.5; Enhanced RTMP v2 for HEVC.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.formats import amf0
from sluice_media.formats.flv.tags import FlvTag, TagType
from sluice_media.formats.units import TICKS_PER_MS, AccessUnit, Codec, TrackFormat, TrackKind

_KEYFRAME, _INTER_FRAME = 1, 2
_AVC = 7
_EX_HEADER = 0x80
_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X = 0, 1, 3
_HVC1 = b"hvc1"
_HVC1_NUMBER = float(int.from_bytes(_HVC1, "big"))
_AAC_ID = 10
_AAC_HEAD = b"\xaf"
"""AAC is always declared as 44 kHz, 16 bits, stereo. The AudioSpecificConfig has the real
values."""
_AAC_FRAME = _AAC_HEAD + b"\x01"
_ENCODER = "Sluice"
# These are looked up once, not for each frame.
_AAC, _HEVC = Codec.AAC, Codec.HEVC
_AUDIO, _VIDEO = TagType.AUDIO, TagType.VIDEO


def metadata_payload(formats: Sequence[TrackFormat]) -> bytes:
    """Return the body of an ``onMetaData`` script tag for these tracks."""
    properties = amf0.EcmaArray()
    for track in formats:
        if track.kind is TrackKind.VIDEO:
            hevc = track.codec is Codec.HEVC
            properties["width"] = float(track.width)
            properties["height"] = float(track.height)
            properties["videocodecid"] = _HVC1_NUMBER if hevc else float(_AVC)
        else:
            properties["audiocodecid"] = float(_AAC_ID)
            properties["audiosamplerate"] = float(track.sample_rate)
            properties["audiosamplesize"] = 16.0
            properties["audiochannels"] = float(track.channels)
            properties["stereo"] = track.channels > 1
    properties["encoder"] = _ENCODER
    return amf0.encode("onMetaData", properties)


def sequence_header(track: TrackFormat, ms: int) -> FlvTag:
    """Return the tag with a track's decoder configuration, at a time in milliseconds."""
    ms &= 0xFFFFFFFF
    if track.kind is TrackKind.AUDIO:
        return FlvTag(TagType.AUDIO, ms, _AAC_HEAD + b"\x00" + track.config)
    if track.codec is Codec.HEVC:
        head = bytes((_EX_HEADER | _KEYFRAME << 4 | _SEQUENCE_START,)) + _HVC1
    else:
        head = bytes((_KEYFRAME << 4 | _AVC, 0, 0, 0, 0))
    return FlvTag(TagType.VIDEO, ms, head + track.config)


class FlvMuxer:
    """Clock and codecs of one sink. Call :meth:`start` first, and again when the formats change."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._last_ms: dict[int, int] = {}
        self._codecs: dict[int, Codec] = {}

    def start(self, formats: Sequence[TrackFormat]) -> list[FlvTag]:
        """Return metadata and sequence headers, at the last time that was written."""
        self._codecs = {f.track: f.codec for f in formats}
        now = max(self._last_ms.values(), default=0)
        tags = [FlvTag(TagType.SCRIPT, now & 0xFFFFFFFF, metadata_payload(formats))]
        tags += (sequence_header(f, now) for f in formats)
        return tags

    def unit(self, unit: AccessUnit) -> FlvTag | None:
        """Return the tag of one unit; None for a track that :meth:`start` did not get."""
        codec = self._codecs.get(unit.track)
        if codec is None:
            return None
        if self._base is None:
            self._base = unit.dts
        # Half a millisecond is added, to round to the nearest.
        ms = (unit.dts - self._base + TICKS_PER_MS // 2) // TICKS_PER_MS
        ms = max(ms, self._last_ms.get(unit.track, 0))
        self._last_ms[unit.track] = ms
        if codec is _AAC:
            return FlvTag(_AUDIO, ms & 0xFFFFFFFF, _AAC_FRAME + unit.payload)
        presented = (unit.pts - self._base + TICKS_PER_MS // 2) // TICKS_PER_MS
        head = _frame_head(codec, presented - ms, keyframe=unit.is_random_access)
        return FlvTag(_VIDEO, ms & 0xFFFFFFFF, head + unit.payload)


def _frame_head(codec: Codec, composition_ms: int, *, keyframe: bool) -> bytes:
    frame_type = _KEYFRAME if keyframe else _INTER_FRAME
    composition = max(-0x800000, min(composition_ms, 0x7FFFFF)).to_bytes(3, "big", signed=True)
    if codec is not _HEVC:
        return bytes((frame_type << 4 | _AVC, 1)) + composition
    if composition_ms == 0:
        return bytes((_EX_HEADER | frame_type << 4 | _CODED_FRAMES_X,)) + _HVC1
    return bytes((_EX_HEADER | frame_type << 4 | _CODED_FRAMES,)) + _HVC1 + composition
