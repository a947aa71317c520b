"""Readers: where they start, when they are too slow, and what recorders acknowledge."""

from datetime import timedelta

from sluice_media.contract import RingPin, TimelineAck, TimelineEnd
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.clock import datetime_of, us_of
from sluice_media.hub.output.readers import Reader, Readers
from sluice_media.hub.output.timeline import Request
from tests.support.hub_world import World, acked, config


def test_a_recorder_starts_at_the_oldest_content_and_a_pusher_at_the_newest() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(5.5)
    assert world.read("recorder").payloads(0)[0].endswith(b"/0/0")
    assert world.read("pusher").payloads(0)[0].endswith(b"/0/125")


def test_who_was_there_before_the_session_gets_it_from_its_beginning() -> None:
    world = World()
    early = world.read("pusher")
    assert early.catch_up() == []
    publisher = world.publish()
    publisher.burst(list(publisher.units(5, in_real_time=False)))
    assert early.payloads(0)[0].endswith(b"/0/0")


def test_from_gives_every_unit_behind_the_position_and_what_was_said_in_between() -> None:
    world = World()
    first = world.publish()
    first.send(2)
    first.end()
    reader = world.read()
    position = reader.units[-1].dts
    timeline = reader.formats[0].timeline
    world.pass_time(3)
    world.publish().send(1)
    back = world.read("pusher", timeline=timeline, dts=position)
    back.catch_up()
    kinds = [type(record).__name__ for record in back.records[:7]]
    assert kinds == [
        "TimelineFormat",
        "TimelineAnchor",
        "TimelineSegment",
        "TimelineGap",
        "TimelineAnchor",
        "TimelineSegment",
        "AccessUnit",
    ]
    wanted = [unit.payload for unit in reader.units if unit.dts > position]
    assert [unit.payload for unit in back.units] == wanted


def test_a_position_that_has_left_the_ring_gets_a_gap_and_the_oldest_content() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(1)
    early = world.read()
    position = early.units[-1].dts
    publisher.send(90)
    back = world.read("pusher", timeline=early.formats[0].timeline, dts=position)
    [gap] = back.gaps
    assert gap.dts == back.units[0].dts
    assert gap.wall_seconds > 25
    assert back.units[0].is_random_access


def test_a_position_on_another_timeline_starts_at_what_exists_and_says_so() -> None:
    world = World()
    world.publish().send(3)
    reader = world.read("recorder", timeline="gone", dts=10**9)
    assert reader.units[0].payload.endswith(b"/0/0")
    assert reader.formats[0].timeline != "gone"


def test_a_recorder_that_came_too_late_for_a_short_session_still_gets_it() -> None:
    world = World(resume_window_seconds=1)
    publisher = world.publish()
    publisher.send(3)
    asked = world.now.utc_us
    publisher.send(2)
    publisher.end()
    world.pass_time(5)
    assert world.hub.output.timeline is None
    late = world.read(since_us=asked)
    assert late.units[0].payload.endswith(b"/0/75")
    assert isinstance(late.records[-1], TimelineEnd)
    world.pass_time(60)
    assert world.read(since_us=asked).catch_up() == []


def test_a_recorder_that_has_a_session_does_not_get_its_tail_again() -> None:
    world = World(resume_window_seconds=1)
    publisher = world.publish()
    publisher.send(3)
    publisher.end()
    world.pass_time(2)
    finished = world.hub.output.sessions.past[0].finished_at
    assert finished is not None
    again = world.read(since_us=us_of(finished))
    assert again.catch_up() == []


def test_a_pin_holds_a_session_that_ended_until_its_recorder_has_it() -> None:
    world = World(resume_window_seconds=1)
    publisher = world.publish()
    publisher.send(3)
    since = datetime_of(world.now.utc_us - 1_000_000)
    pins = [RingPin(recording_uid="rec", since=since)]
    world.hub.configure(config(resume_window_seconds=1, pins=pins), world.now)
    publisher.end()
    world.pass_time(300)
    late = world.read(name="rec", since_us=world.now.utc_us - 302_000_000)
    assert late.end is not None
    world.hub.readers.acknowledge(
        TimelineAck(reader="rec", timeline=late.formats[0].timeline, dts=late.units[-1].dts)
    )
    world.pass_time(1)
    assert world.read(since_us=world.now.utc_us - 303_000_000).catch_up() == []


def test_a_pin_holds_the_ring_until_the_recorder_has_read_past_it() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(5)
    since = datetime_of(world.now.utc_us) - timedelta(seconds=2)
    pins = [RingPin(recording_uid="rec", since=since)]
    world.hub.configure(config(pins=pins), world.now)
    publisher.send(120)
    timeline = world.hub.output.timeline
    assert timeline is not None
    assert timeline.ring.seconds_held > 120
    reader = world.read(name="rec", since_us=world.now.utc_us - 122_000_000)
    assert reader.units[0].payload.endswith(b"/0/75")
    acked(world, "rec", reader.units[-1].dts)
    publisher.send(5)
    assert timeline.ring.seconds_held < 70
    assert timeline.ring.pins_broken == 0


def test_acknowledged_is_what_every_recorder_holds() -> None:
    world = World()
    publisher = world.publish(first_dts=1_000_000)
    publisher.send(3)
    assert world.hub.ack(publisher.leg).acked_dts is None
    a, b = world.read(name="a"), world.read(name="b")
    world.read("pusher", name="p")
    dts = a.units[-1].dts
    acked(world, "a", dts)
    assert world.hub.ack(publisher.leg).acked_dts is None
    acked(world, "b", dts - 7_200)
    ack = world.hub.ack(publisher.leg)
    assert ack.acked_dts == dts - 7_200 - ack.out_offset
    assert ack.acked_dts > 1_000_000
    acked(world, "b", dts - 9_000)
    assert world.hub.ack(publisher.leg).acked_dts == ack.acked_dts
    world.hub.readers.detach(b.reader, world.now)
    assert world.hub.ack(publisher.leg).acked_dts == ack.acked_dts
    world.pass_time(31)
    assert world.hub.readers.acked_dts(a.formats[0].timeline) == dts


def test_an_acknowledgement_of_a_stranger_is_not_taken() -> None:
    readers = Readers()
    assert not readers.acknowledge(TimelineAck(reader="x", timeline="t", dts=1))


def test_a_reader_that_reads_nothing_is_too_slow_and_one_that_catches_up_is_not() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(50)
    stuck = Reader("stuck", "pusher", Request(), world.now)
    past = Reader("past", "recorder", Request(whole=True), world.now)
    timeline = world.hub.output.timeline
    assert timeline is not None
    for reader in (stuck, past):
        reader.begin(timeline)
        assert not reader.too_slow(world.now)
    for _ in range(18):
        publisher.send(1)
        assert not stuck.too_slow(world.now)
        assert not past.too_slow(world.now)
        past.advanced(past.seq + 80, world.now)
    for _ in range(5):
        publisher.send(1)
        past.advanced(past.seq + 80, world.now)
        assert not past.too_slow(world.now)
        stuck.too_slow(world.now)
    assert stuck.too_slow(world.now)


def test_a_burst_is_no_slowness() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(1)
    reader = world.read("pusher")
    reader.catch_up()
    assert not reader.reader.too_slow(world.now)
    publisher.burst(list(publisher.units(30, in_real_time=False)))
    assert not reader.reader.too_slow(world.now)
    units = [r for r in reader.catch_up() if isinstance(r, AccessUnit)]
    assert len(units) > 1_000
    assert not reader.reader.too_slow(world.now)
