"""Streams of other multiplexers: what they leave out, do otherwise, and carry besides."""

from __future__ import annotations

import pytest

from sluice_media.formats.errors import UnsupportedCodec
from sluice_media.formats.events import Metadata
from sluice_media.formats.mpegts.crc import crc32_mpeg2
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from tests.support import flv_samples as s
from tests.support.ts_samples import (
    AAC_ONLY,
    AUDIO,
    CUT,
    FRAME,
    H264_ONLY,
    HEVC,
    KEY,
    PPS,
    SPS,
    VIDEO,
    adts,
    annexb,
    broadcast,
    by_track,
    formats_of,
    mux,
    pes,
    picture,
    pid_of,
    program,
    read,
    sound,
    split,
    ts_of_pes,
    units_of,
)


def test_random_access_is_read_from_the_bitstream() -> None:
    recovery = bytes.fromhex("060601c480")
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(b"\x41\x9a"), FRAME),
        pes(annexb(recovery, b"\x41\x9a"), 2 * FRAME),
    )
    assert [unit.flags for unit in units_of(read(stream))] == [KEY, UnitFlags.NONE, KEY]


def test_start_codes_of_both_lengths_padding_delimiters_and_filler() -> None:
    payload = b"\x00\x00\x00\x01\x09\xf0" + b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x01" + PPS
    payload += b"\x00\x00\x00\x00\x00\x01\x0c\xff\xff\x80" + b"\x00\x00\x01\x65\x88\x80\x00\x00\x00"
    [unit] = units_of(read(H264_ONLY + ts_of_pes(0x100, pes(payload, 0))))
    assert unit.payload == s.sample(b"\x65\x88\x80")


def test_units_before_the_parameter_sets_are_left_out() -> None:
    demuxer = TsDemuxer()
    stream = H264_ONLY + ts_of_pes(
        0x100, pes(annexb(b"\x41\x9a"), 0), pes(annexb(SPS, PPS, b"\x65\x88"), FRAME)
    )
    [unit] = units_of(read(stream, demuxer=demuxer))
    assert (unit.dts, unit.flags) == (FRAME, KEY)
    assert demuxer.dropped_units == 1


def test_a_picture_without_a_time_gets_one_between_its_neighbours() -> None:
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(b"\x41\x9a"), None),
        pes(annexb(b"\x41\x9a"), 2 * FRAME),
    )
    assert [(u.dts, u.flags) for u in units_of(read(stream))] == [
        (0, KEY), (FRAME, UnitFlags.NONE), (2 * FRAME, UnitFlags.NONE),
    ]  # fmt: skip


def test_another_size_in_the_middle_is_a_new_format_and_a_repetition_is_none() -> None:
    sps_1080, pps_1080 = s.AVCC_1080[8 : 8 + 25], s.AVCC_1080[36 : 36 + 6]
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(SPS, PPS, b"\x65\x88"), FRAME),
        pes(annexb(sps_1080, pps_1080, b"\x65\x88"), 2 * FRAME),
    )
    kinds = [(type(e).__name__, getattr(e, "width", 0)) for e in read(stream)[1:]]
    assert kinds == [
        ("TrackFormat", 640), ("AccessUnit", 0), ("AccessUnit", 0),
        ("TrackFormat", 1920), ("AccessUnit", 0),
    ]  # fmt: skip


def test_a_picture_parameter_set_that_comes_later_is_added_once() -> None:
    second_pps = bytes.fromhex("685a6e2c22c0")  # the same with the id 1
    group = [annexb(SPS, PPS, b"\x65\x88"), annexb(second_pps, b"\x41\x9a")]
    stream = H264_ONLY + ts_of_pes(
        0x100, *(pes(payload, i * FRAME) for i, payload in enumerate(group * 3))
    )
    first, second = formats_of(read(stream))
    assert len(second.config) == len(first.config) + 2 + len(second_pps)


def test_several_audio_frames_in_one_packet_get_times_of_their_own() -> None:
    frames = [bytes((0x21, n)) * 40 for n in range(6)]
    joined = [b"".join(map(adts, frames[:3])), b"".join(map(adts, frames[3:]))]
    stream = AAC_ONLY + ts_of_pes(
        0x101,
        pes(joined[0], 900_000, stream_id=0xC0, bounded=True),
        pes(joined[1], 900_000 + 3 * 1_920, stream_id=0xC0, bounded=True),
    )
    units = units_of(read(stream))
    assert [unit.dts for unit in units] == [900_000 + i * 1_920 for i in range(6)]
    assert [unit.payload for unit in units] == frames


