"""The multiplexer against FFmpeg: every frame that went in is decoded from what came out."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sluice_media.formats.codecs.h264 import is_random_access
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.units import AccessUnit
from tests.support.media_clips import Clip, frame_hashes, make_clip

WRAP = 1 << 33


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "source.flv")


def shifted(clip: Clip, ticks: int) -> list[AccessUnit]:
    return [replace(u, dts=u.dts + ticks, pts=u.pts + ticks) for u in clip.units]


def probe(path: Path, *options: str) -> dict[str, list[dict[str, Any]]]:
    command = ["ffprobe", "-v", "error", *options, "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("video", "audio_hz"),
    [("640x360", 48_000), ("640x360", 44_100), ("322x182", None), (None, 48_000)],
    ids=["48 kHz", "44.1 kHz", "video only, cropped", "audio only"],
)
def test_every_frame_is_decoded_as_from_the_source(
    tmp_path: Path, video: str | None, audio_hz: int | None
) -> None:
    clip = make_clip(tmp_path / "source.flv", seconds=3, video=video, audio_hz=audio_hz)
    muxer = TsMuxer(clip.formats)
    output = tmp_path / "out.ts"
    output.write_bytes(b"".join(map(muxer.write, shifted(clip, 900_000))))
    for stream in (["v:0"] if video else []) + (["a:0"] if audio_hz else []):
        want = frame_hashes(clip.path, stream)
        assert len(want) > 70
        assert frame_hashes(output, stream) == want


def test_times_are_the_units_own(clip: Clip, tmp_path: Path) -> None:
    muxer = TsMuxer(clip.formats)
    units = shifted(clip, 900_000)
    output = tmp_path / "out.ts"
    output.write_bytes(b"".join(map(muxer.write, units)))
    found = probe(output, "-show_packets", "-select_streams", "v")["packets"]
    want = [(unit.dts, unit.pts, unit.is_random_access) for unit in units if unit.track == 0]
    assert [(p["dts"], p["pts"], p["flags"][0] == "K") for p in found] == want
    streams = probe(output, "-show_streams")["streams"]
    assert [(s["codec_name"], s["id"]) for s in streams] == [("h264", "0x100"), ("aac", "0x101")]


def test_chunks_put_together_decode_across_the_33_bit_wrap(clip: Clip, tmp_path: Path) -> None:
    """Chunks cut anywhere, as a recorder does, their bytes simply joined."""
    muxer = TsMuxer(clip.formats)
    units = shifted(clip, WRAP - 2 * 90_000)
    chunks = [
        b"".join(muxer.write(unit, with_psi=unit is part[0]) for unit in part)
        for part in (units[:41], units[41:150], units[150:])
    ]
    output = tmp_path / "joined.ts"
    output.write_bytes(b"".join(chunks))
    assert frame_hashes(output) == frame_hashes(clip.path)
    assert frame_hashes(output, "a:0") == frame_hashes(clip.path, "a:0")
    remuxed = tmp_path / "out.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(output), "-c", "copy", str(remuxed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    duration = float(probe(remuxed, "-show_streams")["streams"][0]["duration"])
    assert duration == pytest.approx(4, abs=0.05)


def test_intra_refresh_decodes_from_a_recovery_point(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "s.flv", audio_hz=None, gop=25, x264="intra-refresh=1:bframes=0")
    entries = [i for i, u in enumerate(clip.units) if is_random_access(u.payload, 4)]
    assert entries == [0, 25, 50, 75]
