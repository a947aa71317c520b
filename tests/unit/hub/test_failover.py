"""Two legs, one output: what a reader sees of a switch, and what status says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sluice_media.contract import LegEnd
from sluice_media.formats.units import UnitFlags
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.legs.leg import LegName
from tests.support.hub_world import (
    AUDIO,
    VIDEO,
    VIDEO_1080,
    World,
    assert_strictly_increasing,
    config,
)
from tests.unit.hub.concert import Part, duo, play, runs, status_of


def test_a_primary_that_ends_is_replaced_at_once_by_a_backup_that_repeats_less_than_a_gop() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world, first_dts=7_000_000)
    play(world, 5, Part(primary, ends_at=3.5), Part(backup))
    # Frame 75 is the backup's keyframe at 3 s, the last before the primary's end.
    assert runs(reader) == [("p", 0, 87), ("b", 75, 124)]
    assert_strictly_increasing(reader.units)
    assert not reader.gaps
    assert reader.end is None
    status = status_of(world)
    assert status["active_source"] == "Backup"
    assert status["failovers"] == 1
    assert world.hub.output.failovers.last is not None
    assert world.hub.output.failovers.last.from_ == "Primary"
    assert world.hub.output.failovers.last.to == "Backup"
    assert world.hub.output.failovers.last.gap_milliseconds <= 40
    assert status["session"].failovers == 1
    assert (status["primary_connected"], status["backup_delivers"]) == (False, True)


def test_a_silent_primary_is_replaced_after_stall_milliseconds() -> None:
    world = World(backup=True, stall_milliseconds=800)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 6, Part(primary, lost=((3.0, 6.0),)), Part(backup))
    assert [run[0] for run in runs(reader)] == ["p", "b"]
    assert runs(reader)[1] == ("b", 50, 149)
    assert world.hub.output.failovers.last is not None
    assert 760 <= world.hub.output.failovers.last.gap_milliseconds <= 900
    assert status_of(world)["primary_connected"]
    assert not status_of(world)["primary_delivers"]
    assert not reader.gaps


def test_the_words_of_status_with_both_legs() -> None:
    world = World(backup=True)
    primary, backup = duo(world)
    play(world, 2, Part(primary), Part(backup))
    status = status_of(world)
    assert status["active_source"] == "Primary"
    assert all(
        status[f"{leg}_{word}"]
        for leg in ("primary", "backup")
        for word in ("connected", "delivers")
    )
    assert status["failovers"] == 0
    assert status["last_failover"] is None
    primary.end()
    backup.end()
    status = status_of(world)
    assert status["active_source"] is None
    assert status["interrupted"]


def test_the_switch_is_announced_by_an_anchor_and_nothing_else() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 4, Part(primary, ends_at=2.5), Part(backup))
    reader.catch_up()
    [splice] = [u for u in reader.units if u.track == 0 and u.flags & UnitFlags.DISCONTINUITY]
    assert [a.dts for a in reader.anchors] == [reader.units[0].dts, splice.dts]
    assert reader.anchors[1].utc == datetime_of(splice.utc_us)
    assert len(reader.formats) == 1


@pytest.mark.parametrize("ahead", [0.0, 0.3, -0.3], ids=["level", "ahead", "behind"])
@pytest.mark.parametrize("fault", ["ends", "stalls"])
def test_identical_bitstreams_join_at_the_very_unit(ahead: float, fault: str) -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p", label="x")
    backup = world.publish(
        name=LegName.BACKUP, connection="b", label="x", first_dts=2**33 - 200_000
    )
    faulty = {"ends_at": 3.5} if fault == "ends" else {"lost": ((3.5, 9.0),)}
    play(
        world,
        6,
        Part(primary, delay=max(0.0, ahead), **faulty),
        Part(backup, delay=max(0.0, -ahead)),
    )
    assert runs(reader) == [("x", 0, 149)]
    assert [number for _, _, number in runs(reader, track=1)] == [281]
    steps = {b.dts - a.dts for a, b in pairwise([u for u in reader.units if u.track == 0])}
    assert steps == {3_600}
    assert not any(u.flags & UnitFlags.DISCONTINUITY for u in reader.units)
    assert not reader.gaps
    assert len(reader.anchors) == 1
    assert status_of(world)["failovers"] == 1


def test_identical_legs_with_b_frames_join_too_and_come_back() -> None:
    world = World(backup=True, failback="AfterStable", failback_seconds=5)
    reader = world.read()
    parts: dict[str, Any] = {"label": "x", "reorder": 2}
    primary = world.publish(connection="p", **parts)
    backup = world.publish(name=LegName.BACKUP, connection="b", **parts)
    play(world, 12, Part(primary, lost=((3.33, 5.0),)), Part(backup))
    assert runs(reader) == [("x", 0, 299)]
    assert status_of(world)["active_source"] == "Primary"
    assert status_of(world)["failovers"] == 2
    assert_strictly_increasing(reader.units)


def test_a_still_picture_is_not_mistaken_for_another_group_of_pictures() -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p", label="x", still=True)
    backup = world.publish(name=LegName.BACKUP, connection="b", label="x", still=True)
    play(world, 6, Part(primary, ends_at=3.5), Part(backup))
    assert len(reader.payloads(0)) == 150


def test_a_long_gop_waits_for_the_next_keyframe_and_the_hole_is_logged() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world, gop=150)
    play(world, 8, Part(primary, ends_at=4.5), Part(backup))
    assert runs(reader) == [("p", 0, 112), ("b", 150, 199)]
    [gap] = reader.gaps
    assert gap.wall_seconds == pytest.approx(1.5, abs=0.1)
    assert_strictly_increasing(reader.units)


def test_a_standby_with_a_gop_longer_than_the_look_back_is_entered_at_its_next_keyframe() -> None:
    world = World(backup=True, resume_window_seconds=60)
    reader = world.read()
    primary, backup = duo(world, gop=500)
    play(world, 22, Part(primary, ends_at=18), Part(backup))
    assert runs(reader) == [("p", 0, 449), ("b", 500, 549)]
    assert len(reader.gaps) == 1


def test_the_memory_of_a_standby_is_bounded() -> None:
    world = World(backup=True)
    primary, backup = duo(world)
    play(world, 30, Part(primary), Part(backup))
    assert len(backup.leg.look_back) <= 12 * (25 + 48)


def test_legs_with_different_formats_change_the_format_at_the_splice() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world, formats=(VIDEO_1080, AUDIO))
    play(world, 5, Part(primary, ends_at=3.5), Part(backup))
    reader.catch_up()
    assert [f.tracks[0].width for f in reader.formats] == [1280, 1920]
    place = reader.records.index(reader.formats[1])
    first = next(r for r in reader.records[place:] if r in reader.units)
    assert first.payload.startswith(b"b/0/")
    assert first.is_random_access
    status = status_of(world)
    assert status["format_changes"] == 1
    change = world.hub.output.format_changes.last
    assert change is not None
    assert (change.before, change.after) == (
        "h264 1280x720, aac 48000 Hz",
        "h264 1920x1080, aac 48000 Hz",
    )


def test_legs_without_the_same_tracks() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world, formats=(VIDEO,))
    play(world, 5, Part(primary, ends_at=2.5), Part(backup))
    assert [len(f.tracks) for f in reader.formats] == [2, 1]
    assert_strictly_increasing(reader.units)


def test_a_standby_that_changes_its_format_is_not_entered_at_its_old_pictures() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 2.48, Part(primary), Part(backup))
    world.hub.take_formats(backup.leg, (VIDEO_1080, AUDIO))
    play(world, 2, Part(primary, ends_at=0.3), Part(backup))
    assert runs(reader)[1][:2] == ("b", 75)
    assert len(reader.gaps) == 1


def test_units_held_up_on_their_way_do_not_make_a_hole() -> None:
    """The primary's last second came 600 ms late: what it showed is older than it looks."""
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    slow = Part(primary, jitter=lambda at: 0.7 if at > 2.2 else 0.0, ends_at=3.3)
    play(world, 6, slow, Part(backup))
    (_, _, last), (_, first, _) = runs(reader)
    assert first <= last + 1
    assert not reader.gaps


