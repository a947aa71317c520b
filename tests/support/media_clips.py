"""Real clips for the media tests: encoded by FFmpeg, read as access units, compared by frames.

The tests have their own small FLV reader, so that they do not share a mistake with the tested code.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sluice_media.formats.codecs import aac, h264
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.support import clip_store

__all__ = ["Clip", "frame_hashes", "make_clip", "read_flv"]

_AUDIO_TAG, _VIDEO_TAG = 8, 9
_AS_HASHES = ("-fps_mode", "passthrough", "-f", "framemd5", "-")


@dataclass(slots=True, frozen=True)
class Clip:
    path: Path
    formats: tuple[TrackFormat, ...]
    units: tuple[AccessUnit, ...]


def make_clip(
    path: Path,
    *,
    seconds: float = 4,
    video: str | None = "640x360",
    audio_hz: int | None = 48_000,
    gop: int = 50,
    x264: str = "bframes=2",
) -> Clip:
    """Encode a test picture (25 fps, B-frames) and a tone; None leaves the track out."""
    command = []
    codecs = []
    if video:
        command += ["-f", "lavfi", "-i", f"testsrc2=size={video}:rate=25"]
        codecs += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
        codecs += ["-b:v", "600k", "-g", str(gop), "-x264-params", f"scenecut=0:{x264}"]
    if audio_hz:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={audio_hz}"]
        codecs += ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]
    clip_store.encode([*command, *codecs, "-t", str(seconds), "-f", "flv"], path)
    return read_flv(path)


def read_flv(path: Path) -> Clip:
    data = path.read_bytes()
    formats: dict[int, TrackFormat] = {}
    units: list[AccessUnit] = []
    at = 9 + 4
    while at + 11 <= len(data):
        kind = data[at]
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        dts_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        body = data[at + 11 : at + 11 + size]
        at += 11 + size + 4
        if kind == _VIDEO_TAG and body[0] & 0xF == 7:
            if body[1] == 0:
                avc = h264.parse_avcc(body[5:])
                formats[0] = TrackFormat(
                    0, TrackKind.VIDEO, Codec.H264, body[5:], avc.width, avc.height
                )
            elif body[1] == 1:
                offset_ms = int.from_bytes(body[2:5], "big", signed=True)
                units.append(_unit(0, dts_ms, dts_ms + offset_ms, body[0] >> 4 == 1, body[5:]))
        elif kind == _AUDIO_TAG and body[0] >> 4 == 10:
            if body[1] == 0:
                asc = aac.parse_asc(body[2:])
                formats[1] = TrackFormat(
                    1, TrackKind.AUDIO, Codec.AAC, body[2:], 0, 0, asc.sample_rate, asc.channels
                )
            elif body[2:]:
                units.append(_unit(1, dts_ms, dts_ms, False, body[2:]))
    if 0 not in formats:
        units = [_unit(1, u.dts // 90, u.pts // 90, True, u.payload) for u in units]
    return Clip(path, tuple(formats[track] for track in sorted(formats)), tuple(units))


def _unit(track: int, dts_ms: int, pts_ms: int, key: bool, payload: bytes) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(track, dts_ms * 90, pts_ms * 90, flags, 0, payload)


def frame_hashes(path: Path, stream: str = "v:0", *options: str) -> list[str]:
    """Return a hash of each decoded frame, in order; with the options "-c" and "copy", of each
    coded frame. Fail on any decoding error."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:{stream}", *options, *_AS_HASHES],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if line and line[0] != "#"]
