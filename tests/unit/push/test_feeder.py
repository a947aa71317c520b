"""The queue of a push: where it starts, how it is bounded, what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.push.feeder import Feeder

VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"v")
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"a")
FRAME = 3_600


def unit(index: int, *, key: bool = False, size: int = 100, track: int = 0) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(track, index * FRAME, index * FRAME, flags, 0, bytes(size))


def feeder(**limits: float) -> Feeder:
    made = Feeder(min_group_seconds=0, **limits)  # type: ignore[arg-type]
    made.set_formats([VIDEO, AUDIO])
    return made


def taken(feeder: Feeder) -> list[int]:
    return [item.unit.dts // FRAME for item in feeder.take(1 << 30)]


def fill(feeder: Feeder, units: range, gop: int = 10) -> None:
    for index in units:
        feeder.add(unit(index, key=index % gop == 0))


def test_a_connection_starts_at_the_last_random_access() -> None:
    queue = feeder()
    fill(queue, range(26))
    queue.attach()
    fill(queue, range(26, 28))
    assert taken(queue) == list(range(20, 28))
    fill(queue, range(28, 32))
    assert taken(queue) == [28, 29, 30, 31]


def test_before_the_first_random_access_there_is_nothing() -> None:
    queue = feeder()
    queue.attach()
    fill(queue, range(5, 12))
    assert taken(queue) == [10, 11]


def test_audio_does_not_start_a_stream_with_video_but_its_own() -> None:
    queue = feeder()
    queue.add(unit(0, key=True, track=1))
    queue.attach()
    assert taken(queue) == []


def test_where_every_unit_is_a_random_access_the_last_second_is_kept() -> None:
    queue = Feeder()
    queue.set_formats([AUDIO])
    for index in range(60):
        queue.add(unit(index, key=True, track=1))
    queue.attach()
    assert taken(queue) == list(range(52, 60))  # a second is 25 units, and the one that ends it


def test_take_stops_after_so_many_bytes() -> None:
    queue = feeder()
    queue.attach()
    fill(queue, range(10))
    assert len(queue.take(250)) == 3
    assert queue.queued_bytes == 700


def test_a_slow_target_goes_on_at_a_random_access_and_what_it_missed_is_counted() -> None:
    queue = feeder(max_bytes=2_500)
    queue.attach()
    fill(queue, range(26))  # the 26th unit is one too many: the first group goes
    assert (queue.dropped_units, queue.dropped_frames, queue.dropped_bytes) == (10, 10, 1_000)
    assert taken(queue) == list(range(10, 26))


def test_a_queue_that_is_a_little_late_loses_nothing() -> None:
    queue = feeder(late_seconds=1.0)
    queue.attach()
    fill(queue, range(26))
    assert queue.queued_seconds == 1.0
    assert queue.dropped_frames == 0


def test_a_late_queue_loses_one_group_for_each_that_comes() -> None:
    queue = feeder(late_seconds=1.0)
    queue.attach()
    fill(queue, range(31))  # 1.2 s when the group of unit 30 begins
    assert queue.dropped_frames == 10
    fill(queue, range(31, 41))
    assert queue.dropped_frames == 20
    assert taken(queue) == list(range(20, 41))


def test_a_start_that_is_longer_than_late_is_sent_whole_while_its_group_lasts() -> None:
    queue = feeder(late_seconds=1.0)
    fill(queue, range(50), gop=100)
    queue.attach()
    fill(queue, range(50, 60), gop=100)
    assert taken(queue) == list(range(60))


def test_dropped_audio_beside_video_is_no_frame() -> None:
    queue = feeder(max_bytes=1_000)
    queue.attach()
    for index in range(20):
        queue.add(unit(index, key=index % 5 == 0))
        queue.add(unit(index, track=1))
    assert queue.dropped_units == 2 * queue.dropped_frames > 0


def test_a_connection_inside_the_last_group_waits_for_the_next_one() -> None:
    queue = feeder(max_bytes=1_500)
    queue.attach()
    fill(queue, range(5), gop=100)
    assert taken(queue) == [0, 1, 2, 3, 4]
    fill(queue, range(5, 30), gop=100)
    assert taken(queue) == []
    for index in range(30, 33):
        queue.add(unit(index, key=index == 31))
    assert taken(queue) == [31, 32]
    assert queue.dropped_units == 26


def test_the_queue_is_bounded_in_seconds_too() -> None:
    queue = feeder(max_seconds=2.0)
    queue.attach()
    fill(queue, range(60), gop=25)
    assert queue.queued_seconds <= 2.0
    assert taken(queue)[0] % 25 == 0


def test_a_group_that_is_too_long_is_not_kept() -> None:
    queue = feeder(max_bytes=1_000)
    fill(queue, range(30), gop=100)
    queue.attach()
    assert queue.queued_bytes == 0
    queue.add(unit(100, key=True))
    assert taken(queue) == [100]


def test_units_keep_the_formats_of_their_time() -> None:
    queue = feeder()
    queue.attach()
    fill(queue, range(2))
    before = queue.formats
    queue.set_formats([VIDEO, AUDIO])
    assert queue.formats is before
    queue.set_formats([VIDEO])
    queue.add(unit(2))
    assert [item.formats for item in queue.take(1 << 30)] == [before, before, (VIDEO,)]


def test_a_new_connection_does_not_begin_with_what_the_stream_no_longer_is() -> None:
    queue = feeder()
    fill(queue, range(5))
    queue.set_formats([TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, b"h"), AUDIO])
    queue.attach()
    assert taken(queue) == []
    fill(queue, range(8, 12))
    assert taken(queue) == [10, 11]


def test_another_timeline_starts_with_nothing() -> None:
    queue = feeder()
    queue.attach()
    fill(queue, range(5))
    queue.clear()
    fill(queue, range(5, 12))
    assert taken(queue) == [10, 11]
    queue.detach()
    assert queue.take(100) == []


def test_the_rate_is_that_of_the_media() -> None:
    queue = feeder()
    fill(queue, range(1_000))
    assert queue.bytes_per_second == pytest.approx(2_500, rel=0.02)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 900), st.integers(0, 3)), min_size=1, max_size=200
    )
)
def test_the_queue_never_exceeds_its_limit_and_loses_nothing_uncounted(
    story: list[tuple[bool, int, int]],
) -> None:
    queue = feeder(max_bytes=3_000)
    queue.attach()
    got: list[int] = []
    fed = 0
    for index, (key, size, take) in enumerate(story):
        queue.add(unit(index, key=key, size=size))
        assert queue.queued_bytes <= 3_000
        for _ in range(take):
            got += [item.unit.dts // FRAME for item in queue.take(1)]
        fed = index + 1
    got += taken(queue)
    assert len(got) + queue.dropped_units == fed
    assert got == sorted(set(got))
    keys = {index for index, (key, *_) in enumerate(story) if key}
    # Wherever units are missing, a random access follows.
    starts = [b for a, b in zip([-1, *got], got, strict=False) if b != a + 1]
    assert all(start in keys for start in starts)