def test_a_replay_that_a_standby_sends_at_once_is_not_taken_for_news() -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p")
    play(world, 10, Part(primary))
    backup = world.publish(name=LegName.BACKUP, connection="b")
    backup.burst(list(backup.units(10, in_real_time=False)))
    play(world, 3, Part(primary, ends_at=0.5), Part(backup))
    assert runs(reader) == [("p", 0, 262), ("b", 250, 324)]


def test_a_standby_is_acknowledged_so_that_its_gateway_keeps_little() -> None:
    world = World(backup=True)
    primary, backup = duo(world, first_dts=9_000)
    play(world, 5, Part(primary), Part(backup))
    ack = world.hub.ack(backup.leg)
    assert not ack.is_on_air
    assert ack.acked_dts == 9_000 + 124 * 3_600
    assert world.hub.ack(primary.leg).acked_dts is None
    primary.end()
    ack = world.hub.ack(backup.leg)
    assert ack.is_on_air
    assert ack.acked_dts is None
    assert ack.out_offset == world.hub.output.splicer.offset


def test_without_a_backup_in_the_configuration_its_leg_is_ended() -> None:
    world = World(backup=True)
    primary, backup = duo(world)
    play(world, 2, Part(primary), Part(backup))
    world.hub.configure(config(backup=False), world.now)
    assert backup.leg.end is not None
    assert backup.leg.end.reason == "Disabled"
    assert primary.leg.connected


