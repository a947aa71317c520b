"""Framing: what goes in comes out, in whatever pieces the network hands it over."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import (
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.timeline.framing import (
    FramingError,
    Record,
    TimelineDecoder,
    encode,
    track_formats,
    track_infos,
)

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"\x01avcC", width=640, height=360)
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"\x11\x90", sample_rate=48_000, channels=2)

int64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
units = st.builds(
    AccessUnit,
    track=st.integers(0, 255),
    dts=int64,
    pts=int64,
    flags=st.sampled_from([UnitFlags.NONE, UnitFlags.RANDOM_ACCESS, UnitFlags(3)]),
    utc_us=int64,
    payload=st.binary(max_size=400),
)
others: st.SearchStrategy[Record] = st.sampled_from(
    [
        TimelineFormat(
            timeline="t1",
            epoch=1,
            stream_uid="u",
            session_started_at=NOW,
            tracks=track_infos([VIDEO, AUDIO]),
        ),
        TimelineAnchor(dts=5, utc=NOW),
        TimelineGap(dts=9, wall_seconds=6.0),
        TimelineHeartbeat(session=True, delivering=False),
        TimelineEnd(reason="WindowPassed", finished_at=NOW),
    ]
)


@given(records=st.lists(units | others, max_size=12), cuts=st.lists(st.integers(1, 97), min_size=1))
def test_any_split_of_the_bytes_gives_the_same_records(
    records: list[Record], cuts: list[int]
) -> None:
    wire = b"".join(map(encode, records))
    decoder, position, turn = TimelineDecoder(), 0, 0
    found: list[Record] = []
    while position < len(wire):
        step = cuts[turn % len(cuts)]
        found += decoder.feed(wire[position : position + step])
        position, turn = position + step, turn + 1
    assert found == records


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_a_framing_error(garbage: bytes) -> None:
    decoder = TimelineDecoder()
    with contextlib.suppress(FramingError):
        list(decoder.feed(garbage))


def test_a_record_larger_than_any_picture_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(FramingError, match="larger"):
        list(TimelineDecoder().feed(b"\x01\xff\xff\xff\xff"))


def test_track_formats_survive_the_wire() -> None:
    assert track_formats(track_infos([VIDEO, AUDIO])) == (VIDEO, AUDIO)
