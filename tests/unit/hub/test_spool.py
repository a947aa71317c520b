"""The spool: what autoRecord and pins keep on disk, until a recorder holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice_media.contract import LegAck, RingPin, TimelineEnd, TimelineFormat, TimelineGap
from sluice_media.hub.clock import datetime_of
from tests.support.hub_world import Publisher, config
from tests.unit.hub.spool_world import SpoolWorld, files, sent, started


def pin(name: str, started_us: int) -> RingPin:
    at = datetime_of(started_us)
    return RingPin(recording_uid=name, since=at, session_started_at=at)


async def test_a_session_nobody_recorded_is_offered_and_read_whole_out_of_spool_and_ring(
    tmp_path: Path,
) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 150)
        [session] = world.recordable
        assert session.on
        reader = await world.reader(session_us=started(world)).read()
        assert reader.payloads(0) == sent(publisher)
        assert reader.payloads(1) == sent(publisher, 1)
        await world.play(publisher, 3)
        await reader.read()
        assert reader.payloads(0) == sent(publisher)
        assert reader.payloads(1) == sent(publisher, 1)
        assert not reader.of(TimelineGap)
        assert len(reader.of(TimelineFormat)) == 1


async def test_two_sessions_without_a_recorder_are_both_got_whole(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True, resume_window_seconds=1) as world:
        publishers, starts = [], []
        for _ in range(2):
            publisher = world.publish()
            await world.play(publisher, 20)
            publishers.append(publisher)
            starts.append(started(world))
            publisher.end()
            await world.idle(90)
        assert [(r.started_at, r.on) for r in world.recordable] == [
            (datetime_of(us), False) for us in starts
        ]
        assert all(t.ring.bytes_held < 200 for t in world.hub.output.timelines)
        for publisher, us in zip(publishers, starts, strict=True):
            reader = await world.reader(name=f"r{us}", session_us=us).read()
            assert reader.payloads(0) == sent(publisher)
            assert reader.payloads(1) == sent(publisher, 1)
            assert isinstance(reader.records[-1], TimelineEnd)
            assert reader.reader.has_ended
            reader.acknowledge()
            await world.idle(2)
            assert us not in [t.started_us for t in world.hub.output.timelines if t.spooled]
        assert not world.recordable
        assert not files(tmp_path)


async def test_acknowledgements_of_the_pinned_recorder_free_the_disk(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 60)
        before = len(files(tmp_path))
        us = started(world)
        world.hub.configure(
            config(auto_record=True, pins=[pin("rec", us)], auto_recorded_until=datetime_of(us)),
            world.now,
        )
        reader = await world.reader("rec", session_us=us).read()
        reader.acknowledge()
        await world.play(publisher, 2)
        assert before >= 6
        assert len(files(tmp_path)) == 1
        assert len(world.recordable) == 1
        await reader.read()
        assert reader.payloads(0) == sent(publisher)


async def test_a_recorder_away_for_minutes_loses_nothing(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 30)
        us = started(world)
        world.hub.configure(config(auto_record=True, pins=[pin("rec", us)]), world.now)
        first = await world.reader("rec", session_us=us).read()
        first.acknowledge()
        position = min(unit.dts for unit in first.units[-2:])
        timeline = first.reader.timeline
        assert timeline is not None
        world.hub.readers.detach(first.reader, world.now)
        await world.play(publisher, 300)
        back = await world.reader("rec", timeline=timeline.id, dts=position).read()
        got = [u for u in back.units if u.dts > position and u.track == 0]
        assert first.payloads(0)[-1:] + [u.payload for u in got] == sent(publisher)[-len(got) - 1 :]
        assert len(got) == 300 * 25 + (0 if got[0].payload != first.payloads(0)[-1] else 1)
        assert not back.of(TimelineGap)


async def test_a_pinned_moment_is_there_after_an_image_pull_of_five_minutes(
    tmp_path: Path,
) -> None:
    async with SpoolWorld(tmp_path) as world:
        publisher = world.publish()
        await world.play(publisher, 10)
        assert not files(tmp_path)
        since = world.now.utc_us - 5_000_000
        pins = [RingPin(recording_uid="rec", since=datetime_of(since))]
        world.hub.configure(config(pins=pins), world.now)
        await world.play(publisher, 15)
        assert not files(tmp_path), "the ring has it"
        await world.play(publisher, 300)
        timeline = world.hub.output.timeline
        assert timeline is not None
        assert timeline.ring.seconds_held < 70
        reader = await world.reader("rec", since_us=since).read()
        assert reader.payloads(0) == sent(publisher)[5 * 25 :]
        assert not reader.of(TimelineGap)
        reader.acknowledge()
        await world.play(publisher, 2)
        assert not files(tmp_path)
        assert not world.recordable


async def test_a_session_that_was_on_when_auto_record_was_switched_on_is_kept_from_the_ring(
    tmp_path: Path,
) -> None:
    async with SpoolWorld(tmp_path) as world:
        publisher = world.publish()
        await world.play(publisher, 100)
        world.hub.configure(config(auto_record=True), world.now)
        await world.play(publisher, 100)
        reader = await world.reader(session_us=started(world)).read()
        got = reader.payloads(0)
        assert 160 * 25 <= len(got) <= 164 * 25
        assert got == sent(publisher)[-len(got) :]
        assert not reader.of(TimelineGap), "nothing that was to be kept is missing"


async def test_beyond_the_limit_the_oldest_ended_session_goes_first(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"auto_record": True, "resume_window_seconds": 1}
    async with SpoolWorld(tmp_path, **changes) as world:
        starts, publishers = [], []
        for _ in range(2):
            publisher = world.publish()
            await world.play(publisher, 60)
            starts.append(started(world))
            publishers.append(publisher)
            publisher.end()
            await world.idle(70)
        first, second = (t.spooled for t in world.hub.output.timelines)
        assert first is not None
        assert second is not None
        limit = second.bytes_held + first.bytes_held // 2
        world.hub.configure(config(**changes, spool_limit_bytes=limit), world.now)
        await world.idle(1)
        assert first.bytes_held + second.bytes_held <= limit
        assert world.hub.output.spool_plan.dropped_bytes > 0
        old = await world.reader("a", session_us=starts[0]).read()
        [gap] = old.of(TimelineGap)
        assert isinstance(gap, TimelineGap)
        got = old.payloads(0)
        assert gap.wall_seconds == pytest.approx(60 - len(got) / 25, abs=0.1)
        assert got == sent(publishers[0])[-len(got) :]
        new = await world.reader("b", session_us=starts[1]).read()
        assert new.payloads(0) == sent(publishers[1])
        assert not new.of(TimelineGap)


async def test_sessions_up_to_the_last_one_recorded_are_freed(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"auto_record": True, "resume_window_seconds": 1}
    async with SpoolWorld(tmp_path, **changes) as world:
        publisher = world.publish()
        await world.play(publisher, 20)
        us = started(world)
        publisher.end()
        await world.idle(3)
        assert len(world.recordable) == 1
        world.hub.configure(config(**changes, auto_recorded_until=datetime_of(us)), world.now)
        await world.idle(2)
        assert not world.recordable
        assert not files(tmp_path)


@pytest.mark.parametrize("later", [-3600.0, 0.0, 3600.0])
async def test_a_session_is_freed_by_its_own_beginning(tmp_path: Path, later: float) -> None:
    """Another one that has its Recording may have begun after it, by the clock of another node."""
    changes: dict[str, Any] = {"auto_record": True, "resume_window_seconds": 1}
    async with SpoolWorld(tmp_path, **changes) as world:
        publisher = world.publish()
        await world.play(publisher, 20)
        us = started(world)
        publisher.end()
        await world.idle(3)
        others = [datetime_of(us + round(later * 1e6))]
        world.hub.configure(config(**changes, auto_recorded=others), world.now)
        await world.idle(2)
        assert bool(world.recordable) is (later != 0.0)
        assert bool(files(tmp_path)) is (later != 0.0)


async def test_content_nobody_came_for_goes_a_day_after_its_end(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True, resume_window_seconds=1) as world:
        publisher = world.publish()
        await world.play(publisher, 5)
        publisher.end()
        await world.idle(3)
        world.monotonic += 86_380
        await world.idle(1)
        assert world.recordable
        await world.idle(30)
        assert not world.recordable
        assert not files(tmp_path)


async def test_a_session_that_nobody_knows_is_none(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        await world.play(world.publish(), 2)
        output = world.hub.output
        us = started(world)
        assert output.session(us) is output.timeline
        assert output.session(us // 1_000_000 * 1_000_000) is output.timeline
        assert output.session(us - 1_000_001) is None


async def test_ended_sessions_outlive_the_process(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"auto_record": True, "resume_window_seconds": 1}
    async with SpoolWorld(tmp_path, **changes) as world:
        publisher = world.publish()
        await world.play(publisher, 45)
        us = started(world)
        publisher.end()
        await world.idle(3)
    [last] = files(tmp_path)[-1:]
    last.with_suffix(".idx").unlink()
    with last.open("ab") as file:
        file.write(b"\x01\x00\x00\x40\x00torn")
    async with SpoolWorld(tmp_path, after=world, **changes) as following:
        [session] = following.recordable
        assert (session.started_at, session.on) == (datetime_of(us), False)
        reader = await following.reader(session_us=us).read()
        assert reader.payloads(0) == sent(publisher)
        assert reader.payloads(1) == sent(publisher, 1)
        assert isinstance(reader.records[-1], TimelineEnd)
        assert not reader.of(TimelineGap)
        timeline = reader.reader.timeline
        assert timeline is not None
        position = max(unit.dts for unit in reader.units)
        again = await following.reader(timeline=timeline.id, dts=position).read()
        assert not again.units
        assert isinstance(again.records[-1], TimelineEnd), "all that it lacked"


def follow(world: SpoolWorld, old: Publisher, ack: LegAck) -> Publisher:
    """The gateway posts again to the next process, with all that nobody has acknowledged."""
    leg = world.publish(connection=old.leg.hello.connection, resume=ack, label=old.label)
    leg._position, leg._picture, leg._audio_frames = old._position, old._picture, old._audio_frames
    leg.burst(old.sent[-60 * 72 :])
    return leg


@pytest.mark.parametrize("unwritten", [0, 1])
async def test_a_session_goes_on_in_the_next_process_and_its_spool_with_it(
    tmp_path: Path, unwritten: int
) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish(label="p")
        await world.play(publisher, 40)
        publisher.send(unwritten)
        us = started(world)
        ack = world.hub.ack(publisher.leg)
    async with SpoolWorld(tmp_path, after=world, auto_record=True) as following:
        [session] = following.recordable
        assert session.on
        early = await following.reader("early", session_us=us).read()
        leg = follow(following, publisher, ack)
        await following.play(leg, 5)
        assert started(following) == us
        [session] = following.recordable
        assert session.on
        want = sent(publisher) + [p for p in sent(leg) if p not in set(sent(publisher))]
        for reader in (early, following.reader("late", session_us=us)):
            await reader.read()
            assert reader.payloads(0) == want
            assert not reader.of(TimelineGap)
            assert [f.epoch for f in reader.of(TimelineFormat)][-1] == 2  # type: ignore[union-attr]


async def test_a_session_that_nobody_goes_on_with_ends(tmp_path: Path) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 12)
        us = started(world)
    async with SpoolWorld(tmp_path, after=world, auto_record=True) as following:
        reader = await following.reader(session_us=us).read()
        assert not reader.reader.has_ended
        await following.idle(75)
        await reader.read()
        assert reader.payloads(0) == sent(publisher)
        assert isinstance(reader.records[-1], TimelineEnd)
    async with SpoolWorld(tmp_path, after=following, auto_record=True) as third:
        assert [r.on for r in third.recordable] == [False]
