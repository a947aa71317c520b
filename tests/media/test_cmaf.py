"""CMAF and MPEG-TS segments against FFmpeg: every frame of the source is decoded from them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sluice_media.formats.cmaf import codec_string, init_segment
from sluice_media.play import hls, ts_hls
from sluice_media.play.dash import Manifest
from sluice_media.play.mpegts import ts_segment
from sluice_media.play.segment import track_name
from sluice_media.play.table import SegmentTable
from tests.support.frames import probe
from tests.support.media_clips import frame_hashes
from tests.support.playback import TsClip, make_ts_clip, parts_of, records, table_of

CLIPS: dict[str, dict[str, Any]] = {
    "H.264 with B-frames, 48 kHz": {},
    "H.264 29.97, 44.1 kHz": {"rate": "30000/1001", "gop": 60, "audio_hz": 44_100},
    "H.264 50 fps": {"rate": "50", "gop": 100},
    "H.264 without B-frames, video only": {"b_frames": 0, "audio_hz": None},
    "HEVC with B-frames": {"video": "libx265", "b_frames": 3},
    "HEVC 29.97": {"video": "libx265", "rate": "30000/1001", "gop": 60, "audio_hz": 44_100},
    "audio only 48 kHz": {"video": None},
    "audio only 44.1 kHz": {"video": None, "audio_hz": 44_100},
}


@pytest.fixture(params=CLIPS.values(), ids=list(CLIPS))
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> TsClip:
    return make_ts_clip(tmp_path / "source.ts", **request.param)


def track_file(table: SegmentTable, clip: TsClip, track: int) -> bytes:
    track_format = next(f for f in clip.formats if f.track == track)
    parts = [data for segment in table.segments for data in parts_of(segment, track)]
    return init_segment(track_format) + b"".join(parts)


def stream_of(track: int) -> str:
    return "a:0" if track else "v:0"


def test_every_frame_is_decoded_as_from_the_source(clip: TsClip, tmp_path: Path) -> None:
    table = table_of(records(clip.formats, clip.units))
    assert len(table.segments) >= 4
    for track_format in clip.formats:
        output = tmp_path / f"{track_format.track}.mp4"
        output.write_bytes(track_file(table, clip, track_format.track))
        want = frame_hashes(clip.path, stream_of(track_format.track))
        assert len(want) > 190
        assert frame_hashes(output, stream_of(track_format.track)) == want


def test_ffprobe_has_no_warning_and_reads_the_times_of_the_units(
    clip: TsClip, tmp_path: Path
) -> None:
    table = table_of(records(clip.formats, clip.units))
    for track_format in clip.formats:
        output = tmp_path / "track.mp4"
        output.write_bytes(track_file(table, clip, track_format.track))
        command = ["ffprobe", "-v", "warning", "-show_entries", "packet=pts,flags"]
        command += ["-of", "csv=p=0", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        found = [line.split(",")[:2] for line in done.stdout.splitlines()]
        units = [u for u in clip.units if u.track == track_format.track]
        is_video = track_format.track == 0
        assert [flags[0] == "K" for _, flags in found] == [
            u.is_random_access or not is_video for u in units
        ]
        # FFmpeg adds the largest negative composition offset to every PTS of a track.
        (late,) = {int(pts) - unit.pts for (pts, _), unit in zip(found, units, strict=True)}
        offsets = [u.pts - u.dts for u in units] if is_video else [0]
        assert late == offsets[0] - min(offsets)


def test_gstreamer_reads_every_sample_with_its_time(clip: TsClip, tmp_path: Path) -> None:
    table = table_of(records(clip.formats, clip.units))
    for track_format in clip.formats:
        output = tmp_path / "track.mp4"
        output.write_bytes(track_file(table, clip, track_format.track))
        pipeline = ["filesrc", f"location={output}", "!", "qtdemux", "!", "fakesink"]
        command = ["gst-launch-1.0", "-v", *pipeline, "silent=false", "sync=false"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "WARNING" not in done.stdout + done.stderr
        chains = re.findall(r"\((\d+) bytes.*? pts: 0:00:([\d.]+), dur", done.stdout)
        units = [u for u in clip.units if u.track == track_format.track]
        assert [int(size) for size, _ in chains] == [len(u.payload) for u in units]
        # As FFmpeg, it adds the largest negative composition offset to every PTS.
        shown = [round(float(pts) * 90_000) for _, pts in chains]
        late = [pts - unit.pts for pts, unit in zip(shown, units, strict=True)]
        assert max(late) - min(late) <= 1


def test_ts_segments_have_the_frames_of_the_cmaf_segments(clip: TsClip, tmp_path: Path) -> None:
    table = table_of(records(clip.formats, clip.units))
    for segment in table.segments:
        parts = {track: parts_of(segment, track) for track in segment.tracks}
        ts = tmp_path / f"{segment.number}.ts"
        ts.write_bytes(ts_segment(clip.formats, parts, shift=segment.shift))
        for track_format in clip.formats:
            track = track_format.track
            cmaf = tmp_path / "segment.mp4"
            cmaf.write_bytes(init_segment(track_format) + b"".join(parts[track]))
            want = frame_hashes(cmaf, stream_of(track), "-c", "copy") if track else None
            assert want is None or len(want) > 10
            assert frame_hashes(ts, stream_of(track)) == frame_hashes(cmaf, stream_of(track))


def test_ts_segments_play_one_after_the_other(clip: TsClip, tmp_path: Path) -> None:
    table = table_of(records(clip.formats, clip.units))
    joined = tmp_path / "joined.ts"
    with joined.open("wb") as output:
        for segment in table.segments:
            parts = {track: parts_of(segment, track) for track in segment.tracks}
            output.write(ts_segment(clip.formats, parts, shift=segment.shift))
    for track_format in clip.formats:
        stream = stream_of(track_format.track)
        assert frame_hashes(joined, stream) == frame_hashes(clip.path, stream)


@pytest.mark.parametrize("entry", ["index.m3u8", "mpegts.m3u8", "index.mpd"])
def test_ffmpeg_plays_the_playlists(entry: str, tmp_path: Path) -> None:
    clip = make_ts_clip(tmp_path / "source.ts")
    table = table_of(records(clip.formats, clip.units))
    folder = tmp_path / table.session
    (folder / "ts").mkdir(parents=True)
    for track_format in clip.formats:
        name = track_name(track_format.track)
        (folder / name).mkdir()
        (folder / name / "init.0.mp4").write_bytes(init_segment(track_format))
        playlist = hls.MediaPlaylist(table, track_format.track)
        (folder / f"{name}.m3u8").write_text(playlist.render())
    for segment in table.segments:
        parts = {track: parts_of(segment, track) for track in segment.tracks}
        for track, data in parts.items():
            (folder / track_name(track) / f"{segment.number}.m4s").write_bytes(b"".join(data))
        ts = ts_segment(clip.formats, parts, shift=segment.shift)
        (folder / "ts" / f"{segment.number}.ts").write_bytes(ts)
    (folder / "mpegts.m3u8").write_text(ts_hls.TsPlaylist(table).render())
    (tmp_path / "index.m3u8").write_text(hls.multivariant(table))
    (tmp_path / "mpegts.m3u8").write_text(ts_hls.multivariant(table))
    (tmp_path / "index.mpd").write_bytes(Manifest(table).render())
    for stream in ("v:0", "a:0"):
        assert frame_hashes(tmp_path / entry, stream) == frame_hashes(clip.path, stream)


def test_the_codec_string_names_the_codec_that_ffprobe_finds(clip: TsClip, tmp_path: Path) -> None:
    table = table_of(records(clip.formats, clip.units))
    for track_format in clip.formats:
        output = tmp_path / "track.mp4"
        output.write_bytes(track_file(table, clip, track_format.track))
        stream = probe(output)["streams"][0]
        tag = stream["codec_tag_string"]
        assert codec_string(track_format).startswith(tag)
        assert stream["profile"]


def test_pixel_aspect_and_colour_are_in_the_init_segment(tmp_path: Path) -> None:
    filters = ",setsar=4/3,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    clip = make_ts_clip(tmp_path / "source.ts", seconds=4, audio_hz=None, filters=filters)
    output = tmp_path / "track.mp4"
    table = table_of(records(clip.formats, clip.units))
    output.write_bytes(track_file(table, clip, 0))
    stream = probe(output)["streams"][0]
    assert stream["sample_aspect_ratio"] == "4:3"
    assert (stream["width"], stream["height"]) == (320, 180)
