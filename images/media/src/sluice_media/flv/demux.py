"""FLV tags or RTMP messages in; track formats, access units and metadata out.

Times come out in 90 kHz, unwrapped over the whole life of the demuxer. FLV carries milliseconds,
which makes 44.1 kHz audio step by 2070 or 2160 ticks instead of 2089.8: audio times are counted in
samples instead, and set anew where that differs from the tags by more than 2 ms.

Sources: those of :mod:`.packets`; ``onMetaData``: Annex E.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluice_media.codecs import CodecError, aac, h264, hevc
from sluice_media.codecs.nal import has_nal_units
from sluice_media.codecs.sample_clock import SampleClock
from sluice_media.flv.errors import FlvError
from sluice_media.flv.packets import Packet, PacketKind, parse_audio, parse_video
from sluice_media.flv.tags import TagType
from sluice_media.rtmp import amf0
from sluice_media.rtmp.errors import AmfError
from sluice_media.units import TICKS_PER_SECOND, AccessUnit, Codec, TrackFormat, TrackKind
from sluice_media.units import UnitFlags as Flags

__all__ = [
    "AUDIO_TRACK",
    "TICKS_PER_MS",
    "VIDEO_TRACK",
    "DemuxEvent",
    "FlvDemuxer",
    "Metadata",
    "MillisecondClock",
    "parse_metadata",
]

VIDEO_TRACK = 0
AUDIO_TRACK = 1
TICKS_PER_MS = TICKS_PER_SECOND // 1000
_HALF = 1 << 31
_MASK = (1 << 32) - 1
_MAX_TEXT = 128
_MAX_NUMBER = 1e9

_RandomAccess = Callable[[bytes, int], bool]


@dataclass(slots=True, frozen=True)
class Metadata:
    """What ``onMetaData`` announces: hints, the bitstream knows better. None: not said."""

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    encoder: str | None = None
    declares_video: bool = False
    declares_audio: bool = False


DemuxEvent = TrackFormat | AccessUnit | Metadata


class MillisecondClock:
    """Unwraps 32-bit milliseconds; jumps of less than 2^31 ms either way are taken as such."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp_ms: int) -> int:
        if self._last is None:
            self._last = timestamp_ms & _MASK
        else:
            self._last += ((timestamp_ms - self._last + _HALF) & _MASK) - _HALF
        return self._last


