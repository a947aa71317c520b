"""A fragmented MP4 is counted from its own indexes, in pieces of any size."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.store.fragments import FragmentCounter, FragmentError


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def trak(number: int, handler: bytes) -> bytes:
    tkhd = box(b"tkhd", struct.pack(">IIII", 0, 0, 0, number), bytes(68))
    hdlr = box(b"hdlr", bytes(8), handler, bytes(13))
    return box(b"trak", tkhd, box(b"mdia", hdlr))


def traf(track: int, *samples: int) -> bytes:
    runs = [box(b"trun", struct.pack(">II", 0x201, count), bytes(8)) for count in samples]
    return box(b"traf", box(b"tfhd", struct.pack(">II", 0x20000, track)), *runs)


MOVIE = (
    box(b"ftyp", b"iso5" + bytes(8))
    + box(b"moov", box(b"mvhd", bytes(100)), trak(1, b"vide"), trak(2, b"soun"), trak(3, b"soun"))
    + box(b"moof", box(b"mfhd", bytes(8)), traf(1, 50), traf(2, 40, 54))
    + struct.pack(">I4sQ", 1, b"mdat", 16 + 5000)
    + bytes(5000)
    + box(b"moof", traf(1, 7), traf(3, 12))
    + box(b"mdat", bytes(100))
)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_samples_are_counted_at_any_split(sizes: list[int]) -> None:
    counter = FragmentCounter()
    at = 0
    for size in [*sizes, len(MOVIE)]:
        counter.feed(MOVIE[at : at + size])
        at += size
    assert counter.samples == {1: 57, 2: 94, 3: 12}


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I4s", 4, b"moov") + bytes(20),
        struct.pack(">I4s", 1 << 30, b"moof") + bytes(20),
        box(b"moov", struct.pack(">I4s", 999, b"trak")) + bytes(20),
        box(b"moov", box(b"trak", box(b"tkhd", bytes(3)))) + bytes(20),
        box(b"moof", struct.pack(">I4s", 3, b"traf")) + bytes(20),
    ],
)
def test_what_is_no_mp4_is_refused(garbage: bytes) -> None:
    with pytest.raises(FragmentError):
        FragmentCounter().feed(garbage)


@given(st.binary(max_size=300))
def test_garbage_does_nothing_else(data: bytes) -> None:
    try:
        FragmentCounter().feed(MOVIE[:120] + data)
    except FragmentError:
        return
