"""Framing of a leg: records in, bytes out, and back (sans-io).

The layout of the records is that of the timeline (:mod:`.framing`). A leg has three types:
``format`` (a LegFormat, always the first record), ``unit`` (in source times) and ``end`` (a LegEnd:
the gateway cannot make units of the publisher's media). The hub trusts none of it: it checks
tracks, times and payloads here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import ValidationError

from sluice_media.contract import LegEnd, LegFormat, LegReason, Model
from sluice_media.formats.codecs import CodecError, aac, h264, hevc
from sluice_media.formats.codecs.nal import iter_nal_units
from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    Codec,
    TrackFormat,
    TrackKind,
    UnitFlags,
)
from sluice_media.timeline.framing import (
    UNIT_HEAD,
    FramingError,
    RecordCutter,
    RecordType,
    encode_body,
    track_formats,
    track_infos,
)

LEG_PROTOCOL = "sluice-leg"
"""Name of the protocol in an HTTP Upgrade."""
VIDEO_TRACK = 0
MAX_TRACKS = 16
MAX_RECORD_BYTES = 8 << 20
"""Maximum size of a record, that of an FLV tag."""
MAX_COMPOSITION_TICKS = 3_600 * TICKS_PER_SECOND
MAX_TICKS = 1 << 56
"""Maximum of a source time, positive or negative. It is a thousand times the range of RTP's and
MPEG's clocks, and sums of such times stay far within 64 bits."""
MAX_MESSAGE_CHARS = 300
MAX_CODEC_CHARS = 64
"""Maximum length in a status."""

_CODECS = frozenset(Codec)
_AUDIO_CODECS = frozenset({Codec.AAC})
_KNOWN_FLAGS = int(UnitFlags.RANDOM_ACCESS | UnitFlags.DISCONTINUITY)
_REJECTIONS = frozenset({LegReason.BAD_MEDIA, LegReason.UNSUPPORTED_CODEC})

M = TypeVar("M", bound=Model)


class LegMediaRejected(Exception):  # noqa: N818  says what it is
    """The media of a leg cannot be carried; ``reason`` is BadMedia or UnsupportedCodec."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class LegFormats:
    """All tracks of the leg from now on."""

    formats: tuple[TrackFormat, ...]
    has_video: bool | None = None
    left_out: str = ""
    """Codec of the publisher's sound that is not carried; empty when there is none."""
    picture_comes: bool = False
    """True when the gateway has received bytes of a picture that is not complete."""


LegEvent = LegFormats | AccessUnit


def encode_formats(
    formats: Sequence[TrackFormat],
    has_video: bool | None = None,
    left_out: str = "",
    *,
    picture_comes: bool = False,
) -> bytes:
    record = LegFormat(
        tracks=track_infos(formats),
        has_video=has_video,
        left_out=left_out,
        picture_comes=picture_comes,
    )
    return encode_body(RecordType.FORMAT, record.to_json().encode())


def encode_rejection(reason: str, message: str) -> bytes:
    record = LegEnd(reason=reason, message=message[:MAX_MESSAGE_CHARS])
    return encode_body(RecordType.END, record.to_json().encode())


