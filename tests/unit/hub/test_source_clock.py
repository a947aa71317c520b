"""Sources whose clocks do what clocks should not: every frame goes out, and in its place."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.legs.leg import LegName
from sluice_media.timeline.source_clock import SourceClock
from tests.support.hub_world import (
    AUDIO,
    AUDIO_FRAME,
    VIDEO,
    Publisher,
    VirtualReader,
    World,
    assert_strictly_increasing,
)
from tests.unit.hub.concert import Part, play, runs, status_of

JUMPS = {
    "20 s back": -20.0,
    "11 s ahead": 11.0,
    "0.9 s back": -0.9,
    "0.25 s back": -0.25,
    "years": 3e8,
}


def jump(publisher: Publisher, seconds: float) -> None:
    publisher.first_dts += round(seconds * 90_000)


def steps(reader: VirtualReader, track: int) -> set[int]:
    return {b.dts - a.dts for a, b in pairwise([u for u in reader.units if u.track == track])}


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize("reorder", [0, 2])
def test_a_clock_that_jumps_within_a_group_of_pictures_costs_no_frame(
    seconds: float, reorder: int
) -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(first_dts=9_000_000, reorder=reorder)
    publisher.send(3.5)
    jump(publisher, seconds)
    publisher.send(8.5)
    assert [u.payload for u in reader.units] == [u.payload for u in publisher.sent]
    assert len(reader.payloads(0)) == 300
    assert steps(reader, 0) == {3_600}
    assert max(steps(reader, 1)) - min(steps(reader, 1)) <= AUDIO_FRAME
    assert not any(u.flags & UnitFlags.DISCONTINUITY for u in reader.units)
    assert not reader.gaps
    assert world.hub.output.splicer.clamped == 0
    [_, moved] = reader.anchors
    assert moved.dts == next(u.dts for u in reader.units if u.payload.endswith(b"/0/88"))
    wall = (moved.utc - reader.anchors[0].utc).total_seconds()
    assert wall == pytest.approx((moved.dts - reader.anchors[0].dts) / 90_000, abs=0.05)


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_jumps_is_no_reason_to_change_to_the_backup(seconds: float) -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p", first_dts=9_000_000)
    backup = world.publish(name=LegName.BACKUP, connection="b")
    play(world, 3.5, Part(primary), Part(backup))
    jump(primary, seconds)
    play(world, 3.5, Part(primary), Part(backup))
    assert runs(reader) == [("p", 0, 174)]
    assert status_of(world)["failovers"] == 0


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_standby_whose_clock_jumps_can_be_entered_before_the_jump(seconds: float) -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p")
    backup = world.publish(name=LegName.BACKUP, connection="b", first_dts=9_000_000)
    play(world, 3.3, Part(primary), Part(backup))
    jump(backup, seconds)
    play(world, 2, Part(primary, ends_at=0.3), Part(backup))
    assert runs(reader) == [("p", 0, 89), ("b", 75, 132)]
    assert not reader.gaps


def test_a_hub_that_takes_over_after_a_jump_goes_on_in_the_same_times() -> None:
    old = World()
    reader = old.read()
    publisher = old.publish(connection="c", first_dts=9_000_000)
    publisher.send(2.5)
    jump(publisher, -20)
    units = list(publisher.units(6, in_real_time=False))
    publisher.burst(units[:200])
    ack = old.hub.ack(publisher.leg)
    new = World()
    new.pass_time(1)
    back = new.read(timeline=ack.timeline, dts=reader.units[-1].dts)
    again = new.publish(connection="c", resume=ack)
    start = next(n for n, u in enumerate(units) if u.is_random_access and n > 100)
    again.burst(units[start:])
    taken = {u.track: u.dts for u in reader.units}
    fresh = [u.payload for u in back.units if u.dts > taken[u.track]]
    assert [u.payload for u in reader.units][-200:] + fresh == [u.payload for u in units]
    assert not back.gaps


def test_what_recorders_hold_is_acknowledged_in_the_times_of_the_source() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(first_dts=9_000_000)
    publisher.send(2.5)
    jump(publisher, -20)
    publisher.send(2.5)
    timeline = world.hub.output.timeline
    assert timeline is not None
    last = next(u for u in reversed(publisher.sent) if u.track == 0)
    out = next(u.dts for u in reversed(reader.units) if u.track == 0)
    assert last.dts + world.hub.ack(publisher.leg).out_offset == out


def test_a_jump_after_a_silence_is_a_gap_up_to_the_next_keyframe() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(first_dts=9_000_000)
    publisher.send(2.2)
    publisher.send(3.3, arriving=False)
    jump(publisher, -20)
    publisher.send(3)
    [gap] = reader.gaps
    assert gap.wall_seconds == pytest.approx(3.8, abs=0.1)
    after = next(u for u in reader.units if u.dts == gap.dts)
    assert after.flags == UnitFlags.RANDOM_ACCESS | UnitFlags.DISCONTINUITY
    assert_strictly_increasing(reader.units)
    assert len(reader.payloads(1)) == 104 + 117


# ------------------------------------------------------------------ several tracks


def sound(n: int, base: int = 0) -> AccessUnit:
    dts = base + n * AUDIO_FRAME
    return AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"s%d" % n)


def picture(n: int, base: int = 0) -> AccessUnit:
    dts = base + n * 3_600
    return AccessUnit(0, dts, dts, UnitFlags.NONE, 0, b"p%d" % n)


def through(units: list[AccessUnit], clock: SourceClock | None = None) -> list[AccessUnit]:
    clock = clock or SourceClock()
    taken = [clock.take(u, n * 0.014, lead=0) for n, u in enumerate(units)]
    return [unit for unit in taken if unit is not None]


@given(
    st.one_of(st.integers(-(2**40), -23_000), st.integers(950_000, 2**40)),
    st.integers(-25, 25),
    st.integers(30, 90),
)
def test_sound_and_pictures_jump_together_however_they_are_interleaved(
    size: int, late: int, place: int
) -> None:
    """``late``: how many units later than the pictures the sound comes."""
    border = place * 3_600
    units = [picture(n, size if n >= place else 0) for n in range(120)]
    units += [sound(n, size if n * AUDIO_FRAME >= border else 0) for n in range(225)]

    def sent(unit: AccessUnit) -> float:
        source = unit.dts - (size if abs(unit.dts - size) < abs(unit.dts) else 0)
        n = int(unit.payload[1:])
        true = n * (AUDIO_FRAME if unit.track else 3_600)
        assert source in (true, true + size) or size == 0
        return true + (late * AUDIO_FRAME if unit.track else 0)

    out = through(sorted(units, key=sent))
    assert len(out) == len(units)
    shifts = {u.dts - int(u.payload[1:]) * (AUDIO_FRAME if u.track else 3_600) for u in out}
    # The first track to jump goes on one frame of its own later; both by the same amount.
    assert len(shifts) <= 2
    assert max(map(abs, shifts)) <= 3_600
    by_track = {t: [u.dts for u in out if u.track == t] for t in (0, 1)}
    assert all(a < b for track in by_track.values() for a, b in pairwise(track))


@pytest.mark.parametrize("longer", [0, 1], ids=["longer pictures", "longer sound"])
def test_a_file_that_begins_again_keeps_every_picture_and_its_lip_sync(longer: int) -> None:
    units: list[AccessUnit] = []
    for _ in range(5):
        pictures = [picture(n) for n in range(100 + (3 if longer == 0 else 0))]
        sounds = [sound(n) for n in range(188 + (6 if longer == 1 else 0))]
        units += sorted([*pictures, *sounds], key=lambda u: u.dts)
    out = through(units)
    wanted = [u.payload for u in units if u.track == 0]
    assert [u.payload for u in out if u.track == 0] == wanted
    for track in (0, 1):
        times = [u.dts for u in out if u.track == track]
        assert all(a < b for a, b in pairwise(times))
        assert max(b - a for a, b in pairwise(times)) <= 8 * AUDIO_FRAME
    last = {t: max(u.dts for u in out[-290:] if u.track == t and u.payload[1:] == b"90")
            for t in (0, 1)}  # fmt: skip
    assert last[0] - 90 * 3_600 == last[1] - 90 * AUDIO_FRAME


@pytest.mark.parametrize("size", [-1_800_000, 3_600 * 90_000])
def test_a_clock_that_jumps_behind_a_silence_goes_on_as_much_later(size: int) -> None:
    clock = SourceClock()
    through([picture(n) for n in range(100)], clock)
    silent_until = 99 * 0.014 + 3.3
    units = [picture(n, size) for n in (100, 101)]
    taken = [clock.take(u, silent_until + n * 0.04, lead=0) for n, u in enumerate(units)]
    first = 99 * 3_600 + round(3.3 * 90_000)
    assert [unit.dts for unit in taken if unit] == [first, first + 3_600]


def test_a_silence_without_a_jump_changes_no_time() -> None:
    clock = SourceClock()
    through([picture(n) for n in range(100)], clock)
    late = picture(100 + 25 * 30)
    assert clock.take(late, 99 * 0.014 + 30, lead=0) is late


@pytest.mark.parametrize("missing", [1, 5, 6, 12, 24, 26, 200])
def test_pictures_that_are_lost_on_the_way_move_no_later_one(missing: int) -> None:
    clock = SourceClock()
    pictures = [n for n in range(100) if not 40 <= n < 40 + missing] + [300, 301]
    placed = [clock.place(0, n * 3_600, n * 0.04, lead=0) for n in pictures]
    assert placed == [n * 3_600 for n in pictures]


@given(st.lists(st.floats(0.001, 9.9), max_size=60))
def test_a_source_may_take_its_pictures_whenever_it_likes(seconds: list[float]) -> None:
    clock = SourceClock()
    dts, came_at = 900_000, 50.0
    for each in seconds:
        dts, came_at = dts + round(each * 90_000), came_at + each
        assert clock.place(0, dts, came_at, lead=0) == dts


def test_one_track_that_jumps_alone_is_not_lost() -> None:
    units = [picture(n) for n in range(250)]
    units += [sound(n, -1_800_000 if n >= 200 else 0) for n in range(468)]
    order = sorted(units, key=lambda u: int(u.payload[1:]) * (AUDIO_FRAME if u.track else 3_600))
    out = through(order)
    assert len(out) == len(units)
    assert [u.dts for u in out if u.track == 1] == [n * AUDIO_FRAME for n in range(468)]


@pytest.mark.parametrize("base", [-50.0, 50.0, 4e6], ids=str)
@pytest.mark.parametrize("first", ["pictures", "sound"])
def test_tracks_whose_clocks_began_far_apart_are_put_side_by_side(base: float, first: str) -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(formats=(VIDEO, AUDIO))
    shift = round(base * 90_000)
    units = []
    for unit in publisher.units(4, in_real_time=False):
        moved = shift if unit.track == 1 else 0
        units.append(
            AccessUnit(unit.track, unit.dts + moved, unit.pts + moved, unit.flags, 0, unit.payload)
        )
    if first == "sound":
        units = [units[1], units[0], *units[2:]]
    publisher.burst(units)
    assert len(reader.payloads(0)) == 100
    assert len(reader.payloads(1)) >= 186
    out = {u.payload: u.dts for u in reader.units}
    tracks = [
        {out[u.payload] - u.dts for u in units if u.payload in out and u.track == t} for t in (0, 1)
    ]
    assert [len(offsets) for offsets in tracks] == [1, 1]
    assert abs(tracks[0].pop() - tracks[1].pop() - shift) <= AUDIO_FRAME


def test_one_track_far_behind_the_other_with_the_same_clock_is_left_alone() -> None:
    out = through([*(sound(n) for n in range(400)), picture(0), picture(1)])
    assert [u.dts for u in out if u.track == 0] == [0, 3_600]


# ------------------------------------------------------------------ display before decoding

SHOWN = {"I P B B": [0, 3, 1, 2], "pyramid": [0, 4, 2, 1, 3]}


@pytest.mark.parametrize("order", SHOWN.values(), ids=SHOWN)
def test_pictures_shown_before_they_are_decoded_keep_their_order(order: list[int]) -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(formats=(VIDEO,))
    size = len(order) - 1
    pts = [0, *(group * size + n for group in range(40) for n in order[1:])]
    units: list[Any] = []
    for n, shown in enumerate(pts):
        flags = UnitFlags.RANDOM_ACCESS if n == 0 else UnitFlags.NONE
        units.append(AccessUnit(0, n * 3_000, shown * 3_000, flags, 0, b"x/0/%d" % n))
    publisher.burst(units)
    out = reader.units
    assert_strictly_increasing(out)
    assert len(out) == len(units)
    # Where the decoding time is moved two pictures have the same time, but for a tick or two.
    late = [u.pts - out[0].pts - shown * 3_000 for u, shown in zip(out, pts, strict=True)]
    assert set(late[len(order) :]) == {0}
    assert max(late) <= (2 if size == 3 else 3_002)
    times = [u.pts for u in out]
    assert len(times) == len(set(times))
