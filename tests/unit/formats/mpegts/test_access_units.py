"""Pictures in PES packets of other multiplexers: each comes out whole, once, and at its time."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sluice_media.formats.codecs import h264
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, UnitFlags
from tests.support import flv_samples as s
from tests.support.repack import STYLES, chunks, pieces_of, repack
from tests.support.ts_samples import (
    CUT,
    FRAME,
    H264_ONLY,
    HEVC,
    KEY,
    PPS,
    SPS,
    VIDEO,
    annexb,
    mux,
    pes,
    pid_of,
    read,
    split,
    ts_of_pes,
    units_of,
)

SHOWN = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
"""I P B B P B B …, ten pictures to a group."""


def avc_slice(number: int, shown: int, *, first: bool = True, size: int = 40) -> bytes:
    """A slice with a head as encoders write it; ``number`` counts within its group."""
    sps = h264.parse_sps(SPS)
    bits = ("1" if first else "00110") + "0001000" + "1"  # first_mb 0 or 5, slice type 7, PPS 0
    bits += f"{number % (1 << sps.frame_number_bits):0{sps.frame_number_bits}b}"
    if number == 0:
        bits += "1"  # idr_pic_id
    bits += f"{2 * shown % (1 << sps.order_count_bits):0{sps.order_count_bits}b}1"
    bits += "0" * (-len(bits) % 8)
    head = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\x00\x00", b"\x00\x00\x03")
    return bytes((0x65 if number == 0 else 0x61,)) + head + b"\x5a" * size


def pictures(count: int, *, slices: int = 2, first: int = 900_000) -> list[AccessUnit]:
    """Decoded a frame apart, with two frames of delay before they are shown."""
    units = []
    for n in range(count):
        number, group = n % 10, n // 10
        shown = SHOWN[number]
        nals = [avc_slice(number, shown, first=k == 0, size=40 + n) for k in range(slices)]
        dts = first + n * FRAME
        pts = first + (group * 10 + shown + 2) * FRAME
        flags = KEY if number == 0 else UnitFlags.NONE
        units.append(AccessUnit(0, dts, pts, flags, 0, s.sample(*nals)))
    return units


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("bounded", [False, True], ids=["open", "bounded"])
@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_picture_comes_out_at_its_time(style: object, bounded: bool, slices: int) -> None:
    units = pictures(60, slices=slices)
    stream = repack(mux(units, VIDEO), style, bounded=bounded)  # type: ignore[arg-type]
    demuxer = TsDemuxer()
    assert units_of(read(stream, demuxer=demuxer)) == units
    assert demuxer.dropped_units == 0


@given(st.integers(20, 700), st.integers(1, 3), st.lists(st.integers(1, 2_000), max_size=6))
def test_packets_may_begin_at_any_byte(size: int, slices: int, sizes: list[int]) -> None:
    units = pictures(30, slices=slices)
    stream = mux(units, VIDEO)
    # A zero at the end of the first packet may be padding or the beginning of a start code.
    ends = accumulate(len(piece.payload) for piece in pieces_of(stream))
    assume(all((end + 1) % size for end in islice(ends, 9)))
    stream = repack(stream, chunks(size))
    found = units_of(read(stream, sizes))
    assert [u.payload for u in found] == [u.payload for u in units]
    assert [u.flags for u in found] == [u.flags for u in units]
    assert all(a.dts < b.dts for a, b in pairwise(found))
    assert all(u.pts >= u.dts for u in found)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_picture_waits_for_one_more_at_most(style: object) -> None:
    """But for packets that hold several, of which the last one has to be there first."""
    name = next(name for name, known in STYLES.items() if known is style)
    units = pictures(40, slices=1)
    stream = repack(mux(units, VIDEO), style)  # type: ignore[arg-type]
    per_packet = 25 if "second of units" in name else 2 if "two units" in name else 1
    if "40,000" in name or "2,000 bytes" in name:
        return  # larger than some of these pictures together
    whole = b""
    demuxer = TsDemuxer()
    out = 0
    for packet in split(stream):
        whole += packet
        out += len(units_of(demuxer.feed(packet)))
        begun = sum(p.payload.count(b"\x5a" * 40) for p in pieces_of(whole))
        # The demultiplexer needs three packets to find its place in the stream.
        assert out >= begun - 3 - per_packet or len(whole) < 188 * 8


@pytest.mark.parametrize("count", [2, 5])
def test_hevc_in_one_packet_and_at_any_byte(count: int) -> None:
    first = b"\x26\x01\xaf\x08" + b"\x5a" * 40
    other = b"\x02\x01\xaf\x08" + b"\x5a" * 40
    units = [
        AccessUnit(
            0, n * FRAME, n * FRAME, KEY if n == 0 else UnitFlags.NONE, 0,
            s.sample(other if n else first, b"\x02\x01\x2f\x08" + b"\x5a" * 9),
        )
        for n in range(20)
    ]  # fmt: skip
    stream = repack(mux(units, HEVC), chunks(count * 37))
    found = units_of(read(stream))
    assert [u.payload for u in found] == [u.payload for u in units]
    assert found[0].flags == KEY


def test_the_rate_that_is_declared_counts_before_there_is_one_that_is_measured() -> None:
    sps_1080, pps_1080 = s.AVCC_1080[8 : 8 + 25], s.AVCC_1080[36 : 36 + 6]
    declared = h264.parse_sps(sps_1080).frame_rate
    assert declared is not None
    assert round(declared, 2) == 29.97
    group = annexb(sps_1080, pps_1080, b"\x65\x88") + annexb(b"\x41\x9a")
    stream = H264_ONLY + ts_of_pes(0x100, pes(group, 0), pes(annexb(b"\x41\x9a"), 6_006))
    assert [u.dts for u in units_of(read(stream))] == [0, 3_003, 6_006]


def test_a_rate_that_changes_moves_no_time_that_the_stream_says() -> None:
    """From 25 to 50 pictures a second, and back."""
    said = [0, 7_200, 14_400, 18_000, 21_600, 25_200, 32_400, 39_600]
    packets = []
    for dts in said:
        first = annexb(SPS, PPS, b"\x65\x88") if dts == 0 else annexb(b"\x41\x9a")
        packets += [pes(first, dts), pes(annexb(b"\x41\x9a"), None)]
    found = [u.dts for u in units_of(read(H264_ONLY + ts_of_pes(0x100, *packets)))]
    assert len(found) == 16
    assert all(a < b for a, b in pairwise(found))
    late = [f - s for f, s in zip(found[::2], said, strict=True)]
    assert max(map(abs, late)) <= 1


def test_a_clock_that_jumps_back_is_passed_on_as_it_is() -> None:
    packets = [pes(annexb(SPS, PPS, b"\x65\x88"), 900_000), pes(annexb(b"\x41\x9a"), None)]
    packets += [pes(annexb(b"\x41\x9a"), 0), pes(annexb(b"\x41\x9a"), None)]
    found = [u.dts for u in units_of(read(H264_ONLY + ts_of_pes(0x100, *packets)))]
    assert found == [900_000, 903_600, 0, 3_600]


def test_pictures_before_the_first_time_are_left_out() -> None:
    packets = [pes(annexb(SPS, PPS, b"\x65\x88"), None), pes(annexb(b"\x41\x9a"), FRAME)]
    demuxer = TsDemuxer()
    [unit] = units_of(read(H264_ONLY + ts_of_pes(0x100, *packets), demuxer=demuxer))
    assert (unit.dts, unit.flags) == (FRAME, CUT)
    assert demuxer.dropped_units == 1


def test_a_lost_packet_in_packets_that_begin_anywhere() -> None:
    units = pictures(40, slices=1)
    packets = split(repack(mux(units, VIDEO), chunks(120)))
    media = [i for i, packet in enumerate(packets) if pid_of(packet) == 0x100]
    del packets[media[len(media) // 2]]
    demuxer = TsDemuxer()
    found = units_of(read(b"".join(packets), demuxer=demuxer))
    payloads = [u.payload for u in units]
    assert all(u.payload in payloads for u in found)
    assert len(units) - 8 <= len(found) < len(units)
    assert [u.flags & CUT for u in found].count(CUT) == 1
    assert demuxer.dropped_units >= 1


def test_an_access_unit_of_many_packets_without_an_end_is_given_up() -> None:
    """A NAL unit that never ends costs 16 MiB at most, and no more time than its bytes."""
    demuxer = TsDemuxer()
    list(demuxer.feed(H264_ONLY + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))))
    body = ts_of_pes(0x100, *(pes(b"\x5a" * 60_000, None) for _ in range(40)))
    for _ in range(8):
        list(demuxer.feed(body))
    track = demuxer._streams[0x100].track
    assert track.kept_bytes <= 17 << 20
    assert demuxer.dropped_units >= 1


def test_parameter_sets_and_messages_without_a_picture_are_given_up() -> None:
    demuxer = TsDemuxer()
    list(demuxer.feed(H264_ONLY))
    message = annexb(b"\x06" + b"\x5a" * 400_000)
    body = ts_of_pes(0x100, *(pes(message, n) for n in range(8)))
    tracemalloc.start()
    for _ in range(10):
        list(demuxer.feed(body))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 20 << 20
    assert demuxer.dropped_units >= 1


@pytest.mark.parametrize("size", [60_000, 500])
def test_bytes_of_a_picture_that_is_not_complete_are_counted(size: int) -> None:
    """A gateway tells its hub by them that a large picture is on its way."""
    demuxer = TsDemuxer()
    list(demuxer.feed(mux(pictures(30), VIDEO)))
    large = AccessUnit(0, 2_700_000, 2_700_000, KEY, 0, s.sample(b"\x65\x88" + b"\x5a" * 100_000))
    packets = split(repack(mux([large], VIDEO), chunks(size)))
    counts = []
    for packet in packets:
        list(demuxer.feed(packet))
        counts.append(demuxer.unfinished_bytes)
    assert max(counts) > 50_000
    assert sum(a < b for a, b in pairwise(counts)) > len(counts) * 0.8
