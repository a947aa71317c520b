"""Media follows on media: holes count nowhere, and all that is measured agrees on it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.recording.media_time import HOLE_TICKS, MediaTime

SECOND = 90_000


def test_a_hole_is_no_media() -> None:
    media = MediaTime((0, 10 * SECOND), (15 * SECOND, 20 * SECOND))
    assert media.total_ticks == 15 * SECOND
    assert media.holes == [(10 * SECOND, 15 * SECOND)]
    assert [media.before(at * SECOND) // SECOND for at in (4, 10, 13, 15, 18, 20)] == [
        4, 10, 10, 10, 13, 15,
    ]  # fmt: skip
    assert [media.removed_before(at * SECOND) // SECOND for at in (4, 10, 15, 18)] == [0, 0, 5, 5]


def test_what_comes_right_behind_the_end_goes_on_and_what_comes_later_begins_anew() -> None:
    media = MediaTime((0, 10 * SECOND))
    assert media.before(11 * SECOND) == 11 * SECOND
    assert not media.is_hole(10 * SECOND + HOLE_TICKS)
    assert media.is_hole(10 * SECOND + HOLE_TICKS + 1)
    assert media.before(300 * SECOND) == 10 * SECOND


def test_a_camera_of_one_picture_in_two_seconds_has_no_holes() -> None:
    media = MediaTime(*((n * 2 * SECOND, n * 2 * SECOND) for n in range(100)))
    assert (media.holes, media.total_ticks) == ([], 198 * SECOND)


def test_a_track_that_begins_a_little_earlier_behind_the_hole_shortens_it() -> None:
    media = MediaTime((0, 10 * SECOND), (15 * SECOND, 15 * SECOND))
    media.add(round(14.9 * SECOND), 15 * SECOND)
    assert media.holes == [(10 * SECOND, round(14.9 * SECOND))]


def test_another_attempt_that_has_what_is_missing_fills_the_hole() -> None:
    media = MediaTime((0, 10 * SECOND), (15 * SECOND, 20 * SECOND))
    media.add(9 * SECOND, 14 * SECOND)
    assert (media.holes, media.total_ticks) == ([], 20 * SECOND)


def test_what_is_lost_later_is_a_hole() -> None:
    media = MediaTime((0, 30 * SECOND))
    media.remove(6 * SECOND, 12 * SECOND)
    assert media.runs == [(0, 6 * SECOND), (12 * SECOND, 30 * SECOND)]
    media.cut(20 * SECOND)
    assert media.total_ticks == 14 * SECOND


STRETCHES = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 60)), min_size=1, max_size=30)


@given(STRETCHES, st.permutations(range(30)), st.lists(st.integers(0, 700), min_size=2))
def test_the_order_in_which_media_comes_does_not_matter_and_positions_grow(
    stretches: list[tuple[int, int]], order: list[int], places: list[int]
) -> None:
    runs = [(a * SECOND, (a + length) * SECOND) for a, length in stretches]
    media = MediaTime(*runs)
    again = MediaTime(*(runs[n] for n in order if n < len(runs)))
    assert media.runs == again.runs
    first, end = media.runs[0][0], media.runs[-1][1]
    assert media.total_ticks + sum(b - a for a, b in media.holes) == end - first
    assert all(b - a > HOLE_TICKS for a, b in media.holes)
    positions = [media.before(place * SECOND) for place in sorted(places) if place * SECOND <= end]
    assert positions == sorted(positions)
    for a, b in runs:
        assert media.before(b) - media.before(a) == b - a, "media itself is never shortened"
        assert a - first - media.removed_before(a) == media.before(a)