def test_audio_frames_that_go_on_in_the_next_packet() -> None:
    frames = [bytes((0x21, n)) * 100 for n in range(8)]
    raw = b"".join(map(adts, frames))
    # Packets of 300 bytes. The time is that of the first frame that begins in the packet.
    starts = {at: -(-at // 207) for at in range(0, len(raw), 300)}
    packets = [
        pes(raw[at : at + 300], 1_920 * frame, stream_id=0xC0, bounded=True)
        for at, frame in starts.items()
    ]
    units = units_of(read(AAC_ONLY + ts_of_pes(0x101, *packets)))
    assert [(unit.dts, unit.payload) for unit in units] == [
        (i * 1_920, frame) for i, frame in enumerate(frames)
    ]


def test_a_checksum_in_the_audio_header_is_taken_off() -> None:
    stream = AAC_ONLY + ts_of_pes(0x101, pes(adts(s.SOUND, crc=True), 0, stream_id=0xC0))
    assert [unit.payload for unit in units_of(read(stream))] == [s.SOUND]


def test_garbage_between_audio_frames_is_passed_over_and_flagged() -> None:
    raw = adts(s.SOUND) + b"\xff\xf1garbage" + adts(s.SOUND) + adts(s.SOUND)
    demuxer = TsDemuxer()
    stream = AAC_ONLY + ts_of_pes(
        0x101, pes(raw, 0, stream_id=0xC0), pes(adts(s.SOUND) * 2, 90_000, stream_id=0xC0)
    )
    units = units_of(read(stream, demuxer=demuxer))
    assert [(u.dts, u.flags) for u in units] == [
        (0, UnitFlags.NONE), (90_000, CUT), (91_920, UnitFlags.NONE),
    ]  # fmt: skip
    assert demuxer.dropped_units


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ([(0x02, 0x100, b"")], "MPEG-2 video"),
        ([(0x02, 0x100, b""), (0x81, 0x101, b"")], "MPEG-2 video, AC-3"),
        ([(0x06, 0x100, b"\x05\x04Opus")], "Opus"),
        ([(0x06, 0x100, b"\x0a\x04deu\x00\x6a\x01\x00")], "AC-3"),
        ([(0x06, 0x100, b"\x05\x04AV01")], "AV1"),
    ],
)
def test_a_program_with_nothing_we_carry_is_refused_by_name(
    streams: list[tuple[int, int, bytes]], words: str
) -> None:
    with pytest.raises(UnsupportedCodec, match=f"The stream is {words};"):
        read(program(*streams) + mux(broadcast(5)))


def test_what_we_do_not_carry_is_left_out_beside_what_we_do() -> None:
    tables = program((0x86, 0x50, b""), (0x1B, 0x100, b""), (0x81, 0x200, b""), (0x06, 0x201, b""))
    events = read(tables + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0)))
    assert events[0] == Metadata(declares_video=True)
    assert len(units_of(events)) == 1


@pytest.mark.parametrize(
    ("kind", "described", "name"),
    [
        (0x03, b"", "MPEG audio"),
        (0x04, b"", "MPEG audio"),
        (0x11, b"", "AAC in LATM"),
        (0x81, b"", "AC-3"),
        (0x06, b"\x6a\x01\x00", "AC-3"),
        (0x06, b"\x05\x04AC-3", "AC-3"),
        (0x06, b"\x05\x04Opus", "Opus"),
    ],
)
def test_sound_that_is_not_carried_is_named_and_does_not_cost_the_picture(
    kind: int, described: bytes, name: str
) -> None:
    demuxer = TsDemuxer()
    tables = program((0x1B, 0x100, b""), (kind, 0x101, described))
    stream = tables + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    assert len(units_of(read(stream, demuxer=demuxer))) == 1
    assert demuxer.left_out == name


def test_sound_beside_sound_that_is_carried_is_no_matter() -> None:
    demuxer = TsDemuxer()
    read(program((0x0F, 0x101, b""), (0x81, 0x102, b""), (0x02, 0x103, b"")), demuxer=demuxer)
    assert demuxer.left_out == ""


def test_a_program_of_data_only_is_no_error() -> None:
    assert read(program((0x86, 0x50, b""), (0x06, 0x51, b"")) * 3) == [Metadata()]


def test_null_packets_and_unknown_pids_are_ignored() -> None:
    noise = b"\x47\x1f\xff\x10" + bytes(184) + b"\x47\x01\x77\x1a" + bytes(184)
    stream = b"".join(noise + packet for packet in split(mux(broadcast())))
    assert by_track(units_of(read(stream))) == by_track(broadcast())


def test_hevc_named_by_a_registration_only() -> None:
    units = [picture(0, s.HEVC_IDR, key=True)]
    stream = program((0x06, 0x100, b"\x05\x04HEVC")) + b"".join(
        packet for packet in split(mux(units, HEVC)) if pid_of(packet) == 0x100
    )
    assert units_of(read(stream)) == units


def test_new_pids_in_a_new_table_carry_the_same_tracks_on() -> None:
    first = H264_ONLY + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    tables = program((0x0F, 0x201, b""), (0x1B, 0x200, b""))
    second = tables + ts_of_pes(0x200, pes(annexb(SPS, PPS, b"\x65\x88"), FRAME))
    demuxer = TsDemuxer()
    events = read(first + second, demuxer=demuxer)
    assert [type(e) for e in events] == [Metadata, TrackFormat, AccessUnit, Metadata, AccessUnit]
    assert events[3] == Metadata(declares_video=True, declares_audio=True)
    assert [unit.flags for unit in units_of(events)] == [KEY, KEY | CUT]
    assert demuxer.formats == (VIDEO,)


def test_a_track_that_goes_is_no_format_any_more() -> None:
    demuxer = TsDemuxer()
    read(mux(broadcast(5)) + AAC_ONLY + mux([sound(0)], AUDIO), demuxer=demuxer)
    assert demuxer.formats == (AUDIO,)


def test_a_table_across_packets_and_one_with_a_broken_checksum() -> None:
    described = b"\x05\x04HDMV" + b"\x80\xc8" + bytes(200)
    length = 9 + 5 + len(described) + 4
    section = b"\x02" + (0xB000 | length).to_bytes(2, "big") + b"\x00\x01\xc1\x00\x00\xe1\x00"
    section += b"\xf0\x00\x1b\xe1\x00" + (0xF000 | len(described)).to_bytes(2, "big") + described
    section += crc32_mpeg2(section).to_bytes(4, "big")
    pat = H264_ONLY[:188]
    first = b"\x47\x50\x00\x10\x00" + section[:183]
    rest = (b"\x47\x10\x00\x11" + section[183:]).ljust(188, b"\xff")
    media = ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    assert len(units_of(read(pat + first + first + rest + media))) == 1
    broken = rest[:20] + b"\x55" + rest[21:]
    assert not units_of(read(pat + first + broken + media))