def test_a_pulled_stream_names_its_uris() -> None:
    world = World(protocols=["Pull"])
    world.hub.config = world.hub.config.model_copy(update={"pull": object()})
    world.pass_time(5)
    first = world.publish(protocol="Pull", remote="uri/0", connection="p")
    warm = world.publish(name=LegName.BACKUP, protocol="Pull", remote="uri/2", connection="b")
    play(world, 4, Part(first, ends_at=2), Part(warm))
    status = status_of(world)
    assert status["active_source"] == "Pull"
    assert not status["backup_connected"]
    assert not status["backup_delivers"]
    last = world.hub.output.failovers.last
    assert last is not None
    assert (last.from_, last.to) == ("Uri 0", "Uri 2")


def test_both_legs_gone_and_the_backup_back_is_one_gap_and_one_failover() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 3, Part(primary), Part(backup))
    backup.end()
    primary.end()
    world.pass_time(4)
    back = world.publish(name=LegName.BACKUP, connection="b2")
    play(world, 2, Part(back))
    [gap] = reader.gaps
    assert gap.wall_seconds == pytest.approx(4, abs=0.2)
    last = world.hub.output.failovers.last
    assert last is not None
    assert last.gap_milliseconds == pytest.approx(4_000, abs=200)
    assert status_of(world)["failovers"] == 1


def test_a_hub_that_drains_does_not_switch_while_its_legs_are_sent_on() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 2.5, Part(primary), Part(backup))
    sent_on = LegEnd(reason="Draining", message="post again")
    for publisher in (primary, backup):
        world.hub.end_leg(publisher.leg, sent_on, world.now)
    assert runs(reader) == [("p", 0, 62)]
    assert status_of(world)["failovers"] == 0


def test_a_stream_that_is_switched_off_ends_without_a_last_switch() -> None:
    world = World(backup=True)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 2.5, Part(primary), Part(backup))
    world.hub.configure(config(backup=True, active=False), world.now)
    assert runs(reader) == [("p", 0, 62)]
    assert reader.end is not None
    assert primary.leg.end == backup.leg.end
    assert status_of(world)["failovers"] == 0
    assert status_of(world)["active_source"] is None


def test_a_patient_stall_limit_does_not_end_a_session_that_has_a_backup() -> None:
    world = World(backup=True, stall_milliseconds=30_000)
    reader = world.read()
    primary, backup = duo(world)
    play(world, 20, Part(primary, lost=((3.0, 99.0),)), Part(backup))
    assert reader.end is None
    assert status_of(world)["active_source"] == "Backup"
    assert status_of(world)["on_air"]


def test_a_primary_whose_clock_restarts_stays_on_air() -> None:
    world = World(backup=True)
    reader = world.read()
    primary = world.publish(connection="p", first_dts=90_000_000)
    backup = world.publish(name=LegName.BACKUP, connection="b")
    play(world, 3.5, Part(primary), Part(backup))
    primary.first_dts = -primary._position
    play(world, 3, Part(primary), Part(backup))
    assert runs(reader) == [("p", 0, 162)]
    assert status_of(world)["failovers"] == 0
    assert_strictly_increasing(reader.units)
    assert not reader.gaps
