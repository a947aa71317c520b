"""FLV demultiplexer: tags or RTMP messages in; track formats, access units and metadata out.

Output times are in 90 kHz, unwrapped over the whole life of the demuxer. FLV carries milliseconds,
so that 44.1 kHz audio would step by 2070 or 2160 ticks instead of 2089.8. Audio times are therefore
counted in samples, and reset when they differ from the tags by more than 2 ms.

Sources: those of :mod:`.packets`; ``onMetaData``: Annex E.5.
"""

from __future__ import annotations

from sluice_media.formats import amf0
from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.codecs.nal import has_nal_units
from sluice_media.formats.codecs.sample_clock import SampleClock
from sluice_media.formats.errors import MediaError, UnsupportedCodec
from sluice_media.formats.events import DemuxEvent, Metadata
from sluice_media.formats.flv.packets import Packet, PacketKind, parse_audio, parse_video
from sluice_media.formats.flv.tags import TagType
from sluice_media.formats.flv.video_format import VIDEO_TRACK, VideoFormat
from sluice_media.formats.units import TICKS_PER_MS, AccessUnit, Codec, TrackFormat, TrackKind
from sluice_media.formats.units import UnitFlags as Flags

AUDIO_TRACK = 1
_HALF = 1 << 31
_MASK = (1 << 32) - 1
_MAX_TEXT = 128
_MAX_NUMBER = 1e9


class MillisecondClock:
    """Clock that unwraps 32-bit milliseconds. It accepts jumps of less than 2^31 ms in both
    directions."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp_ms: int) -> int:
        """Return the unwrapped time, in milliseconds."""
        if self._last is None:
            self._last = timestamp_ms & _MASK
        else:
            self._last += ((timestamp_ms - self._last + _HALF) & _MASK) - _HALF
        return self._last


class FlvDemuxer:
    """Demultiplexer of one source. It drops and counts damaged units, and flags the unit after
    them."""

    def __init__(self) -> None:
        self._clock = MillisecondClock()
        self._video_format: VideoFormat | None = None
        self._audio_format: TrackFormat | None = None
        self._audio_clock: SampleClock | None = None
        self._damaged: set[int] = set()
        self._is_sound_only = False
        self.left_out = ""
        """Codec of audio that the source sends and Sluice does not carry; empty without such
        audio."""
        self.dropped_units = 0
        """Number of units without a configuration before them, or with broken NAL units."""

    @property
    def formats(self) -> tuple[TrackFormat, ...]:
        """Formats in force, video first."""
        video = self._video_format.in_force if self._video_format else None
        return tuple(found for found in (video, self._audio_format) if found)

    def feed(
        self, type_id: int, timestamp_ms: int, payload: bytes, utc_us: int
    ) -> list[DemuxEvent]:
        """Take one tag; return its events. ``utc_us`` is the tag's time of arrival.

        A TrackFormat is returned only when it differs from the one in force, and before the unit to
        which it applies. Video units have RANDOM_ACCESS where decoding can start. Audio units never
        have it, because only the whole stream shows that there is no video. Audio of a codec that
        Sluice does not carry is dropped, and :attr:`left_out` names the codec.

        Raises UnsupportedCodec for video of such a codec, and for such audio when the source has
        declared that it has no video. Raises MediaError for a broken decoder configuration.
        """
        if type_id == TagType.VIDEO:
            packet = parse_video(payload)
        elif type_id == TagType.AUDIO:
            packet = self._parse_audio(payload)
        elif type_id == TagType.SCRIPT:
            metadata = parse_metadata(payload)
            if metadata is None:
                return []
            self._is_sound_only = metadata.declares_audio and not metadata.declares_video
            return [metadata]
        else:
            return []
        if packet is None:
            return []
        is_audio = packet.codec is Codec.AAC
        if packet.kind is PacketKind.CONFIG:
            return self._configure_audio(packet) if is_audio else self._configure_video(packet)
        dts = self._clock.unwrap(timestamp_ms) * TICKS_PER_MS
        take = self._take_audio if is_audio else self._take_video
        events = take(packet, dts, utc_us)
        if not events:
            self.dropped_units += 1
        return events

    def _parse_audio(self, payload: bytes) -> Packet | None:
        try:
            packet = parse_audio(payload)
        except UnsupportedCodec as unsupported:
            if self._is_sound_only and self._video_format is None:
                raise
            self.left_out = unsupported.codec
            return None
        if packet is not None:
            self.left_out = ""
        return packet

    def _configure_video(self, packet: Packet) -> list[DemuxEvent]:
        known = self._video_format
        if known and known.header == packet:
            known.repeat_header()
            return []
        self._video_format = VideoFormat(packet)
        found = self._video_format.in_force
        return [] if known and known.in_force == found else [found]

    def _configure_audio(self, packet: Packet) -> list[DemuxEvent]:
        if self._audio_format and self._audio_format.config == packet.body:
            return []
        try:
            audio = aac.parse_asc(packet.body)
        except CodecError as broken:
            raise MediaError(f"The {packet.codec} configuration is broken: {broken}.") from broken
        self._audio_clock = SampleClock(audio)
        self._audio_format = TrackFormat(
            AUDIO_TRACK,
            TrackKind.AUDIO,
            Codec.AAC,
            packet.body,
            sample_rate=audio.sample_rate,
            channels=audio.channels,
        )
        return [self._audio_format]

    def _take_video(self, packet: Packet, dts: int, utc_us: int) -> list[DemuxEvent]:
        known = self._video_format
        if known is None or known.header.codec is not packet.codec:
            return []
        before = known.in_force
        try:
            if not has_nal_units(packet.body, known.nal_length_size):
                return []
            random_access = known.take_picture(packet.body)
        except CodecError:
            self._damaged.add(VIDEO_TRACK)
            return []
        flags = self._flags(VIDEO_TRACK)
        if random_access:
            flags |= Flags.RANDOM_ACCESS
        pts = dts + packet.composition_ms * TICKS_PER_MS
        unit = AccessUnit(VIDEO_TRACK, dts, pts, flags, utc_us, packet.body)
        return [unit] if known.in_force is before else [known.in_force, unit]

    def _take_audio(self, packet: Packet, given: int, utc_us: int) -> list[DemuxEvent]:
        if self._audio_clock is None:
            return []
        dts = self._audio_clock.stamp(given)
        flags = self._flags(AUDIO_TRACK)
        return [AccessUnit(AUDIO_TRACK, dts, dts, flags, utc_us, packet.body)]

    def _flags(self, track: int) -> Flags:
        if track not in self._damaged:
            return Flags.NONE
        self._damaged.discard(track)
        return Flags.DISCONTINUITY


def parse_metadata(payload: bytes) -> Metadata | None:
    """Parse an ``onMetaData`` script tag, with or without ``@setDataFrame``; None for other
    tags."""
    try:
        values = amf0.decode(payload)
    except amf0.AmfError:
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
    # Some encoders write codec 0 for "none"; FFmpeg omits the property.
    return bool(given.get(f"{kind}codecid")) or bool(_number(given.get(hint)))


def _number(value: amf0.Value) -> float | None:
    if isinstance(value, float) and 0 < value < _MAX_NUMBER:
        return value
    return None
