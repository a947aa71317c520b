"""What readers get of a publisher whose clock jumps, and whose hub is lost or silent after that."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.contract import TimelineAnchor
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.output.splicer import FIRST_DTS
from tests.support.hub_world import VirtualReader, assert_strictly_increasing
from tests.unit.gateway.takeover import CHUNK_TICKS, Takeover

JUMPS: dict[str, tuple[float, ...]] = {
    "none": (),
    "11 s ahead": (11.0,),
    "1 h ahead": (3_600.0,),
    "0.9 s back": (-0.9,),
    "20 s back": (-20.0,),
    "20 s back and 11 s ahead": (-20.0, 11.0),
    "1 h ahead and back": (3_600.0, -3_600.0),
    "0.9 s back twice": (-0.9, -0.9),
}
HUBS = pytest.mark.parametrize("same", [False, True], ids=["new hub", "same hub"])


def go_on(stream: Takeover, *, same: bool) -> None:
    if same:
        stream.silence_hub()
    else:
        stream.replace_hub()


def numbers(units: list[AccessUnit], track: int) -> list[bytes]:
    return [unit.payload for unit in units if unit.track == track]


def times(units: list[AccessUnit], track: int) -> list[int]:
    return [unit.dts for unit in units if unit.track == track]


def placed(stream: Takeover) -> list[tuple[int, int, bytes]]:
    return [(unit.track, unit.dts, unit.payload) for unit in stream.out]


def assert_exact(stream: Takeover) -> None:
    """Nothing is missing, nothing comes twice, and nothing is called a gap: neither for a reader
    that has all so far, nor for a recorder that begins again with what it holds durably."""
    for track in (0, 1):
        assert numbers(stream.out, track) == numbers(stream.sent, track)
    pictures = [unit.dts for unit in stream.out if unit.track == 0]
    assert {b - a for a, b in pairwise(pictures)} == {3_600}
    assert_strictly_increasing(stream.out)
    assert not stream.recorder.gaps


def recorder_again(stream: Takeover, held: int) -> VirtualReader:
    """A recorder that holds everything up to ``held``, at the present hub."""
    timeline = stream.recorder.formats[0].timeline
    return stream.world.read(name="r2", timeline=timeline, dts=held)


@HUBS
@pytest.mark.parametrize("lost_after", [0.06, 1, 3, 10])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_a_hub_that_is_lost_after_a_jump_costs_readers_nothing(
    jumps: tuple[float, ...], lost_after: float, same: bool
) -> None:
    stream = Takeover()
    stream.send(8.5)
    for seconds in jumps:
        stream.jump(seconds)
        stream.send(1.5 if seconds is not jumps[-1] else lost_after)
    held = stream.out[-1].dts - CHUNK_TICKS
    go_on(stream, same=same)
    stream.send(5)
    assert_exact(stream)
    missed = [unit for unit in stream.out if unit.dts > held]
    for track in (0, 1):
        assert numbers(recorder_again(stream, held).units, track) == numbers(missed, track)
    assert stream.kept.dropped_groups == 0


@HUBS
def test_a_clock_that_jumps_does_not_change_how_much_is_kept(same: bool) -> None:
    stream = Takeover()
    stream.send(10)
    usual = stream.kept.groups
    for seconds in (3_600.0, -20.0, -0.9):
        stream.jump(seconds)
        stream.send(8)
        assert abs(stream.kept.groups - usual) <= 1
    go_on(stream, same=same)
    stream.send(10)
    assert abs(stream.kept.groups - usual) <= 1


@pytest.mark.parametrize("seconds", [3_600.0, -20.0, -0.9])
def test_a_jump_that_no_hub_has_seen_costs_nothing(seconds: float) -> None:
    stream = Takeover()
    stream.send(8.5)
    stream.take(stream.encoder.units(0.7), hub=False)
    stream.jump(seconds)
    stream.take(stream.encoder.units(1.3), hub=False)
    stream.replace_hub()
    stream.send(5)
    assert_exact(stream)


@pytest.mark.parametrize("seconds", [3_600.0, -20.0, -0.9])
@pytest.mark.parametrize("replayed", [0.1, 0.5, 0.9])
def test_a_hub_that_is_replaced_while_it_reads_the_replay_costs_nothing(
    seconds: float, replayed: float
) -> None:
    stream = Takeover()
    stream.send(8.5)
    stream.jump(seconds)
    stream.send(3)
    stream.replace_hub(replayed=replayed)
    stream.replace_hub()
    stream.send(5)
    assert_exact(stream)


@HUBS
@pytest.mark.parametrize("seconds", [3_600.0, -20.0, -0.9])
def test_a_takeover_is_exact_though_the_limits_have_taken_what_nobody_held(
    seconds: float, same: bool
) -> None:
    stream = Takeover()
    stream.holds = False
    stream.send(20.5)
    stream.jump(seconds)
    stream.send(45.3)
    assert stream.kept.dropped_groups > 0
    go_on(stream, same=same)
    stream.send(2)
    assert_exact(stream)


@HUBS
@pytest.mark.parametrize("replayed", [0, 0.1])
def test_a_hub_that_is_silent_again_before_it_has_read_the_replay_keeps_the_leg_in_its_place(
    replayed: float, same: bool
) -> None:
    stream = Takeover()
    stream.send(15.5)
    stream.silence_hub(replayed=replayed)
    go_on(stream, same=same)
    stream.send(5)
    assert_exact(stream)
    assert stream.world.hub.output.gaps == 0


@HUBS
@pytest.mark.parametrize("apart_seconds", [3_600, -3_600])
def test_tracks_whose_clocks_are_an_hour_apart_are_kept_and_sent_again_like_others(
    apart_seconds: int, same: bool
) -> None:
    usual, stream = Takeover(), Takeover()
    stream.sound_base = apart_seconds * 90_000
    for either in (usual, stream):
        either.send(15.5)
    assert stream.kept.groups == usual.kept.groups
    stream.jump(-20)
    stream.send(3)
    go_on(stream, same=same)
    stream.send(5)
    assert_exact(stream)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(-4_000, -0.3), st.floats(10.5, 4_000)),
            st.floats(0.05, 4),
            st.sampled_from(["nothing", "new hub", "same hub"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_jumps_and_losses_in_any_order_cost_nothing(
    steps: list[tuple[float, float, str]],
) -> None:
    stream = Takeover()
    stream.send(3.3)
    for seconds, then, loss in steps:
        stream.jump(seconds)
        stream.send(then)
        if loss != "nothing":
            go_on(stream, same=loss == "same hub")
    stream.send(1)
    assert_exact(stream)


def broken_off(silences: list[tuple[float, float]], *, lost: bool, same: bool) -> Takeover:
    """A source that is cut off for so many seconds, each time followed by media; then a loss."""
    stream = Takeover(resume_window_seconds=60)
    stream.send(12.5)
    for silent, then in silences:
        stream.cut_off(silent)
        stream.send(then)
    if lost:
        go_on(stream, same=same)
    stream.send(5)
    return stream


@HUBS
@pytest.mark.parametrize(
    "silences",
    [
        [(3.3, 1)],
        [(3.3, 4)],
        [(3.3, 5.9)],
        [(15.3, 1)],
        [(15.3, 4)],
        [(15.3, 9)],
        [(15.3, 25)],
        [(2.2, 1.7), (15.3, 1), (4.1, 1.5)],
    ],
    ids=str,
)
def test_a_hub_that_is_lost_soon_after_a_silence_costs_readers_nothing(
    silences: list[tuple[float, float]], same: bool
) -> None:
    usual = broken_off(silences, lost=False, same=same)
    stream = broken_off(silences, lost=True, same=same)
    assert placed(stream) == placed(usual)
    held = usual.out[-1].dts - 5 * 90_000 - CHUNK_TICKS
    again, expected = recorder_again(stream, held), recorder_again(usual, held)
    assert_strictly_increasing(again.units)
    for track in (0, 1):
        assert numbers(again.units, track) == numbers(expected.units, track)
        assert discontinuities(again, track) == discontinuities(expected, track)
    assert again.gaps == expected.gaps
    assert wall_seconds(again) == pytest.approx(wall_seconds(expected), abs=0.2)


def discontinuities(reader: VirtualReader, track: int) -> list[int]:
    return [u.dts for u in reader.units if u.track == track and u.is_discontinuity]


def wall_seconds(reader: VirtualReader) -> list[float]:
    """When, by its anchors, each picture of a reader was made, seconds since an epoch."""
    times, anchor = [], None
    for record in reader.records:
        if isinstance(record, TimelineAnchor):
            anchor = record
        elif isinstance(record, AccessUnit) and record.track == 0:
            assert anchor is not None
            times.append(anchor.utc.timestamp() + (record.dts - anchor.dts) / 90_000)
    return times


@pytest.mark.parametrize("then", [0.7, 3, 6])
def test_a_new_hub_puts_nothing_of_an_earlier_session_into_the_present_one(then: float) -> None:
    stream = Takeover()
    stream.send(12.5)
    stream.cut_off(15.3)
    begins = len(stream.sent)
    stream.send(then)
    stream.read_session()
    stream.replace_hub()
    stream.send(2)
    [timeline] = stream.world.hub.output.timelines
    units = stream.world.read(name="r2", session_us=timeline.started_us).units
    assert min(unit.dts for unit in units) == FIRST_DTS
    assert_strictly_increasing(units)
    behind = [unit for unit in stream.sent[begins:] if unit.track == 0]
    first = next(number for number, unit in enumerate(behind) if unit.is_random_access)
    assert numbers(units, 0) == [unit.payload for unit in behind[first:]]


@pytest.mark.parametrize("silent", [3.3, 15.3])
def test_a_hub_that_closed_a_hole_does_so_once_though_its_gateway_was_not_told(
    silent: float,
) -> None:
    stream = Takeover(resume_window_seconds=60)
    stream.send(12.5)
    stream.cut_off(silent)
    stream.acknowledging = False
    stream.send(0.7)
    stream.acknowledging = True
    stream.silence_hub()
    stream.send(1)
    pictures = numbers(stream.out, 0)
    assert len(set(pictures)) == len(pictures)
    assert pictures[-1] == numbers(stream.sent, 0)[-1]
    assert {b - a for a, b in pairwise(times(stream.out, 0))} == {3_600}
    assert len(stream.recorder.gaps) == 1
    held = stream.out[-1].dts - CHUNK_TICKS
    missed = [unit.payload for unit in stream.out if unit.track == 0 and unit.dts > held]
    stream.replace_hub()
    again = recorder_again(stream, held)
    assert numbers(again.units, 0) == missed
    assert len(again.gaps) == 1


@pytest.mark.parametrize("ahead_seconds", [0.1, 0.3])
def test_a_gap_is_said_again_though_sound_comes_before_the_picture_behind_it(
    ahead_seconds: float,
) -> None:
    usual, stream = Takeover(resume_window_seconds=60), Takeover(resume_window_seconds=60)
    for either in (usual, stream):
        either.sound_base = round(ahead_seconds * 90_000)
        either.send(12.5)
        either.cut_off(3.3)
        either.send(2)
    stream.replace_hub()
    expected, recorder = (each.world.read(name="q") for each in (usual, stream))
    assert len(expected.gaps) == 1
    assert recorder.gaps == expected.gaps
    assert wall_seconds(recorder)[-1] == pytest.approx(wall_seconds(expected)[-1], abs=0.2)


@pytest.mark.parametrize("replayed", [0.05, 0.5])
def test_a_hub_that_is_silent_before_it_has_read_the_replay_is_sent_what_came_before_a_silence(
    replayed: float,
) -> None:
    stream = Takeover(resume_window_seconds=60)
    stream.send(12.5)
    stream.cut_off(15.3)
    stream.send(1)
    last = stream.out[-1].dts
    stream.replace_hub(replayed=replayed)
    stream.silence_hub()
    stream.send(5)
    held = last - CHUNK_TICKS
    again = recorder_again(stream, held)
    missed = [unit for unit in stream.out if unit.dts > held]
    for track in (0, 1):
        assert numbers(again.units, track) == numbers(missed, track)
    assert len(again.gaps) == 1


@pytest.mark.parametrize("ahead_seconds", [15, 30, 3_600])
def test_pictures_that_come_late_and_in_other_times_than_the_sound_are_kept(
    ahead_seconds: int,
) -> None:
    """The session begins in the times of the sound, and goes on in those of the pictures."""
    stream = Takeover(resume_window_seconds=60)
    stream.sound_base = ahead_seconds * 90_000
    stream.holds = False
    stream.take(unit for unit in stream.encoder.units(5) if unit.track == 1)
    begins = len(stream.sent)
    stream.send(20)
    assert stream.kept.groups >= 20
    stream.replace_hub()
    stream.send(3)
    assert stream.world.hub.delivering
    pictures = numbers(stream.out, 0)
    assert pictures[-500:] == numbers(stream.sent[begins:], 0)[-500:]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["jump", "silence", "both"]),
            st.one_of(st.floats(-4_000, -0.3), st.floats(10.5, 4_000)),
            st.floats(2.2, 30),
            st.floats(1.5, 4),
            st.sampled_from(["nothing", "new hub", "same hub"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_silences_jumps_and_losses_in_any_order_put_every_unit_where_it_was(
    steps: list[tuple[str, float, float, float, str]],
) -> None:
    usual = Takeover(resume_window_seconds=60)
    stream = Takeover(resume_window_seconds=60)
    for either in (usual, stream):
        either.send(3.3)
        for kind, jump, silent, then, loss in steps:
            if kind != "jump":
                either.cut_off(silent)
            if kind != "silence":
                either.jump(jump)
            either.send(then)
            if loss != "nothing" and either is stream:
                go_on(either, same=loss == "same hub")
        either.send(1)
    assert placed(stream) == placed(usual)
