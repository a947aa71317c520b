"""Argument lists for FFmpeg, built with ffmpeg-python (pure).

The options and their reasons were measured:

- ``aac_adtstoasc`` is needed from TS to MP4.
- Probing must reach past the first unit of every track. Audio that began 12 s late gave "sample
  rate not set" and a file of 0 bytes.
- Only tracks that have units may be mapped, each by its PID: FFmpeg numbers tracks in the order in
  which they appear.
- ``copyinkf`` keeps the pictures of a file that lost its first chunk. Without it FFmpeg drops all
  pictures up to the next keyframe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import ffmpeg

from sluice_media.formats.units import Codec

_GLOBAL = ("-hide_banner", "-nostdin", "-loglevel", "warning", "-y")
_CLOCK_JUMP_SECONDS = 12 * 3600
"""Step of one track above which FFmpeg assumes another clock for all tracks. With its default of 10
s, audio that paused for 12 s came back 12 s too early. Gaps are removed before FFmpeg reads the
media, so that the only large step left is the wrap of 2^33 ticks, 26.5 h."""
SCREENSHOT_WIDTH = 1_080
_PROBE_MARGIN_BYTES = 1 << 20
_PROBE_MARGIN_US = 2_000_000
_FRAGMENTED = "+frag_keyframe+delay_moov+default_base_moof"
_AUDIO_FRAGMENT_US = 4_000_000
"""Duration of a fragment of audio. Without it each audio frame, a keyframe, would be a fragment."""


@dataclass(slots=True, frozen=True)
class Mp4Spec:
    """One MP4 and its source of MPEG-TS bytes."""

    output: Path | None
    """Path of the MP4. None for standard output, which cannot seek: the MP4 is then fragmented,
    with one group of pictures and its index in each fragment."""
    tracks: Mapping[int, Codec]
    """Codec by PID, for each track that has units, in the order of the MP4's tracks."""
    title: str
    created_at: datetime
    probe_bytes: int
    """Number of bytes up to and including the first unit of every track."""
    probe_us: int
    """Media time up to that unit, in microseconds."""
    listing: Path | None = None
    """Path of a file with a line ``file:PATH`` for each piece of the input; None for standard
    input."""


def mp4_argv(spec: Mp4Spec) -> list[str]:
    """Return the argument list that copies TS into one MP4, with the index at its beginning.

    FFmpeg reads the pieces with the protocol ``concatf``, byte after byte. The demuxer ``concat``
    would add 0.09 s at every join. A fragmented MP4 needs ``delay_moov``: without it the head is
    written before the first ADTS frame with the audio's configuration, and players refuse the file.

    Raises ValueError when there is no track.
    """
    if not spec.tracks:
        raise ValueError("a file needs at least one track that has units")
    reading: dict[str, object] = {
        "format": "mpegts",
        "probesize": spec.probe_bytes + _PROBE_MARGIN_BYTES,
        "analyzeduration": spec.probe_us + _PROBE_MARGIN_US,
    }
    if spec.listing is not None:
        reading["protocol_whitelist"] = "concatf,file"
    source = ffmpeg.input(
        "pipe:0" if spec.listing is None else f"concatf:{spec.listing}", **reading
    )
    options: dict[str, object] = {
        "format": "mp4",
        "c": "copy",
        "copyinkf": None,
        "movflags": "+faststart" if spec.output is not None else _FRAGMENTED,
        # Two spellings of one option, because ffmpeg-python passes each option once.
        "metadata": f"title={spec.title}",
        "metadata:g": f"creation_time={spec.created_at:%Y-%m-%dT%H:%M:%S.%fZ}",
    }
    codecs = set(spec.tracks.values())
    if Codec.HEVC in codecs:
        options["tag:v"] = "hvc1"  # Apple's players refuse hev1
    if Codec.AAC in codecs:
        options["bsf:a"] = "aac_adtstoasc"
    if spec.output is None and codecs == {Codec.AAC}:
        options["frag_duration"] = _AUDIO_FRAGMENT_US
    tracks = [source[f"i:{pid:#x}"] for pid in spec.tracks]
    place = "pipe:1" if spec.output is None else str(spec.output)
    output = ffmpeg.output(*tracks, place, **options).global_args(
        *_GLOBAL, "-dts_delta_threshold", str(_CLOCK_JUMP_SECONDS)
    )
    return [str(argument) for argument in ffmpeg.compile(output)]


def screenshot_argv() -> list[str]:
    """Return the argument list that decodes the first picture of an MP4 on standard input to a JPEG
    on standard output, at most SCREENSHOT_WIDTH pixels wide."""
    picture = ffmpeg.input("pipe:0", format="mp4", threads=1).video.filter(
        "scale", w=f"min({SCREENSHOT_WIDTH},iw)", h=-2
    )
    output = ffmpeg.output(
        picture, "pipe:1", format="image2pipe", vcodec="mjpeg", vframes=1, **{"q:v": 4}
    ).global_args(*_GLOBAL)
    return [str(argument) for argument in ffmpeg.compile(output)]


def probe_argv(path: Path) -> list[str]:
    """Return the argument list with which ffprobe describes a local file as JSON."""
    return [
        "ffprobe", "-v", "error", "-print_format", "json",
        "-show_format", "-show_streams", "-protocol_whitelist", "file", str(path),
    ]  # fmt: skip