class LegDecoder:
    """The decoder of a leg. :meth:`feed` accepts any split of the stream."""

    def __init__(self) -> None:
        self._cutter = RecordCutter(MAX_RECORD_BYTES)
        self._nal_length_sizes: dict[int, int] | None = None
        """NAL unit length size by track; 0 for audio. None before the first ``format``."""

    def feed(self, data: bytes, utc_us: int) -> Iterator[LegEvent]:
        """Yield the complete events. ``utc_us`` becomes the arrival time of the units.

        Raises LegMediaRejected for bytes that are not a well-formed leg, for an unknown codec, and
        for media that the gateway rejects.
        """
        try:
            for type_, body in self._cutter.feed(data):
                yield self._event(type_, body, utc_us)
        except (FramingError, CodecError) as broken:
            raise LegMediaRejected(LegReason.BAD_MEDIA, f"The leg is broken: {broken}.") from broken

    def _event(self, type_: int, body: bytes, utc_us: int) -> LegEvent:
        if type_ == RecordType.UNIT:
            return self._unit(body, utc_us)
        if type_ == RecordType.FORMAT:
            return self._formats(_parsed(LegFormat, body))
        if type_ == RecordType.END:
            end = _parsed(LegEnd, body)
            if end.reason not in _REJECTIONS:
                raise FramingError("an end with an unknown reason")
            raise LegMediaRejected(end.reason, end.message[:MAX_MESSAGE_CHARS])
        raise FramingError(f"a record of type {type_} does not belong in a leg")

    def _unit(self, body: bytes, utc_us: int) -> AccessUnit:
        if self._nal_length_sizes is None:
            raise FramingError("a unit before the format")
        if len(body) <= UNIT_HEAD.size:
            raise FramingError("a unit without a payload")
        track, flags, dts, pts, _ = UNIT_HEAD.unpack_from(body)
        size = self._nal_length_sizes.get(track)
        if size is None:
            raise FramingError(f"a unit of track {track}, which the format does not have")
        if flags & ~_KNOWN_FLAGS:
            raise FramingError("a unit with unknown flags")
        if abs(dts) > MAX_TICKS or abs(pts - dts) > MAX_COMPOSITION_TICKS:
            raise FramingError("a unit with an impossible time")
        payload = body[UNIT_HEAD.size :]
        if size:
            for _nal in iter_nal_units(payload, size):
                pass
        return AccessUnit(track, dts, pts, UnitFlags(flags), utc_us, payload)

    def _formats(self, record: LegFormat) -> LegFormats:
        if len(record.tracks) > MAX_TRACKS:
            raise FramingError(f"more than {MAX_TRACKS} tracks")
        for info in record.tracks:
            if info.codec not in _CODECS:
                raise LegMediaRejected(
                    LegReason.UNSUPPORTED_CODEC,
                    f"The {_plain(info.kind)} is {_plain(info.codec)}; "
                    "Sluice takes H.264, HEVC and AAC.",
                )
        checked = [_checked(format_) for format_ in track_formats(record.tracks)]
        sizes = {format_.track: size for format_, size in checked}
        if len(sizes) != len(checked):
            raise FramingError("two tracks with the same number")
        self._nal_length_sizes = sizes
        formats = tuple(format_ for format_, _ in checked)
        left_out = _plain(record.left_out, " ,", MAX_CODEC_CHARS)
        return LegFormats(formats, record.has_video, left_out, record.picture_comes)


def _checked(format_: TrackFormat) -> tuple[TrackFormat, int]:
    """Return the format as its configuration defines it, and the size of a NAL unit's length.

    The size is 0 for audio. Raises FramingError and CodecError.
    """
    is_audio = format_.codec in _AUDIO_CODECS
    if (format_.kind is TrackKind.AUDIO) is not is_audio:
        raise FramingError(f"the codec {format_.codec} in a track of kind {format_.kind}")
    if (format_.track == VIDEO_TRACK) is is_audio or not 0 <= format_.track < MAX_TRACKS:
        raise FramingError(f"the number {format_.track} for a track of kind {format_.kind}")
    if is_audio:
        audio = aac.parse_asc(format_.config)
        return replace(
            format_, width=0, height=0, sample_rate=audio.sample_rate, channels=audio.channels
        ), 0
    parse = h264.parse_avcc if format_.codec is Codec.H264 else hevc.parse_hvcc
    video = parse(format_.config)
    return replace(
        format_, width=video.width, height=video.height, sample_rate=0, channels=0
    ), video.nal_length_size


def _parsed(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as invalid:
        raise FramingError(f"a {model.__name__} that cannot be parsed") from invalid


def _plain(word: str, others: str = "", size: int = 32) -> str:
    """Return a text from a peer, made safe for a status."""
    allowed = ".-" + others
    fit = (c if c.isascii() and (c.isalnum() or c in allowed) else "?" for c in word[:size])
    return "".join(fit)
