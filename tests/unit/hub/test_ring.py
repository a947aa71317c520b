"""The ring: how far it reaches back, where a reader starts, and what a pin keeps."""

import pytest

from sluice_media.hub.output.ring import Ring

PICTURE = 3_600
GOP = 50


def fill(ring: Ring, pictures: int, *, size: int = 100, first: int = 0) -> None:
    for number in range(first, first + pictures):
        ring.append(
            number.to_bytes(size, "big"),
            dts=number * PICTURE,
            utc_us=number * 40_000,
            is_unit=True,
            is_entry=number % GOP == 0,
        )


def test_it_reaches_back_a_minute_and_starts_on_a_random_access_point() -> None:
    ring = Ring()
    fill(ring, 25 * 200)
    assert ring.seconds_held >= 60
    assert ring.seconds_held <= 60 + 2 + 64 / 25
    assert ring.oldest is not None
    assert ring.oldest.seq == ring.first
    assert ring.trimmed_dts == (ring.first - 1) * PICTURE


def test_the_limit_in_bytes_comes_first() -> None:
    ring = Ring(max_bytes=1_000_000)
    fill(ring, 2_000, size=10_000)
    assert ring.bytes_held <= 1_000_000 + 64 * 10_000
    assert ring.oldest is not None
    assert ring.oldest.seq == ring.first


def test_one_endless_gop_is_bounded_too() -> None:
    ring = Ring(max_bytes=1_000_000)
    for number in range(2_000):
        ring.append(
            bytes(10_000), dts=number * PICTURE, utc_us=0, is_unit=True, is_entry=not number
        )
    assert ring.bytes_held <= 1_000_000 + 64 * 10_000


def test_reading_joins_records_up_to_a_limit_and_shares_the_bytes() -> None:
    ring = Ring()
    fill(ring, 10)
    data, seq = ring.read(0, 250)
    assert (len(data), seq) == (200, 2)
    data, seq = ring.read(8, 10_000)
    assert (len(data), seq) == (200, 10)
    assert ring.read(8, 10_000)[0] is data
    assert ring.read(10, 10_000) == (b"", 10)
    fill(ring, 1, first=10)
    assert ring.read(8, 10_000)[1] == 11
    assert len(ring.read(0, 1)[0]) == 100


def test_what_left_the_ring_cannot_be_read() -> None:
    ring = Ring()
    fill(ring, 25 * 200)
    with pytest.raises(IndexError):
        ring.read(ring.first - 1, 100)


def test_entries_are_found_by_wall_clock_and_by_dts() -> None:
    ring = Ring()
    fill(ring, 200)
    by_clock = [ring.entry_before_utc(us) for us in (-1, 0, 1_999_999, 2_000_000, 10**12)]
    assert [entry.seq for entry in by_clock if entry] == [0, 0, 0, 50, 150]
    by_dts = [ring.entry_before_dts(dts) for dts in (-1, 49 * PICTURE, 50 * PICTURE)]
    assert [entry.seq for entry in by_dts if entry] == [0, 0, 50]


def test_what_follows_a_position() -> None:
    ring = Ring()
    fill(ring, 200)
    assert ring.after(10 * PICTURE) == 11
    assert ring.after(-1) == 0
    assert ring.after(10**9) == 200


def test_a_pin_keeps_more_than_a_minute_until_it_moves_on() -> None:
    ring = Ring()
    fill(ring, 100)
    ring.pin(50)
    fill(ring, 25 * 200, first=100)
    assert ring.first == 50
    assert ring.pins_broken == 0
    ring.pin(1_000)
    fill(ring, 64, first=5_100)
    assert ring.first == 1_000
    ring.pin(None)
    fill(ring, 64, first=5_164)
    assert ring.first > 3_000


def test_a_pin_does_not_pass_the_limit_in_bytes() -> None:
    ring = Ring(max_bytes=1_000_000)
    ring.pin(0)
    fill(ring, 2_000, size=10_000)
    assert ring.bytes_held <= 1_000_000 + 64 * 10_000
    assert ring.pins_broken > 0
