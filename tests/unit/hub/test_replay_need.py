"""A gateway may drop only content that no reader can ask the next hub for."""

from __future__ import annotations

from datetime import timedelta

from sluice_media.contract import RingPin
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.output.grid import Grid
from sluice_media.hub.output.readers import Reader, Readers
from sluice_media.hub.output.replay_need import TAIL_SECONDS, ReplayNeed, replay_need
from sluice_media.hub.output.ring import Ring
from sluice_media.hub.output.timeline import OutputTimeline, Request
from tests.support.hub_world import Publisher, World, acked, config


def behind_seconds(world: World, publisher: Publisher) -> float | None:
    """How far the acknowledgement lies behind what went out last."""
    ack = world.hub.ack(publisher.leg)
    if ack.acked_dts is None:
        return None
    return (ack.last_out_dts - ack.out_offset - ack.acked_dts) / TICKS_PER_SECOND


def test_without_a_recorder_a_short_tail_is_kept() -> None:
    world = World()
    publisher = world.publish(first_dts=5_000_000)
    publisher.send(TAIL_SECONDS - 1)
    assert behind_seconds(world, publisher) is None
    assert not world.hub.ack(publisher.leg).recorded
    publisher.send(80)
    assert behind_seconds(world, publisher) == TAIL_SECONDS


def test_the_tail_begins_behind_the_slowest_reader() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(30)
    world.read("pusher", name="quick")
    slow = Reader("slow", "pusher", Request(), world.now)
    world.hub.attach(slow, world.now)
    timeline = world.hub.output.timeline
    assert timeline is not None
    slow.begin(timeline)
    publisher.send(15)
    behind = behind_seconds(world, publisher)
    assert behind is not None
    assert 15 + TAIL_SECONDS <= behind <= 16.5 + TAIL_SECONDS
    world.hub.readers.detach(slow, world.now)
    assert behind_seconds(world, publisher) == TAIL_SECONDS


def test_what_a_pin_asks_for_is_kept_and_nothing_before_it() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(30)
    since = datetime_of(world.now.utc_us) - timedelta(seconds=4)
    world.hub.configure(config(pins=[RingPin(recording_uid="rec", since=since)]), world.now)
    publisher.send(40)
    behind = behind_seconds(world, publisher)
    assert behind is not None
    assert 43.9 <= behind <= 45.1
    assert world.hub.ack(publisher.leg).recorded
    world.hub.configure(config(), world.now)
    assert behind_seconds(world, publisher) == TAIL_SECONDS


def test_a_second_recording_that_is_still_to_come_keeps_what_the_first_has() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(20)
    first = world.read(name="first")
    since = datetime_of(world.now.utc_us)
    world.hub.configure(config(pins=[RingPin(recording_uid="second", since=since)]), world.now)
    publisher.send(12)
    acked(world, "first", first.units[-1].dts)
    behind = behind_seconds(world, publisher)
    assert behind is not None
    assert 11.9 <= behind <= 13.1


def test_with_auto_record_everything_is_kept_until_the_recording_is_settled() -> None:
    world = World(auto_record=True)
    publisher = world.publish()
    publisher.send(80)
    ack = world.hub.ack(publisher.leg)
    assert (ack.acked_dts, ack.recorded) == (None, True)
    timeline = world.hub.output.timeline
    assert timeline is not None
    until = datetime_of(timeline.started_us)
    world.hub.configure(config(auto_record=True, auto_recorded_until=until), world.now)
    assert behind_seconds(world, publisher) == TAIL_SECONDS


def test_a_recorder_that_has_gone_for_good_is_waited_for_no_longer_than_it_lingers() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(5)
    recorder = world.read(name="rec")
    publisher.send(30)
    acked(world, "rec", recorder.units[0].dts)
    world.hub.readers.detach(recorder.reader, world.now)
    publisher.send(29)
    behind = behind_seconds(world, publisher)
    assert behind is not None
    assert behind > 50
    publisher.send(3)
    assert behind_seconds(world, publisher) == TAIL_SECONDS


def test_a_timeline_of_which_only_the_disk_has_something_is_kept() -> None:
    """As behind a restart of the container, with a reader that gets the session from disk."""
    timeline = OutputTimeline(
        id="t",
        epoch=2,
        stream_uid="uid",
        title="",
        started_us=0,
        last_dts=900_000,
        grid=Grid(2),
        ring=Ring(first=5, trimmed_dts=900_000),
    )
    readers = Readers()
    asked = Request(timeline="t", session_us=0)
    reader = Reader("viewer", "viewer", asked, World().now, timeline=timeline, seq=2)
    readers.attach(reader)
    assert replay_need(timeline, config(), readers) == ReplayNeed(
        None, recorded=False, grid_dts=900_000
    )


def test_before_a_session_only_who_may_record_makes_it_needed() -> None:
    world = World()
    publisher = world.publish()
    assert not world.hub.ack(publisher.leg).recorded
    world.hub.configure(config(auto_record=True), world.now)
    assert world.hub.ack(publisher.leg).recorded
