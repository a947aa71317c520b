"""Streams that are damaged, cut or no streams at all: what is left of them, and at what price."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.errors import MediaError
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import UnitFlags
from tests.support import flv_samples as s
from tests.support.ts_samples import (
    AUDIO,
    CUT,
    FRAME,
    H264_ONLY,
    HEVC,
    IDR,
    KEY,
    PICTURE,
    PPS,
    SPS,
    VIDEO,
    annexb,
    broadcast,
    by_track,
    mux,
    pes,
    picture,
    pid_of,
    read,
    split,
    ts_of_pes,
    units_of,
)


def test_a_lost_packet_costs_its_unit_and_flags_the_next() -> None:
    packets = split(mux([picture(i * FRAME, key=not i) for i in range(5)], VIDEO))
    demuxer = TsDemuxer()
    starts = [i for i, packet in enumerate(packets) if pid_of(packet) == 0x100]
    del packets[starts[2]]
    events = read(b"".join(packets), demuxer=demuxer)
    assert [(u.dts // FRAME, u.flags) for u in units_of(events)] == [
        (0, KEY), (1, UnitFlags.NONE), (3, CUT), (4, UnitFlags.NONE),
    ]  # fmt: skip
    assert demuxer.continuity_errors == 1


def test_a_lost_packet_in_the_middle_of_a_picture() -> None:
    large = s.sample(b"\x41" + b"\x77" * 2_000)
    units = [picture(0, key=True), *(picture(i * FRAME, large) for i in range(1, 4))]
    packets = split(mux(units, VIDEO))
    second = [i for i, packet in enumerate(packets) if packet[1] == 0x41][1]
    del packets[second + 3]
    demuxer = TsDemuxer()
    found = units_of(read(b"".join(packets), demuxer=demuxer))
    assert [(u.dts // FRAME, u.flags) for u in found] == [
        (0, KEY), (2, CUT), (3, UnitFlags.NONE),
    ]  # fmt: skip
    assert (demuxer.continuity_errors, demuxer.dropped_units) == (1, 1)


def test_a_packet_sent_twice_is_taken_once() -> None:
    demuxer = TsDemuxer()
    stream = b"".join(packet * 2 for packet in split(mux(broadcast())))
    assert by_track(units_of(read(stream, demuxer=demuxer))) == by_track(broadcast())
    assert demuxer.continuity_errors == 0


def test_a_packet_marked_as_damaged_is_not_used() -> None:
    packets = split(mux([picture(i * FRAME, key=not i) for i in range(4)], VIDEO))
    index = [i for i, packet in enumerate(packets) if pid_of(packet) == 0x100][2]
    packets[index] = packets[index][:1] + bytes((packets[index][1] | 0x80,)) + packets[index][2:]
    demuxer = TsDemuxer()
    found = units_of(read(b"".join(packets), demuxer=demuxer))
    assert [(u.dts // FRAME, u.flags) for u in found] == [(0, KEY), (1, UnitFlags.NONE), (3, CUT)]
    assert (demuxer.transport_errors, demuxer.continuity_errors) == (1, 1)


@pytest.mark.parametrize("junk", [b"\x47", b"x", b"\x47" * 500, bytes(1_000), b"\x47\x00" * 300])
def test_it_finds_back_into_the_stream_after_junk(junk: bytes) -> None:
    units = broadcast()
    first, second = units[:40], units[40:]
    muxer = TsMuxer((VIDEO, AUDIO))
    stream = b"".join(map(muxer.write, first)) + junk + b"".join(map(muxer.write, second))
    demuxer = TsDemuxer()
    found = units_of(read(stream, demuxer=demuxer))
    assert demuxer.sync_losses
    assert len(found) >= len(units) - 4
    assert found[-1] == units[-1]
    assert {unit.payload for unit in found} == {IDR, PICTURE, s.SOUND}


def test_what_is_no_transport_stream_is_said_to_be_none() -> None:
    demuxer = TsDemuxer()
    lines = b"HTTP/1.1 400 Bad Request\r\n" * 40
    for _ in range(1_000):
        assert not list(demuxer.feed(lines))
    with pytest.raises(MediaError, match="not an MPEG transport stream"):
        list(demuxer.feed(lines * 20))


def test_a_unit_without_end_is_given_up_and_memory_stays_bounded() -> None:
    demuxer = TsDemuxer()
    stream = H264_ONLY + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    list(demuxer.feed(stream))
    endless = [b"\x47\x41\x00\x11\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + bytes(175)]
    endless += [b"\x47\x01\x00" + bytes((0x10 | i & 0xF,)) + bytes(184) for i in range(2, 16 + 2)]
    round_of_16 = b"".join(endless[1:])
    list(demuxer.feed(endless[0]))
    for _ in range((16 << 20) // (16 * 184) + 2):
        list(demuxer.feed(round_of_16))
    assert demuxer.dropped_units == 1
    assert sum(len(stream.packet) for stream in demuxer._streams.values()) <= 17 << 20


def test_a_picture_of_start_codes_only_is_dropped() -> None:
    demuxer = TsDemuxer()
    flood = pes(annexb(SPS, PPS) + b"\x00\x00\x01\x65" * 10_000, 0)
    assert not units_of(read(H264_ONLY + ts_of_pes(0x100, flood), demuxer=demuxer))
    assert demuxer.dropped_units == 1


_STREAM = mux(broadcast(12)) + mux(
    [picture(i * FRAME, s.HEVC_PICTURE if i else s.HEVC_IDR, key=not i) for i in range(4)], HEVC
)


def _events_until_error(stream: bytes, sizes: Sequence[int]) -> list[object]:
    demuxer = TsDemuxer()
    events: list[object] = []
    try:
        for size in [*sizes, len(stream)]:
            events.extend(demuxer.feed(stream[:size]))
            stream = stream[size:]
        events.extend(demuxer.flush())
    except MediaError as error:
        events.append(str(error))
    return [*events, demuxer.formats, demuxer.dropped_units, demuxer.continuity_errors]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(_STREAM)),
            st.integers(0, 200),
            st.binary(max_size=8) | st.just(b"\x47") | st.just(_STREAM[:564]),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 3_000), max_size=12),
)
def test_a_damaged_stream_gives_the_same_events_however_it_is_cut(
    edits: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    stream = _STREAM
    for at, removed, inserted in edits:
        stream = stream[:at] + inserted + stream[at + removed :]
    assert _events_until_error(stream, sizes) == _events_until_error(stream, ())


@given(st.lists(st.binary(min_size=187, max_size=187), max_size=20), st.binary(max_size=400))
def test_any_bytes_raise_nothing_but_our_errors(bodies: list[bytes], tail: bytes) -> None:
    stream = b"".join(b"\x47" + body for body in bodies) + tail
    _events_until_error(stream, ())
    # And the same on the PIDs that are read.
    known = b"".join(
        b"\x47" + bytes((body[0] & 0x40 | 1, body[1] & 1)) + body[2:] for body in bodies
    )
    _events_until_error(_STREAM + known + tail, ())


def test_an_iterator_that_is_left_is_finished_by_the_next() -> None:
    stream = mux(broadcast())
    demuxer = TsDemuxer()
    first = demuxer.feed(stream[:5_000])
    events = [next(first), next(first)]
    events += demuxer.feed(stream[5_000:])
    events += demuxer.flush()
    assert events == read(stream)
