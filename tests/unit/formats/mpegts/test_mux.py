"""The multiplexer, packet by packet, read back with a parser of the test's own."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.crc import crc32_mpeg2
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.support.ts_packets import (
    AUDIO,
    PPS,
    SPS,
    VIDEO,
    audio,
    check_counters,
    packets,
)

START = b"\x00\x00\x00\x01"
AUD = START + b"\x09\xf0"
WRAP = 1 << 33


@dataclass(slots=True)
class Pes:
    pts: int
    dts: int
    payload: bytes


def timestamp(raw: bytes) -> int:
    assert raw[0] & raw[2] & raw[4] & 1  # marker bits
    return (raw[0] >> 1 & 7) << 30 | raw[1] << 22 | (raw[2] >> 1) << 15 | raw[3] << 7 | raw[4] >> 1


def pes_packets(stream: bytes, pid: int) -> list[Pes]:
    raw: list[bytearray] = []
    for packet in packets(stream):
        if packet.pid == pid and packet.has_payload:
            if packet.unit_start:
                raw.append(bytearray())
            raw[-1] += packet.payload
    found = []
    for data in map(bytes, raw):
        assert data[:3] == b"\x00\x00\x01"
        length = int.from_bytes(data[4:6], "big")
        assert length in (0, len(data) - 6)
        pts = timestamp(data[9:14])
        dts = timestamp(data[14:19]) if data[7] & 0x40 else pts
        found.append(Pes(pts, dts, data[9 + data[8] :]))
    return found


def nal(*nals: bytes) -> bytes:
    return b"".join(len(n).to_bytes(4, "big") + n for n in nals)


def video(
    dts: int, payload: bytes = nal(b"\x41\x9a"), *, key: bool = False, pts: int = -1
) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(0, dts, dts if pts < 0 else pts, flags, 0, payload)


def write(units: Iterable[AccessUnit], *formats: TrackFormat) -> bytes:
    muxer = TsMuxer(formats or (VIDEO, AUDIO))
    return b"".join(muxer.write(unit) for unit in units)


def test_a_key_picture_comes_with_everything_a_decoder_needs_to_start() -> None:
    idr = b"\x65" + b"\x88" * 500
    found = list(packets(stream := write([video(900_000, nal(idr), key=True, pts=903_600)])))
    assert [p.pid for p in found][:3] == [0, 0x1000, 0x100]
    assert found[2].flags == 0x50  # random access, PCR
    assert found[2].pcr == 900_000 - 63_000
    [pes] = pes_packets(stream, 0x100)
    assert (pes.pts, pes.dts) == (903_600, 900_000)
    assert pes.payload == AUD + START + SPS + START + PPS + START + idr


def test_delimiters_and_parameter_sets_of_the_encoder_are_not_doubled() -> None:
    payload = nal(b"\x09\x10", SPS, PPS, b"\x65\x11")
    [pes] = pes_packets(write([video(0, payload, key=True)]), 0x100)
    assert pes.payload == AUD + START + SPS + START + PPS + START + b"\x65\x11"


def test_an_audio_frame_gets_an_adts_header() -> None:
    [pes] = pes_packets(write([audio(90)]), 0x101)
    assert pes.payload[:2] == b"\xff\xf1"
    assert (pes.payload[3] & 3) << 11 | pes.payload[4] << 3 | pes.payload[5] >> 5 == 307
    assert pes.payload[7:] == b"\x21" * 300


def test_the_tables_name_the_tracks() -> None:
    by_pid = {p.pid: p for p in packets(write([video(0, key=True)]))}
    pat, pmt = by_pid[0].payload, by_pid[0x1000].payload
    pat_section, pmt_section = pat[1 : 4 + pat[3]], pmt[1 : 4 + pmt[3]]
    assert crc32_mpeg2(pat_section) == crc32_mpeg2(pmt_section) == 0
    assert pat_section[8:12] == bytes.fromhex("0001 f000")
    assert pmt_section[8:-4] == bytes.fromhex("e100 f000  1b e100 f000  0f e101 f000")


def test_the_crc_is_that_of_the_catalogue() -> None:
    assert crc32_mpeg2(b"123456789") == 0x0376E6E7


def test_tables_come_with_key_pictures_and_every_half_second() -> None:
    units = [video(i * 3_600, key=i == 40) for i in range(60)]
    muxer = TsMuxer((VIDEO, AUDIO))
    with_tables = [i for i, u in enumerate(units) if next(packets(muxer.write(u))).pid == 0]
    assert with_tables == [0, 13, 26, 39, 40, 53]


def test_tables_come_when_asked_for() -> None:
    muxer = TsMuxer((VIDEO, AUDIO))
    muxer.write(video(0, key=True))
    assert next(packets(muxer.write(video(3_600)))).pid == 0x100
    assert next(packets(muxer.write(video(7_200), with_psi=True))).pid == 0


@pytest.mark.parametrize("frame_ticks", [1_500, 3_003, 3_600, 7_500, 90_000])
def test_the_clock_comes_every_100_ms_never_back_and_never_after_a_dts(frame_ticks: int) -> None:
    units = sorted(
        [video(i * frame_ticks, key=i % 50 == 0) for i in range(200)]
        + [audio(i * 1_920) for i in range(200 * frame_ticks // 1_920)],
        key=lambda unit: unit.dts,
    )
    muxer = TsMuxer((VIDEO, AUDIO))
    clocks: list[tuple[int, int]] = []
    for unit in units:
        clocks += [
            ((p.pcr + 63_000) % WRAP, unit.dts)
            for p in packets(muxer.write(unit))
            if p.pcr is not None
        ]
    times = [pcr for pcr, _ in clocks]
    assert all(pcr <= dts for pcr, dts in clocks)
    assert max(b - a for a, b in itertools.pairwise(times)) <= 10_000
    assert times == sorted(set(times))


def test_a_flagged_unit_announces_the_discontinuity() -> None:
    unit = AccessUnit(0, 0, 0, UnitFlags.DISCONTINUITY | UnitFlags.RANDOM_ACCESS, 0, nal(b"\x65"))
    first = next(p for p in packets(write([unit])) if p.pid == 0x100)
    assert first.flags == 0xD0


def test_times_wrap_at_33_bits() -> None:
    stream = write([video(WRAP - 1_800 + i * 3_600, key=i == 0) for i in range(3)])
    assert [p.dts for p in pes_packets(stream, 0x100)] == [WRAP - 1_800, 1_800, 5_400]


def test_audio_alone_carries_the_clock_and_the_tables() -> None:
    units = [
        AccessUnit(1, i * 1_920, i * 1_920, UnitFlags.RANDOM_ACCESS, 0, b"\x21" * 50)
        for i in range(100)
    ]
    stream = write(units, AUDIO)
    found = list(packets(stream))
    assert sum(p.pid == 0 for p in found) == 5  # 2.1 s
    assert {p.pid for p in found if p.pcr is not None} == {0x101}
    assert len(pes_packets(stream, 0x101)) == 100


def test_a_picture_beyond_64_kib_leaves_its_length_open() -> None:
    payload = nal(b"\x65" + b"\x77" * 200_000)
    stream = write([video(0, payload, key=True), video(3_600)])
    first, second = pes_packets(stream, 0x100)
    assert len(first.payload) > 200_000
    assert second.payload == AUD + START + b"\x41\x9a"


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 5_000), st.booleans()), min_size=1, max_size=40
    )
)
def test_every_payload_size_comes_back_whole(shape: list[tuple[bool, int, bool]]) -> None:
    units = []
    for index, (is_video, size, key) in enumerate(shape):
        body = bytes((0x41, *(index % 250 + 4 for _ in range(size - 1))))
        dts = index * 1_800
        units.append(video(dts, nal(body), key=key) if is_video else audio(dts, body))
    muxer = TsMuxer((VIDEO, AUDIO))
    stream = b"".join(muxer.write(unit) for unit in units)
    check_counters(stream)
    got = defaultdict(list)
    for pid in (0x100, 0x101):
        got[pid] = [pes.payload for pes in pes_packets(stream, pid)]
    for unit in units:
        if unit.track == 0:
            assert got[0x100].pop(0).endswith(START + unit.payload[4:])
        else:
            assert got[0x101].pop(0)[7:] == unit.payload
    assert not got[0x100]
    assert not got[0x101]


@pytest.mark.parametrize("size", range(1, 400))
def test_stuffing_at_every_size(size: int) -> None:
    stream = write([audio(0, b"\x5a" * size)], AUDIO)
    [pes] = pes_packets(stream, 0x101)
    assert pes.payload[7:] == b"\x5a" * size


def test_what_cannot_be_carried_is_refused_by_name() -> None:
    eld = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, bytes.fromhex("f8e650"))
    with pytest.raises(CodecError, match="object type 39"):
        TsMuxer((VIDEO, eld))
    with pytest.raises(CodecError, match="does not fit"):
        write([video(0, b"\x00\x00\xff\xff\x65", key=True)])
    with pytest.raises(ValueError, match="at least one track"):
        TsMuxer(())


def test_a_broken_unit_does_not_break_the_stream() -> None:
    muxer = TsMuxer((VIDEO, AUDIO))
    stream = muxer.write(video(0, key=True))
    with pytest.raises(CodecError):
        muxer.write(video(3_600, b"\x00\x00\xff\xff\x65"))
    stream += muxer.write(video(7_200))
    check_counters(stream)


def test_hevc_gets_its_own_delimiter_and_registration() -> None:
    from tests.unit.formats.codecs.test_hevc import PPS as HEVC_PPS
    from tests.unit.formats.codecs.test_hevc import SPS_640X362, VPS, hvcc

    hevc = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, hvcc(SPS_640X362), 640, 362)
    idr = b"\x26\x01\xaf\x08"
    stream = write([video(0, nal(idr), key=True)], hevc, AUDIO)
    [pes] = pes_packets(stream, 0x100)
    sets = START + VPS + START + SPS_640X362 + START + HEVC_PPS
    assert pes.payload == START + b"\x46\x01\x50" + sets + START + idr
    pmt = next(p.payload for p in packets(stream) if p.pid == 0x1000)
    assert b"\x24\xe1\x00\xf0\x06\x05\x04HEVC" in pmt


def test_a_multiplexer_after_another_goes_on_where_that_ended() -> None:
    """Other parameter sets are the same layout; a track that comes or goes is another version."""
    first = TsMuxer([VIDEO])
    stream = first.write(video(90_000, nal(b"\x65k" * 500), key=True))
    second = TsMuxer([VIDEO], after=first)
    stream += second.write(video(93_600, nal(b"\x65k" * 500), key=True))
    third = TsMuxer([VIDEO, AUDIO], after=second)
    stream += third.write(video(97_200, nal(b"\x65k" * 500), key=True))
    stream += third.write(audio(97_200))
    check_counters(stream)
    tables = [p.payload for p in packets(stream) if p.pid == 0x1000]
    assert [table[6] >> 1 & 0x1F for table in tables] == [0, 0, 1]


def test_a_sound_keeps_its_pid_when_one_before_it_begins_later() -> None:
    second = replace(AUDIO, track=2)
    first = TsMuxer([VIDEO, second])
    stream = first.write(replace(audio(90_000, b"\x22" * 300), track=2))
    both = TsMuxer([VIDEO, AUDIO, second], after=first)
    stream += both.write(audio(90_900, b"\x21" * 300))
    stream += both.write(replace(audio(91_920, b"\x22" * 300), track=2))
    check_counters(stream)
    found = {pid: [p.payload[7:] for p in pes_packets(stream, pid)] for pid in (0x101, 0x102)}
    assert found == {0x101: [b"\x21" * 300], 0x102: [b"\x22" * 300] * 2}
    before, after = [p.payload for p in packets(stream) if p.pid == 0x1000]
    assert [table[6] >> 1 & 0x1F for table in (before, after)] == [0, 1]
    assert b"\x0f\xe1\x01" not in before, "a table names the tracks that there are"
    assert b"\x0f\xe1\x01" in after
    assert b"\x0f\xe1\x02" in before
    assert b"\x0f\xe1\x02" in after


def test_a_track_number_without_a_pid_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="256"):
        TsMuxer([replace(AUDIO, track=256)])
