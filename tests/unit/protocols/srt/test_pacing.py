"""The pace of sending: 1.25 times the media's rate, however much arrives at once."""

from __future__ import annotations

import pytest

from sluice_media.protocols.srt.pacing import MediaPacer

FRAME = 3_600
PICTURE_BYTES = 30_000
"""6 Mb/s at 25 fps."""


def play(pacer: MediaPacer, count: int, first: int = 0, now: float = 0.0) -> float:
    """Offer all pictures at ``now``; return when the last one may start."""
    start = now
    for index in range(first, first + count):
        start = pacer.start_at(PICTURE_BYTES, index * FRAME, now)
    return start


def test_a_burst_of_ten_seconds_is_spread_over_eight() -> None:
    assert play(MediaPacer(), 250) == pytest.approx(8.0, abs=0.1)


def test_a_high_rate_is_measured_from_the_media() -> None:
    pacer = MediaPacer(initial_bytes_per_second=100_000)
    play(pacer, 250)
    assert pacer.bytes_per_second == pytest.approx(PICTURE_BYTES * 25, rel=0.02)


def test_media_that_comes_in_time_is_not_delayed() -> None:
    pacer = MediaPacer()
    late = 0.0
    for index in range(250):
        now = index * 0.04
        late = max(late, pacer.start_at(PICTURE_BYTES, index * FRAME, now) - now)
    assert late < 0.001


def test_a_large_key_picture_is_spread_and_caught_up() -> None:
    pacer = MediaPacer()
    late = []
    for index in range(100):
        now = index * 0.04
        size = 150_000 if index % 50 == 0 else 25_000
        late.append(pacer.start_at(size, index * FRAME, now) - now)
    assert max(late) < 0.25
    assert late[49] < 0.02


def test_times_that_jump_start_the_measurement_anew() -> None:
    pacer = MediaPacer()
    play(pacer, 100)
    assert pacer.start_at(PICTURE_BYTES, 10**12, 100.0) == 100.0
    assert pacer.bytes_per_second == 750_000
    pacer.start_at(PICTURE_BYTES, 0, 101.0)
    assert pacer.start_at(PICTURE_BYTES, -500, 102.0) == 102.0


def test_a_pause_does_not_earn_a_burst() -> None:
    pacer = MediaPacer()
    play(pacer, 100)
    assert play(pacer, 25, first=100, now=60.0) >= 60.7
