"""The segment table: window, lookups, requests that wait, rates, and copied segments."""

from __future__ import annotations

import pytest

from sluice_media.contract import TimelineSegment
from sluice_media.play.cutter import PartClosed, SegmentBegun, TrackClosed
from sluice_media.play.segment import track_name, track_number, utc_text
from sluice_media.play.table import SegmentTable
from tests.support.playback import cut, records, table_of
from tests.unit.play.streams import AUDIO, VIDEO, broadcast, from_segment, stream


def test_nothing_is_published_before_the_first_segment_is_complete() -> None:
    table = SegmentTable("s", 0, 60)
    for event in cut(stream(5)):
        table.apply(event)
        if isinstance(event, TrackClosed) and event.track == 0:
            break
        assert not table.is_published
    assert table.is_published


def test_segments_leave_the_window_by_time_and_are_returned() -> None:
    table = SegmentTable("s", 0, 30)
    dropped = [s.number for event in cut(stream(120)) for s in table.apply(event)]
    assert dropped == list(range(len(dropped)))
    assert table.segments[0].number == len(dropped)
    covered = table.segments[-1].start - table.segments[0].start
    assert 30 * 90_000 <= covered < 32 * 90_000
    assert table.get(0) is None
    assert table.part(0, 0, 0) is None


def test_a_short_window_keeps_four_target_durations() -> None:
    table = table_of(stream(60, ended=False), window_seconds=0)
    assert table.segments[-1].start - table.segments[0].start == 16 * 90_000


def test_a_part_is_found_as_soon_as_it_is_closed() -> None:
    table = SegmentTable("s", 0, 60)
    for event in cut(stream(6)):
        table.apply(event)
        if isinstance(event, PartClosed):
            part = table.part(event.track, event.number, event.index)
            assert part is not None
            assert part.data == event.data
            assert table.part(event.track, event.number, event.index + 1) is None
            assert table.part(event.track, event.number, -1) is None


def test_a_request_that_waits_is_reached_with_its_part() -> None:
    table = table_of(stream(9, ended=False))
    assert table.last(0) == (4, 1)
    assert table.has_reached(0, 3, None)
    assert not table.has_reached(0, 4, None)
    assert table.has_reached(0, 4, 0)
    assert not table.has_reached(0, 4, 1)
    # Part 7 does not exist in the closed segment 3: it is part 0 of segment 4.
    assert table.has_reached(0, 3, 7)
    assert not table.has_reached(0, 5, 0)
    assert not table.is_too_far(0, 6)
    assert table.is_too_far(0, 7)


def test_every_request_is_reached_when_the_session_is_over() -> None:
    table = table_of(stream(9))
    assert table.is_ended
    assert table.has_reached(0, 99, 3)


def test_rates_are_steps_that_do_not_follow_every_segment() -> None:
    table = SegmentTable("s", 0, 60)
    seen: set[tuple[int, int] | None] = set()
    for event in cut(stream(60)):
        table.apply(event)
        seen.add(table.rate(0))
    assert len(seen - {None}) <= 3
    peak, mean = table.rate(0) or (0, 0)
    assert peak >= mean > 0


def test_copied_segments_stand_in_front_of_the_own_ones() -> None:
    found = stream(60, ended=False)
    full, later = table_of(found), table_of(from_segment(found, 20))
    assert later.segments[0].number == 20
    for segment in full.segments[:25]:
        added = later.insert(segment, full.formats[segment.format_number])
        assert added is (segment.number < 20)
    assert later.segments == full.segments


def test_copied_segments_fill_a_hole() -> None:
    found = stream(20, ended=False)
    places = {r.number: i for i, r in enumerate(found) if isinstance(r, TimelineSegment)}
    full = table_of(found)
    table = table_of([*found[: places[2] + 9], *found[places[4] :]])
    assert [s.number for s in table.segments] == [0, 1, 4, 5, 6, 7, 8, 9]
    for number in (2, 3):
        segment = full.get(number)
        assert segment is not None
        assert table.insert(segment, full.formats[0])
    assert table.segments == full.segments


def test_a_copied_segment_replaces_one_that_is_still_open() -> None:
    found = stream(20)
    full = table_of(found)
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == 5)
    table = table_of(found[: place + 20])
    segment = full.get(5)
    assert segment is not None
    assert table.insert(segment, full.formats[0])
    assert table.get(5) is segment
    assert table.segments == full.segments[:6]


def test_a_huge_hole_begins_a_new_window() -> None:
    head = records((VIDEO, AUDIO), broadcast(6), ended=False)
    moved = [u for u in broadcast(20) if u.dts > 90_000 * 8]
    table = table_of([*head, *records((VIDEO, AUDIO), moved, number=5_000)])
    assert table.segments[0].number == 5_000


def test_the_target_duration_is_that_of_the_newest_segment() -> None:
    found = [
        r.model_copy(update={"target_seconds": 6})
        if isinstance(r, TimelineSegment) and r.number > 2
        else r
        for r in stream(12)
    ]
    table = SegmentTable("s", 0, 60)
    for event in cut(found):
        table.apply(event)
        if isinstance(event, SegmentBegun):
            assert table.target_seconds == (6 if event.record.number > 2 else 4)


@pytest.mark.parametrize(
    ("track", "name"), [(0, "video"), (1, "audio"), (2, "audio2"), (12, "audio12")]
)
def test_names_of_tracks(track: int, name: str) -> None:
    assert track_name(track) == name
    assert track_number(name) == track


@pytest.mark.parametrize("name", ["", "audio1", "audio0", "audio02", "audio²", "video0", "ts", "9"])
def test_other_names_are_no_tracks(name: str) -> None:
    assert track_number(name) is None


def test_wall_clock_text() -> None:
    assert utc_text(1_795_435_200_123_999) == "2026-11-23T12:00:00.123Z"
    assert utc_text(1_795_435_200_000_000) == "2026-11-23T12:00:00.000Z"
