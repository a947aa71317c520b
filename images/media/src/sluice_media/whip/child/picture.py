"""Pictures: decode them, scale them onto a canvas of constant size, encode at a constant rate."""

from __future__ import annotations

from fractions import Fraction

import av
from av.codec.context import Flags
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.codecs.h264 import NAL_PPS, NAL_SPS, parse_sps
from sluice_media.formats.codecs.parameter_sets import AvcParameterSets
from sluice_media.formats.mpegts.annexb import iter_annexb
from sluice_media.whip.child.options import Shape, TranscodeOptions

_MAX_PIXELS = 4_096 * 2_304
_MAX_ASPECT = 4
"""Maximum ratio of the longer to the shorter side. A longer picture gets bars."""
_RATES = (10, 60)
"""Range of declared frame rates that are trusted."""
_NAL_IDR = 5
_DROPPED_NALS = frozenset({NAL_SPS, NAL_PPS, 9})
"""NAL units that are left out. The format carries the parameter sets, and muxers write their own
access unit delimiters (type 9)."""


class PictureDecoder:
    """A decoder: H.264 in byte stream form in, pictures out, from the first keyframe on."""

    def __init__(self) -> None:
        self._codec = _decoder()
        self._started = False
        self.declared_rate: Fraction | None = None
        """Frame rate of the latest sequence parameter set that declares one."""

    def decode(self, payload: bytes, pts: int) -> list[VideoFrame]:
        """Return the pictures that are complete now.

        The decoder conceals damage where it can. Pictures that it cannot decode are left out.
        """
        try:
            keyframe = self._inspect(payload)
        except CodecError:
            return []
        if not self._started:
            if not keyframe:
                return []
            self._started = True
        packet = av.Packet(payload)
        packet.pts = packet.dts = pts
        try:
            return list(self._codec.decode(packet))
        except av.FFmpegError:
            return []

    def _inspect(self, payload: bytes) -> bool:
        """Return whether it is a keyframe. Raise CodecError when the decoder must not get it."""
        keyframe = False
        for nal in iter_annexb(bytearray(payload), 0):
            nal_type = nal[0] & 0x1F
            keyframe = keyframe or nal_type == _NAL_IDR
            if nal_type == NAL_SPS:
                info = parse_sps(bytes(nal))
                if info.width * info.height > _MAX_PIXELS:
                    raise CodecError(f"a picture of {info.width}x{info.height} is too large")
                if info.frame_rate and _RATES[0] <= info.frame_rate <= _RATES[1]:
                    self.declared_rate = Fraction(info.frame_rate).limit_denominator(1_001)
        return keyframe


def _decoder() -> VideoCodecContext:
    codec = av.CodecContext.create("h264", "r")
    assert isinstance(codec, VideoCodecContext)
    codec.thread_count = 1  # each further thread delays the output by a frame
    codec.flags |= Flags.low_delay
    return codec


def shape_of(frame: VideoFrame, declared_rate: Fraction | None, options: TranscodeOptions) -> Shape:
    """Return the output's size and frame rate, derived from the first picture."""
    if options.shape is not None:
        return options.shape
    short, long = sorted((frame.width, frame.height))
    length = options.lines * min(long / short, _MAX_ASPECT)
    lines, length_even = options.lines & ~1, round(length / 2) * 2
    upright = frame.height > frame.width
    rate = declared_rate or Fraction(options.frame_rate)
    return Shape(
        width=lines if upright else length_even,
        height=length_even if upright else lines,
        rate_numerator=rate.numerator,
        rate_denominator=rate.denominator,
    )


class Canvas:
    """A scaler of pictures onto a constant size, with bars when the aspect ratio differs."""

    def __init__(self, width: int, height: int) -> None:
        self._size = f"{width}:{height}"
        self._graph: Graph | None = None
        self._for: tuple[int, int, str] | None = None

    def fit(self, frame: VideoFrame) -> VideoFrame:
        """Return the scaled picture. Raise av.FFmpegError when it cannot be scaled."""
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is None or kind != self._for:
            self._graph, self._for = self._build(frame), kind
        self._graph.vpush(frame)
        fitted = self._graph.vpull()
        assert isinstance(fitted, VideoFrame)
        # Without this, the encoder would copy the sender's picture types, keyframes included.
        fitted.pict_type = PictureType.NONE
        return fitted

    def _build(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        scale = f"{self._size}:force_original_aspect_ratio=decrease:flags=bilinear"
        graph.link_nodes(
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=Fraction(1, 90_000),
            ),
            graph.add("scale", scale),
            graph.add("format", "yuv420p"),
            graph.add("pad", f"{self._size}:(ow-iw)/2:(oh-ih)/2"),
            graph.add("setsar", "1"),
            graph.add("buffersink"),
        ).configure()
        return graph


class PictureEncoder:
    """An encoder: numbered pictures in, access units in sample form out, without delay."""

    def __init__(self, shape: Shape, options: TranscodeOptions) -> None:
        codec = av.CodecContext.create("libx264", "w")
        assert isinstance(codec, VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt = shape.width, shape.height, "yuv420p"
        codec.framerate, codec.time_base = shape.rate, 1 / shape.rate
        codec.bit_rate = options.video_bitrate_kbps * 1_000
        codec.gop_size = max(1, round(options.gop_seconds * shape.rate))
        codec.max_b_frames = 0
        codec.thread_count = options.threads
        codec.flags |= Flags.global_header
        kbps = str(options.video_bitrate_kbps)
        codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "sc_threshold": "0",
            "maxrate": f"{kbps}k",
            "bufsize": f"{kbps}k",
        }
        codec.open()
        self._codec = codec
        self.config = _avcc(codec.extradata or b"")
        """AVCDecoderConfigurationRecord."""

    def encode(self, frame: VideoFrame, number: int) -> list[tuple[int, bytes, bool]]:
        """Return (number, access unit, is keyframe) for each picture that is ready."""
        frame.pts, frame.time_base = number, self._codec.time_base
        return [
            (packet.pts or 0, _sample(bytes(packet)), packet.is_keyframe)
            for packet in self._codec.encode(frame)
        ]


def _avcc(extradata: bytes) -> bytes:
    sets = AvcParameterSets()
    nals = [bytes(nal) for nal in iter_annexb(bytearray(extradata), 0)]
    sets.take([(nal[0] & 0x1F, nal) for nal in nals if nal[0] & 0x1F in (NAL_SPS, NAL_PPS)])
    config = sets.config()
    if config is None:
        raise CodecError("the encoder has no parameter sets")
    return config


def _sample(stream: bytes) -> bytes:
    return b"".join(
        len(nal).to_bytes(4, "big") + bytes(nal)
        for nal in iter_annexb(bytearray(stream), 0)
        if nal[0] & 0x1F not in _DROPPED_NALS
    )