class FlvDemuxer:
    """One source. Damaged units are left out, counted and flagged in their successor."""

    def __init__(self) -> None:
        self._clock = MillisecondClock()
        self._formats: dict[int, TrackFormat] = {}
        self._nal_length_size = 4
        self._is_random_access: _RandomAccess = h264.is_random_access
        self._audio_clock: SampleClock | None = None
        self._damaged: set[int] = set()
        self.dropped_units = 0
        """Units without a configuration before them, or with a broken NAL structure."""

    @property
    def formats(self) -> tuple[TrackFormat, ...]:
        """The formats in force, video first."""
        return tuple(self._formats[track] for track in sorted(self._formats))

    def feed(
        self, type_id: int, timestamp_ms: int, payload: bytes, utc_us: int
    ) -> list[DemuxEvent]:
        """Takes one tag; ``utc_us`` is its time of arrival.

        A TrackFormat comes out only when it differs from the one in force. Video units carry
        RANDOM_ACCESS where they are; audio units never do, because only who sees the whole stream
        knows that it has no video. Raises UnsupportedCodec for a codec that is not carried, and
        FlvError for a decoder configuration that is broken.
        """
        if type_id == TagType.VIDEO:
            packet = parse_video(payload)
        elif type_id == TagType.AUDIO:
            packet = parse_audio(payload)
        elif type_id == TagType.SCRIPT:
            metadata = parse_metadata(payload)
            return [metadata] if metadata else []
        else:
            return []
        if packet is None:
            return []
        if packet.kind is PacketKind.CONFIG:
            return self._configure(packet)
        dts = self._clock.unwrap(timestamp_ms) * TICKS_PER_MS
        unit = (
            self._audio_unit(packet, dts, utc_us)
            if packet.codec is Codec.AAC
            else self._video_unit(packet, dts, utc_us)
        )
        if unit is None:
            self.dropped_units += 1
            return []
        return [unit]

    def _configure(self, packet: Packet) -> list[DemuxEvent]:
        track = AUDIO_TRACK if packet.codec is Codec.AAC else VIDEO_TRACK
        known = self._formats.get(track)
        if known and known.config == packet.body and known.codec is packet.codec:
            return []
        try:
            found = self._describe(packet)
        except CodecError as broken:
            raise FlvError(f"The {packet.codec} configuration is broken: {broken}.") from broken
        self._formats[track] = found
        return [found]

    def _describe(self, packet: Packet) -> TrackFormat:
        config = packet.body
        if packet.codec is Codec.AAC:
            audio = aac.parse_asc(config)
            self._audio_clock = SampleClock(audio)
            return TrackFormat(
                AUDIO_TRACK,
                TrackKind.AUDIO,
                Codec.AAC,
                config,
                sample_rate=audio.sample_rate,
                channels=audio.channels,
            )
        video: h264.AvcConfig | hevc.HevcConfig
        if packet.codec is Codec.H264:
            video = h264.parse_avcc(config)
            self._is_random_access = h264.is_random_access
        else:
            video = hevc.parse_hvcc(config)
            self._is_random_access = hevc.is_random_access
        self._nal_length_size = video.nal_length_size
        return TrackFormat(
            VIDEO_TRACK,
            TrackKind.VIDEO,
            packet.codec,
            config,
            width=video.width,
            height=video.height,
        )

    def _video_unit(self, packet: Packet, dts: int, utc_us: int) -> AccessUnit | None:
        known = self._formats.get(VIDEO_TRACK)
        if known is None or known.codec is not packet.codec:
            return None
        size = self._nal_length_size
        try:
            if not has_nal_units(packet.body, size):
                return None
            random_access = self._is_random_access(packet.body, size)
        except CodecError:
            self._damaged.add(VIDEO_TRACK)
            return None
        flags = self._flags(VIDEO_TRACK)
        if random_access:
            flags |= Flags.RANDOM_ACCESS
        pts = dts + packet.composition_ms * TICKS_PER_MS
        return AccessUnit(VIDEO_TRACK, dts, pts, flags, utc_us, packet.body)

    def _audio_unit(self, packet: Packet, given: int, utc_us: int) -> AccessUnit | None:
        if self._audio_clock is None:
            return None
        dts = self._audio_clock.stamp(given)
        return AccessUnit(AUDIO_TRACK, dts, dts, self._flags(AUDIO_TRACK), utc_us, packet.body)

    def _flags(self, track: int) -> Flags:
        if track not in self._damaged:
            return Flags.NONE
        self._damaged.discard(track)
        return Flags.DISCONTINUITY


def parse_metadata(payload: bytes) -> Metadata | None:
    """An ``onMetaData`` script tag (with or without ``@setDataFrame``); None when it is not one."""
    try:
        values = amf0.decode(payload)
    except AmfError:
        return None
    if values and values[0] == "@setDataFrame":
        values = values[1:]
    if len(values) < 2 or values[0] != "onMetaData" or not isinstance(values[1], dict):
        return None
    given: dict[str, amf0.Value] = values[1]
    encoder = given.get("encoder")
    width, height = _number(given.get("width")), _number(given.get("height"))
    return Metadata(
        width=int(width) if width else None,
        height=int(height) if height else None,
        frame_rate=_number(given.get("framerate")),
        encoder=encoder[:_MAX_TEXT] if isinstance(encoder, str) else None,
        declares_video=_declares(given, "video", "width"),
        declares_audio=_declares(given, "audio", "audiosamplerate"),
    )


def _declares(given: dict[str, amf0.Value], kind: str, hint: str) -> bool:
    flag = given.get(f"has{kind.capitalize()}")
    if isinstance(flag, bool):
        return flag
    # Some encoders say codec 0 for "none"; FFmpeg leaves the property out.
    return bool(given.get(f"{kind}codecid")) or bool(_number(given.get(hint)))


def _number(value: amf0.Value) -> float | None:
    if isinstance(value, float) and 0 < value < _MAX_NUMBER:
        return value
    return None
