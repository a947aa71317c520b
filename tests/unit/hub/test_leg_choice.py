"""Which of two legs is on air: what makes one fail, which one starts, and when one comes back."""

from __future__ import annotations

from typing import Any

from sluice_media.hub.legs.leg import LegName
from tests.support.hub_world import (
    VIDEO,
    World,
    assert_strictly_increasing,
)
from tests.unit.hub.concert import Part, duo, play, runs, status_of


def test_pings_do_not_keep_a_leg_on_air() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 5, Part(primary, lost=((2.0, 9.0),), pings=True), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]


def test_audio_alone_does_not_keep_a_leg_on_air_whose_pictures_have_stopped() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 2.5, Part(primary), Part(backup))
    play(world, 3, Part(primary, silent_tracks=(0,)), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]
    assert_strictly_increasing(reader.units)


def test_one_picture_a_second_is_no_stall() -> None:
    world = World(backup=True)
    slow: dict[str, Any] = {"frame": 90_000, "gop": 1, "formats": (VIDEO,)}
    primary = world.publish(connection="p", **slow)
    backup = world.publish(name=LegName.BACKUP, connection="b", **slow)
    play(world, 30, Part(primary, jitter=lambda at: 0.4 * (int(at) % 2)), Part(backup))
    assert status_of(world)["failovers"] == 0
    play(world, 8, Part(primary, lost=((0.0, 9.0),)), Part(backup))
    assert status_of(world)["active_source"] == "Backup"


def test_at_the_start_the_primary_has_300_ms_to_win() -> None:
    world = World(backup=True)
    reader = world.read()
    backup = world.publish(name=LegName.BACKUP, connection="b")
    primary = world.publish(connection="p")
    play(world, 2, Part(backup), Part(primary, delay=0.2))
    assert [run[0] for run in runs(reader)] == ["p"]


def test_a_backup_alone_is_on_air_after_300_ms_and_loses_nothing() -> None:
    world = World(backup=True)
    reader = world.read()
    backup = world.publish(name=LegName.BACKUP, connection="b")
    play(world, 0.25, Part(backup))
    assert not world.hub.delivering
    play(world, 0.75, Part(backup))
    assert runs(reader) == [("b", 0, 24)]
    assert status_of(world)["active_source"] == "Backup"
    assert status_of(world)["failovers"] == 0


def test_without_failback_the_backup_stays_on_air() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 90, Part(primary, lost=((3.0, 5.0),)), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]
    assert status_of(world)["primary_delivers"]
    assert status_of(world)["active_source"] == "Backup"


def test_failback_is_a_clean_cut_at_a_keyframe_after_the_primary_was_stable() -> None:
    world = World(backup=True, failback="AfterStable", failback_seconds=10)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 14, Part(primary, lost=((3.0, 5.0),)), Part(backup))
    assert status_of(world)["active_source"] == "Backup"
    play(world, 6, Part(primary), Part(backup))
    assert status_of(world)["active_source"] == "Primary"
    assert [run[0] for run in runs(reader)] == ["p", "b", "p"]
    (_, _, last), (_, first, _) = runs(reader)[1:]
    assert first % 25 == 0
    assert first == last + 1
    assert not reader.gaps
    last_failover = world.hub.output.failovers.last
    assert last_failover is not None
    assert (last_failover.from_, last_failover.to) == ("Backup", "Primary")
    assert last_failover.gap_milliseconds <= 40


def test_a_primary_that_breaks_again_starts_its_time_of_stability_anew() -> None:
    world = World(backup=True, failback="AfterStable", failback_seconds=10)
    primary, backup = duo(world)
    lost = ((3.0, 5.0), (12.0, 13.5))
    play(world, 20, Part(primary, lost=lost), Part(backup))
    assert status_of(world)["active_source"] == "Backup"
    play(world, 6, Part(primary), Part(backup))
    assert status_of(world)["active_source"] == "Primary"


def test_two_legs_that_both_jitter_do_not_throw_the_output_to_and_fro() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    primary_stalls = tuple((t, t + 0.95) for t in range(3, 58, 4))
    backup_stalls = tuple((t, t + 0.95) for t in range(5, 58, 4))
    play(world, 60, Part(primary, late=primary_stalls), Part(backup, late=backup_stalls))
    assert status_of(world)["failovers"] <= 12
    assert_strictly_increasing(reader.units)
    assert not reader.gaps


def test_a_leg_that_flaps_is_used_when_there_is_nothing_else() -> None:
    world = World(backup=True, failback="AfterStable", failback_seconds=0)
    primary, backup = duo(world)
    flapping = tuple((t, t + 1.0) for t in range(2, 14, 3))
    play(world, 14, Part(primary, lost=flapping), Part(backup))
    assert status_of(world)["active_source"] == "Backup"
    assert 3 <= status_of(world)["failovers"] <= 6
    play(world, 3, Part(primary), Part(backup, ends_at=0.5))
    assert status_of(world)["active_source"] == "Primary"
