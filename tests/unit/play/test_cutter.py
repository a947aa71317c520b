"""The cutter: equal bytes wherever it begins, exact durations, and whole segments only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice_media.contract import TimelineEnd, TimelineGap, TimelineSegment
from sluice_media.formats.cmaf import Sample, read_fragments
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from sluice_media.play.cutter import (
    PART_TICKS,
    Cutter,
    Event,
    PartClosed,
    SegmentBegun,
    SegmentDropped,
    SessionEnded,
    TrackClosed,
)
from tests.support.playback import cut, records
from tests.unit.play.streams import (
    AUDIO,
    HEVC,
    VIDEO,
    VIDEO_1080,
    broadcast,
    format_record,
    from_segment,
    pictures,
    segment_record,
    sounds,
    sources,
    stream,
)

Source = tuple[tuple[TrackFormat, ...], list[AccessUnit]]


def parts(events: Sequence[Event]) -> dict[tuple[int, int, int], PartClosed]:
    return {(e.number, e.track, e.index): e for e in events if isinstance(e, PartClosed)}


def begun(events: Sequence[Event]) -> list[int]:
    return [e.record.number for e in events if isinstance(e, SegmentBegun)]


def samples(events: Sequence[Event], track: int, shift: int = 0) -> dict[int, list[Sample]]:
    found: dict[int, list[Sample]] = defaultdict(list)
    for part in parts(events).values():
        if part.track == track:
            for piece in read_fragments(part.data, is_video=track == 0, shift=shift):
                found[part.number] += piece.samples
    return found


@settings(max_examples=50, deadline=None)
@given(sources(), st.data())
def test_two_cutters_that_begin_at_different_segments_write_equal_bytes(
    source: Source, data: st.DataObject
) -> None:
    found = records(*source)
    whole = cut(found)
    number = data.draw(st.sampled_from(begun(whole)))
    later = cut(from_segment(found, number))
    assert parts(later) == {k: v for k, v in parts(whole).items() if k[0] >= number}
    closed = {(e.number, e.track) for e in whole if isinstance(e, TrackClosed)}
    assert {(e.number, e.track) for e in later if isinstance(e, TrackClosed)} == {
        key for key in closed if key[0] >= number
    }


@settings(max_examples=50, deadline=None)
@given(sources(), st.data())
def test_a_reader_that_enters_in_mid_segment_begins_with_the_next_one(
    source: Source, data: st.DataObject
) -> None:
    found = records(*source)
    numbers = begun(cut(found))
    number = data.draw(st.sampled_from(numbers))
    late = data.draw(st.integers(1, 20))
    rest = from_segment(found, number)[2:]
    assume(not any(isinstance(record, TimelineSegment) for record in rest[:late]))
    # The first of the missing units is the reference track's.
    entered = from_segment(found, number, late=late)
    assert begun(cut(entered)) == [n for n in numbers if n > number]


@settings(max_examples=50, deadline=None)
@given(sources())
def test_every_unit_of_a_segment_is_in_it_once_and_in_order(source: Source) -> None:
    formats, units = source
    found = records(formats, units)
    place = next(n for n, r in enumerate(found) if isinstance(r, TimelineSegment))
    first = found[place]
    assert isinstance(first, TimelineSegment)
    shift = first.shift
    behind = [record for record in found[place:] if isinstance(record, AccessUnit)]
    events = cut(found)
    for track_format in formats:
        track = track_format.track
        taken = [s for _, part in sorted(samples(events, track, shift).items()) for s in part]
        # A unit that is more than a second late belongs to the segment that is open then.
        since = taken[0].dts if taken else first.dts
        want = [u for u in behind if u.track == track and u.dts >= since]
        assert [(s.dts, s.payload) for s in taken] == [(u.dts, u.payload) for u in want]
        if track == 0:
            assert [s.pts for s in taken] == [u.pts for u in want]


@settings(max_examples=50, deadline=None)
@given(sources())
def test_parts_follow_each_other_and_keep_to_the_target(source: Source) -> None:
    events = cut(records(*source))
    found = parts(events)
    for (number, track, index), part in found.items():
        assert part.duration <= PART_TICKS or len(_of(part, track)) == 1
        if index:
            before = found[number, track, index - 1]
            assert part.start >= before.start + before.duration
    numbers = {(e.number, e.track) for e in events if isinstance(e, TrackClosed)}
    assert {(number, track) for number, track, _ in found} <= numbers
    assert isinstance(events[-1], SessionEnded)


def _of(part: PartClosed, track: int) -> tuple[Sample, ...]:
    (found,) = read_fragments(part.data, is_video=track == 0, shift=7_200)
    return found.samples


@pytest.mark.parametrize(
    ("fps", "rate", "want_video", "want_audio"),
    [
        (25, 48_000, 13, 24),
        (30_000 / 1_001, 44_100, 15, 22),
        (50, 48_000, 26, 24),
        (60_000 / 1_001, 44_100, 31, 22),
    ],
)
def test_a_part_has_as_many_frames_as_fit_in_520_ms(
    fps: float, rate: int, want_video: int, want_audio: int
) -> None:
    events = cut(records((VIDEO, AUDIO), broadcast(6, fps=fps, rate=rate)))
    for track, want in ((0, want_video), (1, want_audio)):
        part = parts(events)[1, track, 0]
        (found,) = read_fragments(part.data, is_video=track == 0)
        assert len(found.samples) == want
        assert found.sequence == 1 << 10


def test_a_part_closes_with_the_next_unit_of_its_track() -> None:
    cutter = Cutter()
    video = pictures(30)
    for record in (format_record((VIDEO,)), segment_record(0, video[0])):
        assert cutter.feed(record) == []
    for unit in video[:13]:
        assert not parts(cutter.feed(unit))
    assert list(parts(cutter.feed(video[13]))) == [(0, 0, 0)]


def test_durations_are_those_to_the_next_unit_also_at_the_end_of_a_segment() -> None:
    found = samples(cut(stream(8)), 0)
    times = [s for number in sorted(found) for s in found[number]]
    for before, after in pairwise(times):
        assert before.dts + before.duration == after.dts
    assert times[-1].duration == times[-2].duration


def test_a_long_step_is_a_hole_and_not_a_frozen_picture() -> None:
    units = [u for u in pictures(200) if not 100_000 < u.dts < 90_000 + 4 * 90_000]
    found = samples(cut(records((VIDEO,), units)), 0)
    assert max(s.duration for part in found.values() for s in part) == 90_000


def test_audio_that_stops_leaves_empty_segments_and_goes_on_by_itself() -> None:
    units = [u for u in broadcast(14) if u.track == 0 or not 5 < u.dts / 90_000 - 1 < 10.5]
    events = cut(records((VIDEO, AUDIO), units))
    closed = [e.number for e in events if isinstance(e, TrackClosed) and e.track == 1]
    assert closed == begun(events)
    with_units = {number for number, track, _ in parts(events) if track == 1}
    assert [n for n in closed if n not in with_units] == [3, 4]
    # A segment without units closes when the pictures are 1 s ahead, and not at the end.
    at = [i for i, e in enumerate(events) if isinstance(e, TrackClosed) and e.track == 1]
    next_begin = next(i for i, e in enumerate(events) if begun([e]) == [6])
    assert at[4] < next_begin


def test_the_first_segments_of_a_track_that_comes_late_are_empty() -> None:
    units = [u for u in broadcast(10) if u.track == 0 or u.dts > 90_000 * 6]
    events = cut(records((VIDEO, AUDIO), units))
    empty = {e.number for e in events if isinstance(e, TrackClosed) and e.track == 1}
    assert empty - {number for number, track, _ in parts(events) if track == 1} == {0, 1}


def test_a_format_change_begins_at_its_segment() -> None:
    units = broadcast(8)
    head = records((VIDEO, AUDIO), units, ended=False)
    place = next(i for i, r in enumerate(head) if getattr(r, "number", None) == 2)
    changed = [
        r.model_copy(update={"format_number": 1}) if isinstance(r, TimelineSegment) else r
        for r in head[place:]
    ]
    events = cut([*head[:place], format_record((VIDEO_1080, AUDIO)), *changed])
    formats = {e.record.number: e.formats for e in events if isinstance(e, SegmentBegun)}
    assert formats[1] == (VIDEO, AUDIO)
    assert formats[2] == (VIDEO_1080, AUDIO)
    assert {e.record.format_number for e in events if isinstance(e, SegmentBegun)} == {0, 1}


def test_a_track_that_vanishes_closes_its_last_segment() -> None:
    head = records((VIDEO, AUDIO), broadcast(4), ended=False)
    tail = pictures(100, first=90_000 * 5)
    events = cut(
        [*head, format_record((VIDEO,)), segment_record(2, tail[0], format_number=1), *tail]
    )
    assert begun(events) == [0, 1, 2]
    audio = [e.number for e in events if isinstance(e, TrackClosed) and e.track == 1]
    assert audio == [0, 1]
    late = next(i for i, e in enumerate(events) if isinstance(e, TrackClosed) and e.number == 1)
    assert late < len(events) - 1


def test_records_that_are_repeated_after_a_reconnect_change_nothing() -> None:
    found = stream(8)
    want = parts(cut(found))
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == 2) + 30
    repeated = [found[0], found[place - 30], *found[place - 10 :]]
    events = cut([*found[:place], *repeated])
    assert parts(events) == want
    assert begun(events) == [0, 1, 2, 3]


def test_a_segment_record_without_units_is_replaced() -> None:
    found = stream(6)
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == 1)
    first = found[place]
    assert isinstance(first, TimelineSegment)
    stale = first.model_copy(update={"dts": first.dts - 5, "run": "b0"})
    assert parts(cut([*found[:place], stale, *found[place:]])) == parts(cut(found))


def test_numbers_that_skip_drop_the_segment_whose_units_were_lost() -> None:
    found = stream(12)
    places = {r.number: i for i, r in enumerate(found) if isinstance(r, TimelineSegment)}
    lost = [*found[: places[1] + 20], found[0], *found[places[4] :]]
    events = cut(lost)
    assert begun(events) == [0, 1, 4, 5]
    dropped = [e.number for e in events if isinstance(e, SegmentDropped)]
    assert 1 in dropped
    closed = {(e.number, e.track) for e in events if isinstance(e, TrackClosed)}
    assert not {(n, t) for n, t in closed if n == 1}
    want = {k: v for k, v in parts(cut(found)).items() if k[0] >= 4}
    assert {k: v for k, v in parts(events).items() if k[0] >= 4} == want


def test_another_run_goes_on_with_the_next_number() -> None:
    head = records((VIDEO, AUDIO), broadcast(4), ended=False)
    tail = [replace(u, dts=u.dts + 360_007, pts=u.pts + 360_007) for u in broadcast(4)]
    gap = TimelineGap(dts=tail[0].dts, wall_seconds=3)
    again = records((VIDEO, AUDIO), tail, number=2, run="b2")[1:]
    events = cut([*head, gap, *again])
    assert begun(events) == [0, 1, 2, 3]
    assert not [e for e in events if isinstance(e, SegmentDropped)]


def test_units_before_the_first_segment_are_dropped() -> None:
    units = broadcast(4)
    early = sounds(1, first=0)
    found = records((VIDEO, AUDIO), units)
    assert parts(cut([found[0], *early, *found[1:]])) == parts(cut(found))


def test_the_end_closes_everything_once() -> None:
    cutter = Cutter()
    events = [e for r in stream(5) for e in cutter.feed(r)]
    closed = [(e.number, e.track) for e in events if isinstance(e, TrackClosed)]
    assert sorted(closed) == [(n, t) for n in range(3) for t in (0, 1)]
    end = TimelineEnd(reason="Stopped", finished_at=format_record(()).session_started_at)
    assert cutter.feed(end) == [SessionEnded()]


def test_a_reader_may_drop_its_open_segments_itself() -> None:
    cutter = Cutter()
    found = stream(8, ended=False)
    place = next(i for i, r in enumerate(found) if getattr(r, "number", None) == 2)
    for record in found[: place + 30]:
        cutter.feed(record)
    assert [type(e) for e in cutter.drop_open()] == [SegmentDropped]
    rest = [e for r in found[place + 30 :] for e in cutter.feed(r)]
    assert begun(rest) == [3]


def test_another_session_needs_another_cutter() -> None:
    cutter = Cutter()
    cutter.feed(format_record((VIDEO,)))
    with pytest.raises(ValueError, match="cutter of its own"):
        cutter.feed(format_record((VIDEO,), session="other"))


def test_the_last_picture_of_a_session_without_a_second_one_has_the_declared_rate() -> None:
    unit = AccessUnit(0, 90_000, 90_000, UnitFlags.RANDOM_ACCESS, 0, b"x")
    for track_format in (VIDEO, HEVC):
        events = cut(records((track_format,), [unit]))
        (part,) = parts(events).values()
        assert 1_500 <= part.duration <= 3_753
