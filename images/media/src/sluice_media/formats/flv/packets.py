"""Headers of audio and video tags: codec, kind of packet, composition time.

One function is for video, one for audio. Both read the classic header and the extended one.

Sources: Adobe Flash Video File Format 10.1, Annex E.4.2 (audio) and E.4.3 (video); Enhanced RTMP
v2, "Enhanced Video" and "Enhanced Audio" (ExVideoTagHeader, ModEx, multitrack).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from sluice_media.formats.errors import UnsupportedCodec
from sluice_media.formats.units import Codec

_FRAME_COMMAND = 5
_EX_HEADER = 0x80
_CODEC_AVC = 7
_CODEC_HEVC = 12
"""Number for HEVC in encoders before Enhanced RTMP. Adobe's table does not have it."""
_SOUND_AAC = 10
_SOUND_EX_HEADER = 9

_SEQUENCE_START, _CODED_FRAMES, _SEQUENCE_END, _CODED_FRAMES_X = 0, 1, 2, 3
_METADATA, _MULTITRACK, _MOD_EX = 4, 6, 7
_AUDIO_MULTITRACK = 5
_ONE_TRACK, _MANY_CODECS = 0, 2
_MAX_MOD_EX = 8

_VIDEO_FOURCCS = {b"avc1": Codec.H264, b"hvc1": Codec.HEVC}
_AUDIO_FOURCCS = {b"mp4a": Codec.AAC}
_VIDEO_NAMES = {1: "JPEG", 2: "Sorenson H.263", 3: "Screen video", 4: "VP6", 5: "VP6", 13: "AV1"}
_AUDIO_NAMES = {
    0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
    7: "G.711", 8: "G.711", 11: "Speex", 13: "Opus", 14: "MP3",
}  # fmt: skip


class PacketKind(Enum):
    """Kind of a packet's body."""

    CONFIG = auto()
    """The body is a decoder configuration record."""
    FRAME = auto()
    """The body is a coded picture or audio frame in sample form."""


@dataclass(slots=True)
class Packet:
    """A tag's payload without its header. It is not frozen, for speed: there is one for every
    frame."""

    kind: PacketKind
    codec: Codec
    composition_ms: int
    """PTS minus DTS, signed; 0 for audio."""
    body: bytes = field(repr=False)


def parse_video(payload: bytes) -> Packet | None:
    """Return the packet of a video tag; None for tags without a picture (commands, ends,
    truncated).

    Raises UnsupportedCodec.
    """
    if len(payload) < 2:
        return None
    first = payload[0]
    if first & _EX_HEADER:
        return _extended(payload, first & 0x0F, _VIDEO, command=(first >> 4) & 7 == _FRAME_COMMAND)
    if first >> 4 == _FRAME_COMMAND:
        return None
    codec = {_CODEC_AVC: Codec.H264, _CODEC_HEVC: Codec.HEVC}.get(first & 0x0F)
    if codec is None:
        name = _VIDEO_NAMES.get(first & 0x0F, f"codec {first & 0x0F}")
        raise UnsupportedCodec(f"The video is {name}; Sluice takes H.264 and HEVC.", name)
    if len(payload) <= 5 or payload[1] not in (0, 1):
        return None
    if payload[1] == 0:
        return Packet(PacketKind.CONFIG, codec, 0, payload[5:])
    return Packet(PacketKind.FRAME, codec, _signed_24(payload, 2), payload[5:])


def parse_audio(payload: bytes) -> Packet | None:
    """Return the packet of an audio tag; None for tags without audio.

    Raises UnsupportedCodec.
    """
    if len(payload) < 2:
        return None
    sound_format = payload[0] >> 4
    if sound_format == _SOUND_EX_HEADER:
        return _extended(payload, payload[0] & 0x0F, _AUDIO, command=False)
    if sound_format != _SOUND_AAC:
        name = _AUDIO_NAMES.get(sound_format, f"format {sound_format}")
        raise UnsupportedCodec(f"The audio is {name}; Sluice takes AAC.", name)
    if len(payload) <= 2 or payload[1] not in (0, 1):
        return None
    kind = PacketKind.CONFIG if payload[1] == 0 else PacketKind.FRAME
    return Packet(kind, Codec.AAC, 0, payload[2:])


@dataclass(slots=True, frozen=True)
class _Medium:
    """Differences between extended audio and video headers."""

    word: str
    accepted: str
    codecs: dict[bytes, Codec]
    multitrack: int


_VIDEO = _Medium("video", "H.264 and HEVC", _VIDEO_FOURCCS, _MULTITRACK)
_AUDIO = _Medium("audio", "AAC", _AUDIO_FOURCCS, _AUDIO_MULTITRACK)


def _extended(payload: bytes, packet_type: int, medium: _Medium, *, command: bool) -> Packet | None:
    position = 1
    for _ in range(_MAX_MOD_EX):
        if packet_type != _MOD_EX:
            break
        # ModEx: a size of 1 to 256 (256 means that a size of 16 bits follows), data, the next type.
        size = payload[position] + 1 if position < len(payload) else 0
        position += 1
        if size == 256:
            size = int.from_bytes(payload[position : position + 2], "big") + 1
            position += 2
        position += size
        if position >= len(payload):
            return None
        packet_type = payload[position] & 0x0F
        position += 1
    if command:
        return None
    if packet_type == medium.multitrack:
        return _first_track(payload, position, medium)
    return _coded(payload[position : position + 4], packet_type, payload[position + 4 :], medium)


def _first_track(payload: bytes, position: int, medium: _Medium) -> Packet | None:
    """Return track 0 of a multitrack packet; players without multitrack support show it, too."""
    if position + 5 > len(payload):
        return None
    multitrack_type, packet_type = payload[position] >> 4, payload[position] & 0x0F
    position += 1
    fourcc = b""
    if multitrack_type != _MANY_CODECS:
        fourcc = payload[position : position + 4]
        position += 4
    while position < len(payload):
        if multitrack_type == _MANY_CODECS:
            fourcc = payload[position : position + 4]
            position += 4
        track = payload[position] if position < len(payload) else -1
        position += 1
        size = len(payload) - position
        if multitrack_type != _ONE_TRACK:
            size = int.from_bytes(payload[position : position + 3], "big")
            position += 3
        if position + size > len(payload):
            return None
        if track == 0:
            return _coded(fourcc, packet_type, payload[position : position + size], medium)
        position += size
    return None


def _coded(fourcc: bytes, packet_type: int, body: bytes, medium: _Medium) -> Packet | None:
    if packet_type not in (_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X) or len(fourcc) < 4:
        return None
    codec = medium.codecs.get(fourcc)
    if codec is None:
        name = "".join(chr(c) if chr(c).isalnum() or c in b".-" else "?" for c in fourcc)
        message = f"The {medium.word} is {name}; Sluice takes {medium.accepted}."
        raise UnsupportedCodec(message, name)
    if packet_type == _SEQUENCE_START:
        return Packet(PacketKind.CONFIG, codec, 0, body) if body else None
    composition_ms = 0
    if packet_type == _CODED_FRAMES and medium is _VIDEO:
        if len(body) < 3:
            return None
        composition_ms, body = _signed_24(body, 0), body[3:]
    return Packet(PacketKind.FRAME, codec, composition_ms, body) if body else None


def _signed_24(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 3], "big", signed=True)
