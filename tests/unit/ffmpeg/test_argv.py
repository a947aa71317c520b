"""The argument lists, as FFmpeg gets them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice_media.ffmpeg.argv import Mp4Spec, mp4_argv
from sluice_media.formats.units import Codec

SPEC = Mp4Spec(
    output=Path("/scratch/r-001.mp4"),
    tracks={0x100: Codec.H264, 0x101: Codec.AAC},
    title="Stream Record: -y; rm, 2026-05-01 12:00:00 UTC",
    created_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    probe_bytes=1000,
    probe_us=12_000_000,
)


def pairs(argv: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(argv))


def test_copies_into_an_mp4_with_its_index_in_front() -> None:
    argv = mp4_argv(SPEC)
    for pair in [
        ("-f", "mpegts"), ("-i", "pipe:0"), ("-c", "copy"),
        ("-map", "0:i:0x100"), ("-map", "0:i:0x101"),
        ("-movflags", "+faststart"), ("-bsf:a", "aac_adtstoasc"), ("-f", "mp4"),
        ("-metadata", f"title={SPEC.title}"),
        ("-metadata:g", "creation_time=2026-05-01T12:00:00.000000Z"),
    ]:  # fmt: skip
        assert pair in pairs(argv)
    assert str(SPEC.output) in argv
    assert "hvc1" not in argv


def test_probes_beyond_the_first_unit_of_every_track() -> None:
    options = dict(pairs(mp4_argv(SPEC)))
    assert int(options["-probesize"]) > SPEC.probe_bytes
    assert int(options["-analyzeduration"]) > SPEC.probe_us


def test_pieces_are_read_byte_after_byte_from_local_files_only() -> None:
    argv = mp4_argv(replace(SPEC, listing=Path("/scratch/r-001.chunks")))
    assert ("-i", "concatf:/scratch/r-001.chunks") in pairs(argv)
    assert ("-protocol_whitelist", "concatf,file") in pairs(argv)


def test_hevc_is_tagged_as_players_want_it() -> None:
    assert ("-tag:v", "hvc1") in pairs(mp4_argv(replace(SPEC, tracks={0x100: Codec.HEVC})))


def test_tracks_are_mapped_by_pid_and_no_other_is() -> None:
    argv = mp4_argv(replace(SPEC, tracks={0x100: Codec.H264, 0x102: Codec.AAC, 0x101: Codec.AAC}))
    mapped = [value for option, value in pairs(argv) if option == "-map"]
    assert mapped == ["0:i:0x100", "0:i:0x102", "0:i:0x101"]


def test_pictures_alone_have_no_filter_of_sound() -> None:
    assert "-bsf:a" not in mp4_argv(replace(SPEC, tracks={0x100: Codec.H264}))


def test_no_track_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one track"):
        mp4_argv(replace(SPEC, tracks={}))
