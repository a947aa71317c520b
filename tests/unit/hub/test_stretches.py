"""A connection that is posted again when its media went out with more than one offset."""

from __future__ import annotations

from sluice_media.hub.legs.leg import LegName
from tests.support.hub_world import Publisher, World, acked


def cut_off(world: World, publisher: Publisher, seconds: float) -> None:
    """Lose everything that the publisher sends for ``seconds``."""
    list(publisher.units(seconds, in_real_time=False))
    world.pass_time(seconds)


def go_on(again: Publisher, before: Publisher) -> None:
    again._position, again._picture = before._position, before._picture
    again._audio_frames = before._audio_frames


def test_a_gap_is_not_said_again_when_another_leg_fed_the_output_meanwhile() -> None:
    world = World(backup=True, resume_window_seconds=60)
    reader = world.read()
    primary = world.publish()
    primary.send(10)
    cut_off(world, primary, 3.3)
    primary.send(3)
    last_ack = world.hub.ack(primary.leg)
    assert len(last_ack.earlier) == 1
    backup = world.publish(name=LegName.BACKUP)
    backup.send(1.2)
    primary.end()
    backup.send(5)
    gaps_before = len(reader.gaps)
    again = world.publish(connection=primary.leg.hello.connection, resume=last_ack)
    go_on(again, primary)
    backup.end()
    again.send(2.2)
    assert world.hub.active is again.leg
    assert len(reader.gaps) <= gaps_before + 1
    walls = [anchor.utc for anchor in reader.anchors]
    assert walls == sorted(walls)
    assert world.hub.ack(again.leg).earlier == ()


def test_a_standby_that_has_taken_over_is_acknowledged_in_its_own_times_when_posted_again() -> None:
    """Its gateway only knows it as a standby."""
    world = World(backup=True, resume_window_seconds=60)
    reader = world.read()
    primary = world.publish()
    primary.send(100)
    backup = world.publish(name=LegName.BACKUP)
    for _ in range(125):
        for publisher in (primary, backup):
            for unit in publisher.units(0.04, in_real_time=False):
                publisher.leg.bytes_arrived(100, world.now)
                world.hub.take_unit(publisher.leg, unit, world.now)
        world.pass_time(0.04)
    timeline = world.hub.output.timeline
    assert timeline is not None
    held = timeline.last_dts - 90_000
    acked(world, "r", held)
    last_ack = world.hub.ack(backup.leg)
    assert not last_ack.is_on_air
    primary.end()
    world.pass_time(0.2)
    now = world.hub.ack(backup.leg)
    assert now.is_on_air
    again = world.publish(
        name=LegName.BACKUP, connection=backup.leg.hello.connection, resume=last_ack
    )
    go_on(again, backup)
    assert world.hub.ack(again.leg) == now
    assert now.acked_dts == held - now.out_offset
    again.send(2)
    assert not reader.gaps
