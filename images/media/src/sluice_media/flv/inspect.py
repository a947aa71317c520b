"""What a single FLV tag or RTMP message is, for who passes them on without taking them apart.

The frame type in the video header is not believed: encoders with intra refresh call their
recovery points inter frames, and some call any I picture a keyframe.
"""

from __future__ import annotations

from enum import Enum, auto

from sluice_media.codecs import CodecError, h264, hevc
from sluice_media.flv.errors import UnsupportedCodec
from sluice_media.flv.packets import Packet, PacketKind, parse_audio, parse_video
from sluice_media.flv.tags import TagType
from sluice_media.units import Codec

__all__ = ["MessageClass", "MessageInspector"]

_AVCC_LENGTH_SIZE_AT = 4
_HVCC_LENGTH_SIZE_AT = 21


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
        self._nal_length_size = 4

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
            hevc_record = packet.codec is Codec.HEVC
            at = _HVCC_LENGTH_SIZE_AT if hevc_record else _AVCC_LENGTH_SIZE_AT
            if at < len(packet.body):
                self._nal_length_size = (packet.body[at] & 3) + 1
            return MessageClass.VIDEO_CONFIG
        codec = hevc if packet.codec is Codec.HEVC else h264
        try:
            starts = codec.is_random_access(packet.body, self._nal_length_size)
        except CodecError:
            starts = False
        return MessageClass.RANDOM_ACCESS if starts else MessageClass.PICTURE

    @staticmethod
    def _audio(packet: Packet | None) -> MessageClass:
        if packet is None:
            return MessageClass.OTHER
        config = packet.kind is PacketKind.CONFIG
        return MessageClass.AUDIO_CONFIG if config else MessageClass.SOUND
