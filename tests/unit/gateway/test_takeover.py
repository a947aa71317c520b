"""What readers get of a publisher whose clock jumps, and whose hub is lost or silent after that."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.units import AccessUnit
from tests.unit.gateway.takeover import CHUNK_TICKS, Takeover
from tests.unit.hub.world import assert_strictly_increasing

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


def assert_exact(stream: Takeover) -> None:
    """Nothing is missing, nothing comes twice, and nothing is called a gap: neither for a reader
    that has all so far, nor for a recorder that begins again with what it holds durably."""
    for track in (0, 1):
        assert numbers(stream.out, track) == numbers(stream.sent, track)
    pictures = [unit.dts for unit in stream.out if unit.track == 0]
    assert {b - a for a, b in pairwise(pictures)} == {3_600}
    assert_strictly_increasing(stream.out)
    assert not stream.recorder.gaps


def recorder_again(stream: Takeover, held: int) -> list[AccessUnit]:
    """What a recorder that holds everything up to ``held`` gets at the present hub."""
    timeline = stream.recorder.formats[0].timeline
    return stream.world.read(name="r2", timeline=timeline, dts=held).units


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
        assert numbers(recorder_again(stream, held), track) == numbers(missed, track)
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
