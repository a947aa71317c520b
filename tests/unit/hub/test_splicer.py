"""The splicer: one clock out of many, by cases and by any interleaving of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import TimelineEnd
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.output.splicer import FIRST_DTS, Splicer
from tests.support.hub_world import AUDIO, VIDEO, Publisher, World, assert_strictly_increasing


def unit(dts: int, *, track: int = 0, pts: int | None = None, key: bool = False) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(track, dts, dts if pts is None else pts, flags, 0, b"")


def started(first_dts: int = 0) -> Splicer:
    splicer = Splicer()
    splicer.take_formats((VIDEO, AUDIO))
    first = unit(first_dts, key=True)
    splicer.enter(first)
    splicer.map(first)
    return splicer


def test_a_timeline_starts_at_one_second_whatever_the_source_says() -> None:
    for first in (0, -90_000, 2**33 - 1, 2**45):
        splicer = Splicer()
        splicer.take_formats((VIDEO, AUDIO))
        assert splicer.enter(unit(first, key=True)) == FIRST_DTS
        out = splicer.map(unit(first, key=True))
        assert out is not None
        assert out.dts == FIRST_DTS


def test_audio_older_than_the_keyframe_is_dropped() -> None:
    splicer = started(10_000)
    assert splicer.map(unit(9_999, track=1)) is None
    assert splicer.map(unit(10_000, track=1)) is not None


def test_pictures_that_lead_their_keyframe_are_dropped() -> None:
    splicer = Splicer()
    splicer.take_formats((VIDEO,))
    key = unit(0, pts=10_800, key=True)
    splicer.enter(key)
    splicer.map(key)
    assert splicer.map(unit(3_600, pts=3_600)) is None
    assert splicer.map(unit(7_200, pts=7_200)) is None
    assert splicer.map(unit(10_800, pts=14_400)) is not None


def test_equal_and_slightly_smaller_times_are_pushed_behind_the_last() -> None:
    splicer = started()
    times = [splicer.map(unit(dts)) for dts in (3_600, 3_600, 3_500, 7_200)]
    assert [out.dts - FIRST_DTS for out in times if out] == [3_600, 3_601, 3_602, 7_200]
    assert splicer.clamped == 2


@pytest.mark.parametrize(
    ("step", "silent", "in_step"),
    [
        (3_600, False, True),
        (-80_000, False, True),
        (-100_000, False, False),
        (9 * 90_000, False, True),
        (11 * 90_000, False, False),
        (80_000, True, True),
        (100_000, True, False),
    ],
)
def test_what_continues_a_clock(step: int, silent: bool, in_step: bool) -> None:
    splicer = started(1_000_000)
    assert splicer.in_step(unit(1_000_000 + step), after_silence=silent) is in_step


def test_one_track_may_be_far_behind_the_other() -> None:
    splicer = started()
    for second in range(1, 60):
        out = unit(second * 90_000, track=1)
        assert splicer.in_step(out)
        splicer.map(out)
    assert splicer.in_step(unit(59 * 90_000))


def test_a_splice_continues_one_frame_behind_the_furthest_track() -> None:
    splicer = started()
    splicer.map(unit(3_600))
    splicer.map(unit(20_000, track=1))
    splicer.map(unit(21_920, track=1))
    start = splicer.enter(unit(777, key=True))
    assert start == FIRST_DTS + 21_920 + 1_920


def test_display_order_is_kept_over_a_splice_with_b_frames() -> None:
    world = World()
    reader = world.read()
    for seconds in (1.24, 2.0, 0.72):
        publisher = world.publish(formats=(VIDEO,), reorder=2)
        publisher.send(seconds)
        publisher.end()
        world.pass_time(1)
    units = reader.units
    assert_strictly_increasing(units)
    splices = [n for n, u in enumerate(units) if u.flags & UnitFlags.DISCONTINUITY]
    assert len(splices) == 2
    for place in splices:
        shown = max(u.pts for u in units[:place])
        assert all(u.pts > shown for u in units[place:])
        assert units[place].pts - shown <= 2 * 3_600


def test_a_source_that_restarts_at_zero_goes_on_in_the_same_session() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(first_dts=90_000_000)
    publisher.send(3)
    publisher.first_dts = -publisher._position
    publisher.send(3)
    assert_strictly_increasing(reader.units)
    assert not reader.gaps
    assert reader.end is None
    assert len(reader.anchors) == 2
    # 25 pictures a second: 75 before, and all but those before the next keyframe behind.
    assert len(reader.payloads(0)) == 150
    video = [u.dts for u in reader.units if u.track == 0]
    assert max(b - a for a, b in pairwise(video)) <= 2 * 3_600


def test_a_silence_after_which_everything_comes_late_has_no_gap() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    world.pass_time(5)
    assert not world.hub.delivering
    publisher.burst(list(publisher.units(5, in_real_time=False)))
    publisher.send(2)
    assert world.hub.delivering
    assert [u.payload for u in reader.units] == [u.payload for u in publisher.sent]
    assert not reader.gaps


def test_a_silence_after_which_media_is_missing_is_a_gap_up_to_the_next_keyframe() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    publisher.send(5.5, arriving=False)
    publisher.send(2)
    [gap] = reader.gaps
    assert gap.wall_seconds == pytest.approx(6.04, abs=0.1)
    assert_strictly_increasing(reader.units)
    after = next(u for u in reader.units if u.dts == gap.dts)
    assert after.payload.endswith(b"/0/200")
    assert after.flags == UnitFlags.RANDOM_ACCESS | UnitFlags.DISCONTINUITY


def test_the_same_connection_again_repeats_nothing_and_loses_nothing() -> None:
    world = World()
    reader = world.read()
    first = world.publish(connection="c")
    units = list(first.units(6, in_real_time=False))
    first.burst(units[:250])
    ack = world.hub.ack(first.leg)
    again = world.publish(connection="c", resume=ack)
    replayed_from = next(n for n, u in enumerate(units) if u.is_random_access and n > 100)
    again.burst(units[replayed_from:])
    assert [u.payload for u in reader.units] == [u.payload for u in units]
    assert not reader.gaps
    assert not any(u.flags & UnitFlags.DISCONTINUITY for u in reader.units)


def test_another_hub_adopts_timeline_session_and_times() -> None:
    old = World()
    reader = old.read()
    publisher = old.publish(connection="c", first_dts=5_000_000)
    units = list(publisher.units(10, in_real_time=False))
    publisher.burst(units[:400])
    ack = old.hub.ack(publisher.leg)
    new = World()
    new.pass_time(3)
    back = new.read(timeline=ack.timeline, dts=reader.units[-1].dts)
    assert back.catch_up() == []
    again = new.publish(connection="c", resume=ack)
    start = next(n for n, u in enumerate(units) if u.is_random_access and n > 200)
    again.burst(units[start:])
    before, after = reader.formats[0], back.formats[0]
    assert after.timeline == before.timeline
    assert after.epoch == before.epoch + 1
    assert after.session_started_at == before.session_started_at
    taken = {u.track: u.dts for u in reader.units}
    fresh = [u.payload for u in back.units if u.dts > taken[u.track]]
    assert [u.payload for u in reader.units] + fresh == [u.payload for u in units]
    assert not back.gaps


@pytest.mark.parametrize("why", ["another stream", "too old", "ended here"])
def test_a_map_that_is_not_ours_starts_a_new_timeline(why: str) -> None:
    world = World()
    publisher = world.publish(connection="c")
    publisher.send(2)
    ack = world.hub.ack(publisher.leg)
    if why == "ended here":
        publisher.end()
        world.pass_time(11)
        new = world
    else:
        new = World()
        new.pass_time(100 if why == "too old" else 2)
    if why == "another stream":
        ack = ack.model_copy(update={"stream_uid": "somebody else's"})
    new.publish(connection="c", resume=ack, first_dts=2 * 90_000).send(1)
    timeline = new.hub.output.timeline
    assert timeline is not None
    assert timeline.id != ack.timeline
    assert timeline.epoch == 1


def test_what_a_session_that_is_over_had_put_out_is_not_played_again() -> None:
    world = World()
    first = world.publish(connection="c")
    units = list(first.units(6, in_real_time=False))
    first.burst(units[:250])
    ack = world.hub.ack(first.leg)
    first.end()
    world.pass_time(11)
    assert world.hub.output.timeline is None
    # The gateway was out of reach for longer than the window, and has kept everything.
    late = world.read(name="late")
    again = world.publish(connection="c", resume=ack)
    again.burst(units)
    world.pass_time(0.1)
    payloads = [u.payload for u in late.units]
    expected = next(n for n, u in enumerate(units) if u.is_random_access and n >= 250)
    assert payloads == [u.payload for u in units[expected:]]


def test_an_encoder_that_restarted_its_clock_meanwhile_is_on_air_at_once() -> None:
    world = World()
    first = world.publish(connection="c", first_dts=2**40)
    first.send(2)
    ack = world.hub.ack(first.leg)
    first.end()
    world.pass_time(11)
    world.publish(connection="c", resume=ack).send(0.2)
    assert world.hub.delivering


events = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.sampled_from(LegName), st.integers(0, 2**34)),
        st.tuples(st.just("send"), st.sampled_from(LegName), st.floats(0.1, 3)),
        st.tuples(st.just("lose"), st.sampled_from(LegName), st.floats(0.1, 4)),
        st.tuples(st.just("late"), st.sampled_from(LegName), st.floats(0.1, 4)),
        st.tuples(st.just("restart"), st.sampled_from(LegName), st.integers(-(2**33), 2**33)),
        st.tuples(st.just("end"), st.sampled_from(LegName), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from(LegName), st.floats(0.1, 4)),
    ),
    min_size=3,
    max_size=25,
)


class Story:
    """Plays events on two legs; none of them may leave the hub without media for its window."""

    def __init__(self, reorder: int, formats: tuple[object, ...]) -> None:
        self.world = World(resume_window_seconds=1800)
        self.reader = self.world.read()
        self.legs: dict[LegName, Publisher] = {}
        self._reorder, self._formats = reorder, formats

    def play(self, what: str, name: LegName, value: float) -> None:
        world, leg = self.world, self.legs.get(name)
        if what == "wait":
            world.pass_time(value)
        elif what == "connect":
            if leg is None or leg.leg.silent_seconds(world.now) >= 0.8:
                self.legs[name] = world.publish(
                    name=name,
                    first_dts=int(value),
                    reorder=self._reorder,
                    formats=self._formats,
                )
        elif leg is None:
            return
        elif what == "send":
            leg.send(value)
        elif what == "lose":
            leg.send(value, arriving=False)
        elif what == "late":
            units = list(leg.units(value, in_real_time=False))
            world.pass_time(value)
            leg.burst(units)
        elif what == "restart":
            leg.first_dts += int(value)
        else:
            self.legs.pop(name).end()


@given(
    events,
    st.sampled_from([0, 2]),
    st.sampled_from([(VIDEO, AUDIO), (VIDEO,), (AUDIO,)]),
)
def test_any_interleaving_of_legs_and_losses_is_one_growing_timeline(
    story: list[tuple[str, LegName, float]], reorder: int, formats: tuple[object, ...]
) -> None:
    scene = Story(reorder, formats)
    scene.play("connect", LegName.PRIMARY, 0)
    for what, name, value in story:
        scene.play(what, name, value)
    reader = scene.reader
    assert_strictly_increasing(reader.units)
    assert not any(isinstance(record, TimelineEnd) for record in reader.records)
    assert len({f.timeline for f in reader.formats}) <= 1
    if reader.units:
        assert reader.units[0].is_random_access
    payloads = [u.payload for u in reader.units]
    assert len(payloads) == len(set(payloads))
    reference = 0 if VIDEO in formats else 1
    for before, out in pairwise([u for u in reader.units if u.track == reference]):
        if out.flags & UnitFlags.DISCONTINUITY:
            assert out.is_random_access
        assert out.dts - before.dts <= 11 * 90_000
