"""A large picture on a slow uplink: a leg stalls when its bytes stop, not when one takes long."""

from __future__ import annotations

import pytest

from sluice_media.hub.feed import UnitFeed
from sluice_media.timeline.leg_framing import encode_formats
from tests.support.hub_world import World
from tests.unit.hub.concert import Part, duo, play, runs, status_of


@pytest.mark.parametrize("seconds", [1.2, 2.8])
def test_bytes_of_a_picture_keep_a_leg_on_air(seconds: float) -> None:
    """250 kB at 2 Mb/s take a second."""
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    slow = Part(primary, late=((3.0, 3.0 + seconds),), trickle=25_000)
    play(world, 2.9 + seconds, slow, Part(backup))
    assert status_of(world)["on_air"]
    play(world, 2, Part(primary), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p"]
    assert status_of(world)["failovers"] == 0


def test_bytes_that_stop_are_a_stall_in_the_middle_of_a_picture_too() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 4, Part(primary, lost=((3.0, 4.0),), trickle=25_000), Part(backup))
    assert status_of(world)["active_source"] == "Primary"
    play(world, 2, Part(primary, lost=((0.0, 9.0),)), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]
    last = world.hub.output.failovers.last
    assert last is not None
    assert 1_700 <= last.gap_milliseconds <= 1_900


def test_bytes_that_never_become_a_picture_keep_a_leg_on_air_for_three_seconds() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 8, Part(primary, lost=((3.0, 8.0),), trickle=25_000), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]
    last = world.hub.output.failovers.last
    assert last is not None
    assert 2_900 <= last.gap_milliseconds <= 3_200


def test_without_a_backup_a_slow_picture_is_no_interruption() -> None:
    world = World()
    publisher = world.publish()
    play(world, 5.7, Part(publisher, lost=((3.0, 5.7),), trickle=25_000))
    assert status_of(world)["on_air"]
    assert not status_of(world)["interrupted"]


def test_the_notice_of_a_gateway_keeps_a_leg_on_air() -> None:
    """A gateway sends only whole pictures to the hub."""
    world = World(backup=True)
    primary, backup = duo(world)
    play(world, 3, Part(primary), Part(backup))
    leg = primary.leg
    feed = UnitFeed(world.hub, leg)
    notice = encode_formats((), picture_comes=True)
    formats = leg.formats
    for _ in range(15):
        feed.feed(notice, world.now)
        leg.take_formats(formats)
        play(world, 0.1, Part(backup))
    assert status_of(world)["active_source"] == "Primary"
    play(world, 1, Part(backup))
    assert status_of(world)["active_source"] == "Backup"
