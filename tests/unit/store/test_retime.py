"""The times in a chunk behind a hole are those that the MP4 has."""

from __future__ import annotations

import pytest

from sluice_media.formats.mpegts.mux import PCR_LEAD, TsMuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.recording.media_time import MediaTime
from sluice_media.store.retime import retime
from tests.support.ts_samples import (
    AUDIO,
    FRAME,
    VIDEO,
    WRAP,
    by_track,
    picture,
    read,
    sound,
    units_of,
)

SECOND = 90_000
HOLE_SECONDS = 12
OVER_THE_WRAP = WRAP - 14 * SECOND
"""2^33 lies in the hole."""


def stream(start: int, seconds: float) -> list[AccessUnit]:
    units = []
    for number in range(round(seconds * 25)):
        dts = start + number * FRAME
        units += [picture(dts, key=not number, ahead=2 * FRAME), sound(dts + 7)]
    return units


def mux(*pieces: list[AccessUnit]) -> list[bytes]:
    """Each piece's bytes; together they are one stream."""
    muxer = TsMuxer((VIDEO, AUDIO))
    return [b"".join(map(muxer.write, piece)) for piece in pieces]


def demux(*pieces: bytes) -> dict[int, list[AccessUnit]]:
    return by_track(units_of(read(b"".join(pieces))))


def pcrs(data: bytes) -> list[int]:
    packets = (data[at : at + 188] for at in range(0, len(data), 188))
    with_pcr = (p for p in packets if p[3] & 0x20 and p[4] and p[5] & 0x10)
    return [int.from_bytes(packet[6:12]) >> 15 for packet in with_pcr]


@pytest.mark.parametrize("first", [SECOND, OVER_THE_WRAP], ids=["", "over 2^33"])
def test_media_behind_a_hole_follows_on_the_media_before_it(first: int) -> None:
    before, after = stream(first, 4), stream(first + (4 + HOLE_SECONDS) * SECOND, 4)
    begins = after[0].dts
    media = MediaTime((first, first + 4 * SECOND), (begins, begins + 4 * SECOND))
    head, tail = mux(before, after)
    moved = retime(tail, begins, media)
    exact = mux(before, stream(first + 4 * SECOND, 4))
    assert demux(head, moved) == demux(*exact)
    assert pcrs(moved) == [(pcr - HOLE_SECONDS * SECOND) % WRAP for pcr in pcrs(tail)]
    assert pcrs(moved)[0] == (first + 4 * SECOND - PCR_LEAD) % WRAP


def test_a_unit_from_before_the_hole_keeps_its_time_in_a_chunk_behind_it() -> None:
    before, after = stream(SECOND, 4), stream(20 * SECOND, 4)
    late = before.pop()
    [data] = mux([*before, after[0], late, *after[1:]])
    media = MediaTime((SECOND, 5 * SECOND), (20 * SECOND, 24 * SECOND))
    wanted = stream(5 * SECOND, 4)
    [exact] = mux([*before, wanted[0], late, *wanted[1:]])
    assert demux(retime(data, SECOND, media)) == demux(exact)


def test_without_a_hole_before_it_nothing_changes() -> None:
    [data] = mux(stream(SECOND, 4))
    assert retime(data, SECOND, MediaTime((SECOND, 9 * SECOND))) == data
