"""CMAF boxes, read back by an independent parser (mp4analyzer), and by our own reader."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mp4analyzer.parser import parse_mp4_boxes

from sluice_media.formats.cmaf import (
    ForeignFragment,
    Sample,
    codec_string,
    fragment,
    init_segment,
    read_fragments,
)
from sluice_media.formats.cmaf.sample_entry import complete_hvcc
from sluice_media.formats.codecs import CodecError, h264
from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.h264 import Display, SpsInfo, vui_display
from sluice_media.formats.units import Codec, TrackFormat, TrackKind
from tests.support.ts_samples import AUDIO, AUDIO_44100, HEVC, VIDEO

HE_AAC = bytes.fromhex("2b118800")  # SBR, 24 kHz core, 48 kHz output, stereo
HE_AAC_V2 = bytes.fromhex("eb098800")  # PS and SBR, 24 kHz mono core, 48 kHz output
HE_AAC_COMPATIBLE = bytes.fromhex("131056e598")  # AAC-LC 24 kHz, and SBR behind it

samples = st.lists(
    st.tuples(
        st.integers(0, 20_000),
        st.integers(0, 100_000),
        st.booleans(),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=12,
)


def audio(config: bytes) -> TrackFormat:
    return TrackFormat(1, TrackKind.AUDIO, Codec.AAC, config, 0, 0, 24_000, 2)


def made(rows: list[tuple[int, int, bool, bytes]], start: int, *, is_video: bool) -> list[Sample]:
    found = []
    for duration, ahead, is_sync, payload in rows:
        pts = start + ahead if is_video else start
        found.append(Sample(start, pts, duration, is_sync or not is_video, payload))
        start += duration
    return found


def boxes(data: bytes, folder: Path) -> dict[str, Any]:
    """Return every box that the parser finds, by its path."""
    path = folder / "file.mp4"
    path.write_bytes(data)
    tops = parse_mp4_boxes(str(path))
    found: dict[str, Any] = {}

    def walk(box: Any, above: str) -> None:
        found[above + box.type] = box
        for child in box.children:
            walk(child, f"{above}{box.type}/")

    for top in tops:
        walk(top, "")
    assert sum(top.size for top in tops) == len(data)
    return found


@given(samples, st.integers(0, 1 << 50), st.integers(0, 20_000), st.booleans())
def test_the_reader_returns_the_samples_of_the_writer(
    rows: list[tuple[int, int, bool, bytes]], start: int, shift: int, is_video: bool
) -> None:
    wanted = made(rows, start, is_video=is_video)
    data = fragment(7 << 10 | 3, wanted, is_video=is_video, shift=shift)
    twice = data + fragment(8 << 10, wanted, is_video=is_video, shift=shift)
    first, second = read_fragments(twice, is_video=is_video, shift=shift)
    assert first.samples == second.samples == tuple(wanted)
    assert (first.sequence, second.sequence) == (7 << 10 | 3, 8 << 10)
    assert first.size == len(data)


@given(samples, st.data())
def test_damaged_bytes_are_refused_or_read_without_another_error(
    rows: list[tuple[int, int, bool, bytes]], data: st.DataObject
) -> None:
    whole = bytearray(fragment(1, made(rows, 90_000, is_video=True), is_video=True))
    cut = data.draw(st.integers(1, len(whole)))
    at = data.draw(st.integers(0, cut - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with suppress(ForeignFragment):
        list(read_fragments(bytes(whole[:cut]), is_video=True))


def test_bytes_of_other_writers_are_refused() -> None:
    data = fragment(1, [Sample(0, 0, 10, True, b"x")], is_video=True)
    for foreign in (b"x", bytes(200), data[:-1], data + b"x", init_segment(VIDEO)):
        with pytest.raises(ForeignFragment):
            list(read_fragments(foreign, is_video=True))
    with pytest.raises(ForeignFragment):
        list(read_fragments(data, is_video=False))


def test_a_fragment_has_the_boxes_of_iso_14496_12(tmp_path: Path) -> None:
    rows = [(3_600, 7_200, True, b"key"), (3_600, 0, False, b"b1"), (3_000, 3_600, False, b"p2")]
    wanted = made(rows, 1 << 33, is_video=True)
    data = fragment(5 << 10 | 2, wanted, is_video=True, shift=7_200)
    found = boxes(data, tmp_path)
    assert list(found) == [
        *("moof", "moof/mfhd", "moof/traf"),
        *("moof/traf/tfhd", "moof/traf/tfdt", "moof/traf/trun", "mdat"),
    ]
    assert found["moof/mfhd"].sequence_number == 5 << 10 | 2
    header = found["moof/traf/tfhd"]
    assert (header.track_id, header.flags) == (1, 0x020000)  # default-base-is-moof (8.8.7.1)
    time = found["moof/traf/tfdt"]
    assert (time.version, time.base_media_decode_time) == (1, (1 << 33) + 7_200)
    run = found["moof/traf/trun"]
    assert (run.version, run.flags, run.sample_count) == (1, 0xF01, 3)
    assert run.data_offset == found["moof"].size + 8
    rows_found = struct.iter_unpack(">IIIi", data[found["moof"].size - 48 : found["moof"].size])
    assert list(rows_found) == [
        (3_600, 3, 0x02000000, 0),
        (3_600, 2, 0x01010000, -7_200),
        (3_000, 2, 0x01010000, -3_600),
    ]
    assert data.endswith(b"mdatkeyb1p2")


def test_audio_has_no_composition_offsets_and_every_frame_is_sync(tmp_path: Path) -> None:
    wanted = made([(1_920, 0, True, b"a"), (1_921, 0, True, b"bc")], 90_000, is_video=False)
    found = boxes(fragment(1, wanted, is_video=False, shift=7_200), tmp_path)
    assert found["moof/traf/tfdt"].base_media_decode_time == 90_000  # without a shift
    assert found["moof/traf/tfhd"].flags == 0x020020
    assert found["moof/traf/trun"].flags == 0x301


def test_an_init_segment_of_video(tmp_path: Path) -> None:
    found = boxes(init_segment(VIDEO), tmp_path)
    assert found["ftyp"].compatible_brands == ["iso6", "cmfc", "cmf2"]
    assert "moov/trak/edts" not in found
    assert found["moov/mvhd"].timescale == found["moov/trak/mdia/mdhd"].timescale == 90_000
    assert found["moov/mvhd"].duration == found["moov/trak/tkhd"].duration == 0
    track = found["moov/trak/tkhd"]
    assert (track.width, track.height) == (640 << 16, 360 << 16)  # 16.16
    assert found["moov/trak/mdia/hdlr"].handler == "vide"
    entry = "moov/trak/mdia/minf/stbl/stsd/avc1"
    assert (found[entry].width, found[entry].height) == (640, 360)
    assert found["moov/mvex/trex"].track_id == 1
    tables = "moov/trak/mdia/minf/stbl"
    for table in ("stts", "stsc", "stsz", "stco"):
        assert f"{tables}/{table}" in found


def test_an_init_segment_of_audio(tmp_path: Path) -> None:
    data = init_segment(AUDIO_44100)
    found = boxes(data, tmp_path)
    entry = found["moov/trak/mdia/minf/stbl/stsd/mp4a"]
    assert found["moov/trak/mdia/hdlr"].handler == "soun"
    assert entry.size > 60
    # objectTypeIndication 0x40, audio stream, 1536 bytes of buffer, 6144 bits per frame and channel
    head = b"\x40\x15" + (1_536).to_bytes(3, "big") + (12_288 * 44_100 // 1_024).to_bytes(4, "big")
    assert head + bytes(4) in data
    assert b"\x05\x80\x80\x80\x02\x12\x10" in data


def test_hvc1_declares_complete_parameter_sets(tmp_path: Path) -> None:
    record = complete_hvcc(HEVC.config)
    assert len(record) == len(HEVC.config)
    assert record[23] & 0x80  # array_completeness of the first array
    data = init_segment(HEVC)
    assert record in data
    assert "moov/trak/mdia/minf/stbl/stsd/hvc1" in boxes(data, tmp_path)


@pytest.mark.parametrize(
    ("bits", "want"),
    [
        ("0 0 0", Display()),
        ("1 00001110 0 0", Display(sample_aspect=(4, 3))),
        ("1 00010001 0 0", Display()),  # reserved
        ("1 00000000 0 0", Display()),  # unspecified
        (f"1 11111111 {64:016b} {45:016b} 1 0 0", Display(sample_aspect=(64, 45))),
        (f"1 11111111 {0:016b} {45:016b} 0 0", Display()),
        ("0 0 1 101 1 0", Display(is_full_range=True)),
        ("0 1 1 1 101 0 1 00001001 00010000 00001001", Display(colour=(9, 16, 9))),
    ],
)
def test_the_vui_declares_the_pixel_aspect_and_the_colour(bits: str, want: Display) -> None:
    digits = bits.replace(" ", "").ljust(88, "0")
    assert vui_display(BitReader(int(digits, 2).to_bytes(11, "big"))) == want


def test_a_picture_with_oblong_samples_is_shown_wider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oblong = SpsInfo(640, 360, 25.0, display=Display((4, 3), (1, 1, 1)))
    monkeypatch.setattr(h264, "parse_sps", lambda _: oblong)
    data = init_segment(VIDEO)
    assert boxes(data, tmp_path)["moov/trak/tkhd"].width == 853 << 16
    assert b"pasp" + bytes.fromhex("00000004 00000003") in data
    assert b"colrnclx" + bytes.fromhex("0001 0001 0001 00") in data


@pytest.mark.parametrize(
    ("track_format", "want"),
    [
        (VIDEO, "avc1.64001e"),
        (AUDIO, "mp4a.40.2"),
        (audio(HE_AAC), "mp4a.40.5"),
        (audio(HE_AAC_V2), "mp4a.40.29"),
        (audio(HE_AAC_COMPATIBLE), "mp4a.40.5"),
    ],
)
def test_codec_strings(track_format: TrackFormat, want: str) -> None:
    assert codec_string(track_format) == want


def test_the_codec_string_of_hevc_as_14496_15_annex_e_has_it() -> None:
    config = bytearray(HEVC.config)
    config[1:13] = bytes.fromhex("01 60000000 b00000000000 5d")
    track_format = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, bytes(config), 640, 360)
    assert codec_string(track_format) == "hvc1.1.6.L93.B0"
    config[1:13] = bytes.fromhex("a2 20000000 900000000000 99")
    track_format = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, bytes(config), 640, 360)
    assert codec_string(track_format) == "hvc1.B2.4.H153.90"


@pytest.mark.parametrize("codec", list(Codec))
def test_a_broken_configuration_is_a_codec_error(codec: Codec) -> None:
    kind = TrackKind.AUDIO if codec is Codec.AAC else TrackKind.VIDEO
    track_format = TrackFormat(0, kind, codec, b"", 640, 360)
    with pytest.raises(CodecError):
        codec_string(track_format)
    if codec is not Codec.H264:
        with pytest.raises(CodecError):
            init_segment(track_format)
