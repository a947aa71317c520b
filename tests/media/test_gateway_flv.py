"""FLV as FFmpeg writes and reads it: our demuxer agrees with ffprobe, our muxer with FFmpeg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sluice_media.formats.flv import FILE_HEADER, FlvDemuxer, FlvMuxer, TagReader, encode_tag
from sluice_media.formats.units import AccessUnit, TrackFormat

ENCODERS = {
    "b-frames": "-c:v libx264 -preset ultrafast -x264-params bframes=2:scenecut=0 -g 25",
    "intra refresh": "-c:v libx264 -preset ultrafast -x264-params intra-refresh=1:bframes=0 -g 25",
    "no video": "-vn",
    "no audio": "-c:v libx264 -preset ultrafast -g 25 -an",
}


def encode(path: Path, options: str) -> None:
    command = "ffmpeg -v error -y -f lavfi -i testsrc2=s=320x180:r=25 "
    command += "-f lavfi -i sine=sample_rate=44100 -t 4 -pix_fmt yuv420p -c:a aac "
    subprocess.run(
        [*command.split(), *options.split(), "-f", "flv", str(path)], check=True, timeout=60
    )


def packets(path: Path) -> list[dict[str, str]]:
    entries = "packet=codec_type,dts,pts,flags,size"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(path)]
    found = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return list(json.loads(found.stdout)["packets"])


def demux(path: Path) -> tuple[tuple[TrackFormat, ...], list[AccessUnit]]:
    demuxer = FlvDemuxer()
    units = []
    for tag in TagReader().feed(path.read_bytes()):
        events = demuxer.feed(tag.type_id, tag.timestamp_ms, tag.payload, 0)
        units += [e for e in events if isinstance(e, AccessUnit)]
    assert demuxer.dropped_units == 0
    return demuxer.formats, units


@pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS.keys())
def test_our_demuxer_sees_what_ffprobe_sees(options: str, tmp_path: Path) -> None:
    source = tmp_path / "a.flv"
    encode(source, options)
    formats, units = demux(source)
    want = packets(source)
    for track, kind in ((0, "video"), (1, "audio")):
        mine = [u for u in units if u.track == track]
        theirs = [p for p in want if p["codec_type"] == kind]
        assert len(mine) == len(theirs)
        assert bool(mine) == any(f.track == track for f in formats)
        assert [len(u.payload) for u in mine] == [int(p["size"]) for p in theirs]
        for unit, packet in zip(mine, theirs, strict=True):
            # Pictures to the millisecond; sound is counted in samples, within 2 ms of it.
            slack = 0 if kind == "video" else 180
            assert abs(unit.dts - int(packet["dts"]) * 90) <= slack
            assert abs(unit.pts - int(packet["pts"]) * 90) <= slack
        if kind == "video" and "intra-refresh" not in options:
            keys = [p["flags"].startswith("K") for p in theirs]
            assert [u.is_random_access for u in mine] == keys
        elif kind == "video" and mine:
            # One IDR picture; the rest are recovery points, which FLV calls inter frames.
            assert sum(u.is_random_access for u in mine) >= 4


@pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS.keys())
def test_what_we_mux_ffmpeg_decodes_to_the_same_frames(options: str, tmp_path: Path) -> None:
    source, ours = tmp_path / "a.flv", tmp_path / "b.flv"
    encode(source, options)
    formats, units = demux(source)
    muxer = FlvMuxer()
    tags = muxer.start(formats)
    tags += [tag for unit in units if (tag := muxer.unit(unit)) is not None]
    ours.write_bytes(
        FILE_HEADER + b"".join(encode_tag(t.type_id, t.timestamp_ms, t.payload) for t in tags)
    )

    def frames(path: Path) -> list[list[str]]:
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "framehash", "-"]
        run = subprocess.run(command, check=True, capture_output=True, timeout=60, text=True)
        assert run.stderr == ""
        rows = [r.split(",") for r in run.stdout.splitlines() if not r.startswith("#")]
        return [[row[0].strip(), row[-1].strip()] for row in rows]

    assert sorted(frames(ours)) == sorted(frames(source))
    assert [p["flags"][0] for p in packets(ours) if p["codec_type"] == "audio"] == [
        p["flags"][0] for p in packets(source) if p["codec_type"] == "audio"
    ]
