"""The rule that begins segments: at random access points, and at equal places at the next hub."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import LegGrid
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.output.grid import Grid, Numbers

SECOND = 90_000


def unit(seconds: float, *, key: bool = True, reorder: int = 0) -> AccessUnit:
    dts = SECOND + round(seconds * SECOND)
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(0, dts, dts + reorder, flags, 0, b"")


def begun(grid: Grid, units: Iterable[AccessUnit], *, is_video: bool = True) -> list[float]:
    """Return the seconds at which segments begin."""
    return [
        (segment.dts - SECOND) / SECOND
        for each in units
        for segment in grid.place(each, is_video=is_video)
    ]


def test_a_segment_begins_at_a_keyframe_when_three_quarters_of_its_duration_have_passed() -> None:
    keyframes = [unit(seconds) for seconds in (0, 1, 1.49, 1.5, 2.9, 3.1, 9)]
    assert begun(Grid(2), keyframes) == [0, 1.5, 3.1, 9]


def test_nothing_but_a_keyframe_begins_a_segment() -> None:
    pictures = [unit(n / 25, key=n % 250 == 0) for n in range(750)]
    assert begun(Grid(2), pictures) == [0, 10, 20]


def test_audio_alone_begins_a_segment_when_its_duration_has_passed() -> None:
    frames = [unit(n * 0.02) for n in range(300)]
    assert begun(Grid(2), frames, is_video=False) == [0, 2, 4]


def test_after_a_gap_a_segment_begins_at_once_and_in_a_new_run() -> None:
    grid = Grid(2)
    [first] = grid.place(unit(0), is_video=True)
    grid.interrupt()
    assert begun(grid, [unit(0.04, key=False)]) == []
    [second] = grid.place(unit(0.4), is_video=True)
    assert second.number == first.number + 1
    assert second.run != first.run


def test_after_a_change_of_format_a_segment_begins_in_the_same_run() -> None:
    grid = Grid(2)
    [first] = grid.place(unit(0, reorder=7_200), is_video=True)
    grid.change_formats()
    [second] = grid.place(unit(0.4, reorder=3_600), is_video=True)
    assert (second.run, second.format_number) == (first.run, first.format_number + 1)
    assert (first.shift, second.shift) == (7_200, 3_600)


def test_the_shift_stays_when_only_the_depth_of_b_frames_changes() -> None:
    grid = Grid(2)
    shifts = [
        segment.shift
        for each in (unit(0, reorder=7_200), unit(2, reorder=3_600), unit(4))
        for segment in grid.place(each, is_video=True)
    ]
    assert shifts == [7_200, 7_200, 7_200]


def test_the_target_grows_with_the_longest_segment_and_never_shrinks() -> None:
    grid = Grid(2)
    targets = [
        segment.target_seconds
        for seconds in (0, 2, 4, 14, 16, 18)
        for segment in grid.place(unit(seconds), is_video=True)
    ]
    assert targets == [4, 4, 4, 11, 11, 11]


def test_a_segment_has_the_wall_clock_that_is_in_force_where_it_begins() -> None:
    grid = Grid(2)
    grid.anchor(SECOND, 5_000_000)
    [first] = grid.place(unit(0), is_video=True)
    grid.anchor(3 * SECOND, 99_000_000)
    [second] = grid.place(unit(2), is_video=True)
    assert (first.anchor_dts, first.anchor_utc.second) == (SECOND, 5)
    assert (second.anchor_dts, second.anchor_utc.second) == (3 * SECOND, 39)


@given(
    st.lists(st.floats(0.1, 5), min_size=3, max_size=40),
    st.data(),
)
def test_a_hub_that_continues_writes_the_same_records(
    distances: list[float], data: st.DataObject
) -> None:
    """With any record of the former hub, and the units from before or within its segment on."""
    times = [sum(distances[:count]) for count in range(len(distances))]
    units = [unit(seconds, reorder=round(seconds) % 3 * 3_600) for seconds in times]
    grid = Grid(2)
    grid.anchor(SECOND, 7)
    records = [segment for each in units for segment in grid.place(each, is_video=True)]
    known = data.draw(st.sampled_from(records))
    next_dts = next((each.dts for each in records if each.dts > known.dts), units[-1].dts + 1)
    begin = data.draw(
        st.sampled_from([number for number, each in enumerate(units) if each.dts < next_dts])
    )
    again = Grid.resumed(
        LegGrid(
            segment_seconds=2,
            segment=known,
            place_dts=known.dts,
            newest_number=records[-1].number,
            newest_format_number=0,
        )
    )
    repeated = [s for each in units[begin:] for s in again.place(each, is_video=True)]
    assert repeated == records[known.number :]


def test_without_the_former_state_numbers_go_on_behind_all_that_are_known() -> None:
    grid = Grid.inexact(2, Numbers(41, 3), floor=SECOND)
    assert begun(grid, [unit(0)]) == []  # readers have this content
    [segment] = grid.place(unit(2), is_video=True)
    assert (segment.number, segment.format_number) == (42, 4)


def test_without_any_number_the_first_one_is_higher_than_any_in_use() -> None:
    used = Grid(1)
    begun(used, map(unit, range(600)))
    highest = used.last
    assert highest is not None
    [segment] = Grid.inexact(1, None, floor=highest.dts).place(unit(700), is_video=True)
    assert segment.number > highest.number
