"""What a single FLV tag or RTMP message is, for who passes them on without taking them apart.

The frame type in the video header is not believed: encoders with intra refresh call their
recovery points inter frames, and some call any I picture a keyframe.
"""

from __future__ import annotations

from enum import Enum, auto

from sluice_media.formats.codecs import CodecError, h264, hevc
from sluice_media.formats.errors import MediaError, UnsupportedCodec
from sluice_media.formats.flv.packets import Packet, PacketKind, parse_audio, parse_video
from sluice_media.formats.flv.tags import TagType
from sluice_media.formats.flv.video_format import VideoFormat
from sluice_media.formats.units import Codec, TrackFormat

_USUAL_LENGTH_SIZE = 4


class MessageClass(Enum):
    SCRIPT = auto()
    VIDEO_CONFIG = auto()
    AUDIO_CONFIG = auto()
    RANDOM_ACCESS = auto()
    """A picture at which decoding can start."""
    PICTURE = auto()
    SOUND = auto()
    OTHER = auto()
    """Nothing that a decoder shows: ends of sequence, commands, what we do not carry."""


class MessageInspector:
    """Classifies the messages of one source, in their order."""

    def __init__(self) -> None:
        self._format: VideoFormat | None = None
        self.entry_format: TrackFormat | None = None
        """What a decoder that starts at the last random access picture must be told, where the last
        sequence header and the picture itself do not say it; None: they do."""

    def classify(self, type_id: int, payload: bytes) -> MessageClass:
        if type_id == TagType.SCRIPT:
            return MessageClass.SCRIPT
        try:
            if type_id == TagType.VIDEO:
                return self._video(parse_video(payload))
            if type_id == TagType.AUDIO:
                return self._audio(parse_audio(payload))
        except UnsupportedCodec:
            pass  # the hub says so to the publisher
        return MessageClass.OTHER

    def _video(self, packet: Packet | None) -> MessageClass:
        if packet is None:
            return MessageClass.OTHER
        if packet.kind is PacketKind.CONFIG:
            self._configure(packet)
            return MessageClass.VIDEO_CONFIG
        try:
            starts = self._take_picture(packet)
        except CodecError:
            starts = False
        return MessageClass.RANDOM_ACCESS if starts else MessageClass.PICTURE

    def _configure(self, header: Packet) -> None:
        if self._format is not None and self._format.header == header:
            self._format.repeat_header()
            return
        try:
            self._format = VideoFormat(header)
        except MediaError:
            self._format = None  # the hub says so to the publisher

    def _take_picture(self, packet: Packet) -> bool:
        """Whether decoding can start there; if so :attr:`entry_format` is about it."""
        known = self._format
        if known is None or known.header.codec is not packet.codec:
            self.entry_format = None
            if packet.codec is Codec.HEVC:
                return hevc.is_random_access(packet.body, _USUAL_LENGTH_SIZE)
            return h264.is_random_access(packet.body, _USUAL_LENGTH_SIZE)
        if not known.take_picture(packet.body):
            return False
        self.entry_format = None if known.is_said_by(packet.body) else known.in_force
        return True

    @staticmethod
    def _audio(packet: Packet | None) -> MessageClass:
        if packet is None:
            return MessageClass.OTHER
        config = packet.kind is PacketKind.CONFIG
        return MessageClass.AUDIO_CONFIG if config else MessageClass.SOUND
