"""A hub that follows a dead one: whose timeline it goes on with."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from sluice_media.contract import LegAck, PullConfig
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.http.server import HubServer
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.status import hub_status
from tests.support.hub_world import Publisher, VirtualReader, World, assert_strictly_increasing
from tests.unit.hub.concert import Part, play


class Before:
    """A hub with both legs on air, up to its death; what its gateways and a reader know."""

    def __init__(self, *, on_backup: bool = False, seconds: float = 6) -> None:
        self.world = World(backup=True)
        self.reader = self.world.read()
        self.primary = self.world.publish(connection="p", first_dts=5_000_000)
        self.backup = self.world.publish(
            name=LegName.BACKUP, connection="b", first_dts=2**33 - 300_000
        )
        lost = ((3.0, 4.5),) if on_backup else ()
        play(self.world, seconds, Part(self.primary, lost=lost), Part(self.backup))
        self.primary_ack = self.world.hub.ack(self.primary.leg)
        self.backup_ack = self.world.hub.ack(self.backup.leg)
        self.units = self.reader.units

    @property
    def timeline(self) -> str:
        return self.reader.formats[0].timeline

    @property
    def position(self) -> int:
        return max(unit.dts for unit in self.units)

    def successor(self, seconds_later: float = 2) -> tuple[World, VirtualReader]:
        world = World(backup=True)
        world.monotonic = self.world.monotonic + seconds_later
        world.hub.tick(world.now)
        reader = world.read(timeline=self.timeline, dts=self.position)
        world.hub.attach(reader.reader, world.now)
        return world, reader


def replay(leg: Publisher, old: Publisher, ack: LegAck) -> None:
    """Send what the gateway of ``old`` has kept: from the keyframe at or before ``ack`` on."""
    leg._position, leg._picture, leg._audio_frames = old._position, old._picture, old._audio_frames
    acked = ack.acked_dts if ack.acked_dts is not None else 0
    keys = [n for n, u in enumerate(old.sent) if u.is_random_access and u.dts <= acked]
    leg.burst(old.sent[keys[-1] if keys else 0 :])


def test_a_hub_that_dies_on_its_backup_is_followed_without_a_missing_frame() -> None:
    before = Before(on_backup=True)
    assert before.backup_ack.is_on_air
    assert not before.primary_ack.is_on_air
    world, reader = before.successor()
    # The primary is there first, and its gateway knows that it was a standby.
    primary = world.publish(
        connection="p", resume=before.primary_ack, first_dts=before.primary.first_dts
    )
    replay(primary, before.primary, before.primary_ack)
    world.pass_time(1)
    assert not world.hub.delivering
    backup = world.publish(
        name=LegName.BACKUP,
        connection="b",
        resume=before.backup_ack,
        first_dts=before.backup.first_dts,
    )
    replay(backup, before.backup, before.backup_ack)
    play(world, 3, Part(primary), Part(backup))
    form = reader.formats[0]
    assert (form.timeline, form.epoch) == (before.timeline, 2)
    assert form.session_started_at == before.reader.formats[0].session_started_at
    taken = {u.track: u.dts for u in before.units}
    fresh = [u for u in reader.units if u.dts > taken[u.track]]
    joined = [u for u in before.units + fresh if u.track == 0 and u.payload.startswith(b"b/")]
    numbers = [int(u.payload.rsplit(b"/", 1)[1]) for u in joined]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert_strictly_increasing(before.units + fresh)
    assert not reader.gaps
    # And the primary is a standby again.
    assert not world.hub.ack(primary.leg).is_on_air
    backup.end()
    play(world, 1, Part(primary))
    assert world.hub.delivering


def test_a_hub_that_dies_on_its_primary_is_followed_by_its_map_though_the_backup_is_first() -> None:
    before = Before()
    world, reader = before.successor()
    backup = world.publish(
        name=LegName.BACKUP,
        connection="b",
        resume=before.backup_ack,
        first_dts=before.backup.first_dts,
    )
    replay(backup, before.backup, before.backup_ack)
    play(world, 1.5, Part(backup))
    assert world.hub.output.timeline is None
    primary = world.publish(
        connection="p", resume=before.primary_ack, first_dts=before.primary.first_dts
    )
    replay(primary, before.primary, before.primary_ack)
    play(world, 2, Part(primary), Part(backup))
    assert world.hub.ack(primary.leg).is_on_air
    assert reader.formats[0].timeline == before.timeline
    assert not reader.gaps
    assert all(u.payload.startswith(b"p/") for u in reader.units)


def test_a_standby_whose_feeder_never_comes_goes_on_with_the_timeline_after_two_seconds() -> None:
    before = Before()
    world, reader = before.successor()
    backup = world.publish(
        name=LegName.BACKUP,
        connection="b",
        resume=before.backup_ack,
        first_dts=before.backup.first_dts,
    )
    replay(backup, before.backup, before.backup_ack)
    play(world, 4, Part(backup))
    form = reader.formats[0]
    assert (form.timeline, form.epoch) == (before.timeline, 2)
    assert form.session_started_at == before.reader.formats[0].session_started_at
    assert len(reader.gaps) == 1
    assert min(u.dts for u in reader.units) > before.position
    assert reader.units[0].flags == UnitFlags.RANDOM_ACCESS | UnitFlags.DISCONTINUITY
    assert_strictly_increasing(before.units + reader.units)


def test_the_newest_of_two_maps_counts() -> None:
    before = Before(on_backup=True)
    stale = before.backup_ack.model_copy(
        update={"leg": "primary", "last_out_dts": before.backup_ack.last_out_dts - 180_000}
    )
    world, reader = before.successor()
    primary = world.publish(connection="p", resume=stale, first_dts=before.primary.first_dts)
    backup = world.publish(
        name=LegName.BACKUP,
        connection="b",
        resume=before.backup_ack,
        first_dts=before.backup.first_dts,
    )
    primary.burst([u for u in before.primary.sent if not u.is_random_access][-3:])
    replay(backup, before.backup, before.backup_ack)
    assert world.hub.ack(backup.leg).is_on_air
    assert not reader.gaps


def pulling(**changes: object) -> World:
    return World(pull=PullConfig(uris=["rtsp://source"]), protocols=["Pull"], **changes)


def pull(world: World) -> Publisher:
    return world.publish(protocol="Pull", remote="uri/0")


def asked(world: World, timeline: str, dts: int, held_until_us: int | None = None) -> VirtualReader:
    reader = world.read("pusher", timeline=timeline, dts=dts, held_until_us=held_until_us)
    world.hub.attach(reader.reader, world.now)
    return reader


def test_a_pulled_stream_goes_on_where_its_first_reader_was() -> None:
    old = pulling()
    old.pass_time(3)
    before = old.read()
    play(old, 5, Part(pull(old)))
    timeline, position = before.formats[0].timeline, before.units[-1].dts
    new = pulling()
    new.monotonic = old.monotonic + 3
    new.hub.tick(new.now)
    leg = pull(new)
    play(new, 1, Part(leg))
    assert not new.hub.delivering
    reader = asked(new, timeline, position)
    play(new, 3, Part(leg))
    form = reader.formats[0]
    assert (form.timeline, form.epoch) == (timeline, 2)
    assert abs((form.session_started_at - before.formats[0].session_started_at).total_seconds()) < 5
    [gap] = reader.gaps
    assert gap.dts == reader.units[0].dts > position
    assert reader.units[0].is_random_access
    assert len(reader.anchors) == 1


def test_the_hole_that_a_reader_tells_of_begins_with_its_last_unit() -> None:
    world = pulling()
    world.hub.tick(world.now)
    last_us = world.now.utc_us - 7_000_000
    reader = asked(world, "t", 500_000, held_until_us=last_us)
    play(world, 3, Part(pull(world)))
    [gap] = reader.gaps
    assert gap.wall_seconds == (reader.units[0].utc_us - last_us) / 1_000_000


def test_a_reader_whose_clock_is_ahead_does_not_shorten_the_hole() -> None:
    world = pulling()
    world.hub.tick(world.now)
    reader = asked(world, "t", 500_000, held_until_us=world.now.utc_us + 60_000_000)
    world.pass_time(3)
    play(world, 3, Part(pull(world)))
    [gap] = reader.gaps
    assert gap.wall_seconds >= 3


def test_readers_at_different_places_both_go_on() -> None:
    world = pulling()
    world.hub.tick(world.now)
    behind, ahead = asked(world, "t", 500_000), asked(world, "t", 900_000)
    play(world, 1, Part(pull(world)))
    for reader in (behind, ahead):
        assert reader.formats[0].timeline == "t"
        assert len(reader.gaps) == 1
        assert min(u.dts for u in reader.units) > 900_000


def test_a_pulled_stream_that_no_reader_remembers_begins_anew_after_two_seconds() -> None:
    world = pulling()
    play(world, 4, Part(pull(world)))
    timeline = world.hub.output.timeline
    assert timeline is not None
    assert timeline.epoch == 1


@pytest.mark.parametrize("why", ["ended here", "long ago", "a session was on"])
def test_what_a_reader_remembers_of_a_session_that_is_over_does_not_count(why: str) -> None:
    world = pulling()
    world.pass_time(3)
    name = "remembered"
    if why != "long ago":
        publisher = pull(world)
        play(world, 2, Part(publisher))
        current = world.hub.output.timeline
        assert current is not None
        if why == "ended here":
            name = current.id
        publisher.end()
        world.pass_time(11)
    asked(world, name, 10_000_000)
    if why == "long ago":
        world.pass_time(71)
    play(world, 3, Part(pull(world)))
    timeline = world.hub.output.timeline
    assert timeline is not None
    assert timeline.id != name
    assert timeline.epoch == 1


def test_a_flood_of_positions_is_bounded() -> None:
    world = pulling()
    for number in range(1_000):
        asked(world, f"t{number}", number)
    assert len(world.hub.output.adoption._requested) <= 64


def test_a_fresh_publisher_at_a_fresh_hub_waits_for_nobody() -> None:
    world = World(backup=True)
    publisher = world.publish()
    play(world, 0.1, Part(publisher))
    assert world.hub.delivering
    assert isinstance(publisher.sent[0], AccessUnit)


def adopting(world: World) -> object:
    return hub_status(world.hub, world.now)["adopting"]


def test_for_ten_seconds_a_new_hub_says_that_a_session_may_go_on_here() -> None:
    world = World()
    assert adopting(world) is True, "before its first tick"
    world.pass_time(9.8)
    assert adopting(world) is True
    world.pass_time(0.4)
    assert adopting(world) is False


def test_it_says_so_until_the_session_is_there() -> None:
    before = Before()
    world, _ = before.successor()
    assert adopting(world) is True
    leg = world.publish(connection="p", resume=before.primary_ack)
    replay(leg, before.primary, before.primary_ack)
    assert hub_status(world.hub, world.now)["timeline"] == before.timeline
    assert adopting(world) is False
    world.hub.configure(world.hub.config.model_copy(update={"active": False}), world.now)
    assert adopting(world) is False, "a hub that had a session follows no other one"


def test_a_stream_that_is_switched_off_adopts_nothing() -> None:
    assert adopting(World(active=False)) is False


async def test_that_nothing_goes_on_here_is_told_although_nobody_came() -> None:
    world, told = World(), asyncio.Event()

    def on_change() -> None:
        if adopting(world) is False:
            told.set()
        world.monotonic += 3

    metrics = HubMetrics(CollectorRegistry(), world.hub)
    server = HubServer(
        world.hub,
        keys=dict,
        token=lambda: None,
        metrics=metrics,
        on_change=on_change,
        clock=lambda: world.now,
    )
    running = asyncio.create_task(server.run())
    async with asyncio.timeout(30):
        await told.wait()
    running.cancel()
