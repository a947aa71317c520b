"""A large picture on a slow uplink: a leg stalls when its bytes stop, not when one takes long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice_media.hub.feed import FlvFeed, UnitFeed
from sluice_media.publishing.flv_parts import PICTURE_NOTICE
from sluice_media.timeline.leg_framing import encode_formats
from tests.unit.hub.concert import Part, duo, play, runs, words
from tests.unit.hub.world import World


@pytest.mark.parametrize("seconds", [1.2, 2.8])
def test_bytes_of_a_picture_keep_a_leg_on_air(seconds: float) -> None:
    """250 kB at 2 Mb/s take a second."""
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    slow = Part(primary, late=((3.0, 3.0 + seconds),), trickle=25_000)
    play(world, 2.9 + seconds, slow, Part(backup))
    assert words(world)["on_air"]
    play(world, 2, Part(primary), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p"]
    assert words(world)["failovers"] == 0


def test_bytes_that_stop_are_a_stall_in_the_middle_of_a_picture_too() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 4, Part(primary, lost=((3.0, 4.0),), trickle=25_000), Part(backup))
    assert words(world)["active_source"] == "Primary"
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
    assert words(world)["on_air"]
    assert not words(world)["interrupted"]


@pytest.mark.parametrize("container", ["flv", "units"])
def test_the_notice_of_a_gateway_keeps_a_leg_on_air(container: str) -> None:
    """Between gateway and hub only whole pictures pass."""
    world = World(backup=True)
    primary, backup = duo(world)
    play(world, 3, Part(primary), Part(backup))
    leg = primary.leg
    notice: Callable[[], None]
    if container == "flv":
        flv = FlvFeed(world.hub, leg)
        flv.feed(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", world.now)
        notice = lambda: flv.feed(PICTURE_NOTICE, world.now)  # noqa: E731
    else:
        units = UnitFeed(world.hub, leg)
        data = encode_formats((), picture_comes=True)
        notice = lambda: units.feed(data, world.now)  # noqa: E731
    formats = leg.formats
    for _ in range(15):
        notice()
        leg.take_formats(formats)
        play(world, 0.1, Part(backup))
    assert words(world)["active_source"] == "Primary"
    play(world, 1, Part(backup))
    assert words(world)["active_source"] == "Backup"
