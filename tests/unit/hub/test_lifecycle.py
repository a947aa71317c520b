"""The rows of the lifecycle table, at the hub."""

from datetime import timedelta
from itertools import pairwise

import pytest

from sluice_media.contract import LegHello
from sluice_media.formats.units import UnitFlags
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.legs.admission import LegRefusedError
from sluice_media.hub.legs.leg import LegName, LegState
from tests.support.hub_world import (
    AUDIO,
    VIDEO,
    VIDEO_1080,
    World,
    assert_strictly_increasing,
    config,
)


def refusal(world: World, name: LegName | None = LegName.PRIMARY, protocol: str = "RTMP") -> str:
    hello = LegHello(protocol=protocol, connection="somebody else")
    with pytest.raises(LegRefusedError) as refused:
        world.hub.admit(name, hello, world.now)
    return f"{refused.value.status} {refused.value.reason}"


def test_row_1_nobody_publishes() -> None:
    world = World()
    reader = world.read()
    world.pass_time(30)
    assert not world.hub.delivering
    assert world.hub.output.sessions.latest is None
    assert reader.catch_up() == []


def test_row_2_a_publisher_without_a_keyframe_is_connected_but_not_live() -> None:
    world = World()
    publisher = world.publish(first_picture=1)
    publisher.send(0.9)
    assert publisher.leg.state is LegState.WAITING
    assert not world.hub.delivering
    assert world.hub.output.timeline is None


def test_row_3_the_first_keyframe_puts_it_on_air_and_older_audio_is_dropped() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(first_picture=1)
    publisher.send(2)
    assert world.hub.delivering
    keyframe = next(unit for unit in publisher.sent if unit.is_random_access)
    first = reader.units[0]
    assert first.payload == keyframe.payload
    assert first.is_random_access
    assert not first.flags & UnitFlags.DISCONTINUITY
    wanted = [u.payload for u in publisher.sent if u.dts >= keyframe.dts]
    assert [u.payload for u in reader.units] == wanted
    session = world.hub.output.sessions.latest
    assert session is not None
    assert session.started_at == datetime_of(keyframe.utc_us)
    assert session.finished_at is None
    assert session.media == "h264 1280x720, aac 48000 Hz"
    assert session.protocol == "RTMP"


def test_the_reply_begins_with_format_anchor_and_segment() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(1)
    kinds = [type(record).__name__ for record in reader.records[:4]]
    assert kinds == ["TimelineFormat", "TimelineAnchor", "TimelineSegment", "AccessUnit"]
    assert reader.formats[0].stream_uid == "stream-uid"
    assert reader.formats[0].title == "A stream"
    assert reader.formats[0].epoch == 1
    assert reader.anchors[0].dts == reader.units[0].dts
    assert reader.anchors[0].utc == datetime_of(publisher.sent[0].utc_us)


def test_row_7_a_publisher_that_ends_interrupts_at_once() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    publisher.end()
    assert not world.hub.delivering
    assert world.hub.output.timeline is not None
    world.pass_time(9)
    assert world.hub.output.timeline is not None
    assert reader.end is None


def test_row_7_a_publisher_that_falls_silent_interrupts_after_two_seconds() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(2)
    last = publisher.leg.last_reference_at
    world.monotonic = last
    world.pass_time(1.9)
    assert world.hub.delivering
    world.pass_time(0.1)
    assert not world.hub.delivering
    assert publisher.leg.state is LegState.SILENT


def test_row_8_back_inside_the_window_is_the_same_session_with_one_gap() -> None:
    world = World()
    reader = world.read()
    first = world.publish()
    first.send(4)
    first.end()
    before = reader.units[-1]
    started = world.hub.output.sessions.latest
    world.pass_time(6)
    second = world.publish(first_dts=77_000_000, first_picture=20)
    second.send(3)
    assert world.hub.output.sessions.latest == started
    assert reader.end is None
    assert_strictly_increasing(reader.units)
    [gap] = reader.gaps
    assert gap.wall_seconds == pytest.approx(6.2, abs=0.1)  # and 0.2 s up to its keyframe
    after = next(u for u in reader.units if u.dts == gap.dts)
    assert after.is_random_access
    assert after.flags & UnitFlags.DISCONTINUITY
    assert after.dts - before.dts <= 3_600
    assert reader.anchors[1].dts == gap.dts
    assert reader.anchors[1].utc == datetime_of(after.utc_us)
    assert len(reader.formats) == 1
    keyframe = second.sent.index(next(u for u in second.sent if u.is_random_access))
    got = set(reader.payloads(0) + reader.payloads(1))
    assert all(u.payload in got for u in first.sent)
    assert all(u.payload in got for u in second.sent[keyframe:] if u.dts >= gap.dts)


def test_row_8_lip_sync_of_the_source_holds_over_the_splice() -> None:
    world = World()
    reader = world.read()
    for start in (0, 5_000_000, 123):
        publisher = world.publish(first_dts=start)
        publisher.send(2)
        publisher.end()
        world.pass_time(3)
        out = {u.payload: u.dts for u in reader.units}
        offsets = {out[u.payload] - u.dts for u in publisher.sent if u.payload in out}
        assert len(offsets) == 1


def test_row_9_the_session_ends_when_the_window_has_passed() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(4)
    publisher.end()
    last_media = world.now
    world.pass_time(10.1)
    end = reader.end
    assert end is not None
    assert end.reason == "WindowPassed"
    assert abs(end.finished_at - datetime_of(last_media.utc_us)) < timedelta(milliseconds=50)
    session = world.hub.output.sessions.latest
    assert session is not None
    assert session.finished_at == end.finished_at
    assert session.end_reason == "WindowPassed"
    assert world.hub.output.timeline is None


def test_row_9_a_silent_publisher_does_not_hold_the_session() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    world.pass_time(10.1)
    assert reader.end is not None
    assert publisher.leg.connected


def test_row_10_media_after_the_window_is_a_new_session_on_a_new_timeline() -> None:
    world = World()
    reader = world.read()
    first = world.publish()
    first.send(2)
    first.end()
    world.pass_time(11)
    assert reader.end is not None
    finished = world.hub.output.sessions.past[0]
    later = world.read(name="later")
    assert later.catch_up() == []
    second = world.publish(formats=(VIDEO_1080, AUDIO))
    second.send(2)
    assert later.formats[0].timeline != reader.formats[0].timeline
    assert [u.payload for u in later.units] == [u.payload for u in second.sent]
    assert world.hub.output.sessions.past[0] == finished
    latest = world.hub.output.sessions.latest
    assert latest is not None
    assert finished.finished_at is not None
    assert latest.started_at > finished.finished_at


def test_row_10_a_silent_publisher_that_goes_on_after_the_window_starts_on_a_keyframe() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(2.5)
    world.pass_time(12)
    assert world.hub.output.timeline is None
    reader = world.read()
    publisher.send(2)
    assert reader.units[0].is_random_access
    assert reader.units[0].payload.endswith(b"/0/75")


def test_row_11_switched_off_ends_leg_and_session_at_once() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    world.hub.configure(config(active=False), world.now)
    assert reader.end is not None
    assert reader.end.reason == "Disabled"
    assert publisher.leg.end is not None
    assert publisher.leg.end.reason == "Disabled"
    assert refusal(world) == "403 Disabled"
    world.hub.configure(config(), world.now)
    world.publish().send(1)
    assert world.hub.delivering


def test_row_12_a_leg_cut_by_the_hub_leaves_the_session_for_the_new_key() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    publisher.end()
    world.pass_time(2)
    world.publish().send(1)
    assert reader.end is None
    assert len(reader.gaps) == 1


def test_refusals_say_why_and_leave_the_running_publisher_alone() -> None:
    world = World()
    publisher = world.publish()
    publisher.send(2)
    revision = world.hub.revision
    assert refusal(world, name=None) == "401 BadKey"
    assert world.hub.last_rejection is not None
    assert world.hub.last_rejection.reason == "BadKey"
    assert refusal(world, protocol="SRT") == "403 ProtocolNotAllowed"
    assert refusal(world) == "409 Busy"
    assert world.hub.last_rejection.reason == "Busy"
    assert world.hub.revision == revision + 3
    world.hub.configure(config(drain=True), world.now)
    assert refusal(world) == "503 Draining"
    publisher.send(1)
    assert world.hub.delivering


def test_a_flood_of_wrong_keys_is_no_flood_of_status_changes() -> None:
    world = World()
    revision = world.hub.revision
    for _ in range(100):
        refusal(world, name=None)
        world.pass_time(0.01)
    assert world.hub.revision == revision + 1
    world.pass_time(5)
    refusal(world, name=None)
    assert world.hub.revision == revision + 2


def test_a_publisher_silent_for_stall_milliseconds_is_taken_over() -> None:
    world = World()
    reader = world.read()
    first = world.publish()
    first.send(2)
    world.pass_time(0.6)
    assert refusal(world) == "409 Busy"
    world.pass_time(0.3)
    second = world.publish()
    assert first.leg.end is not None
    assert first.leg.end.reason == "TakenOver"
    second.send(1)
    assert world.hub.delivering
    assert_strictly_increasing(reader.units)


def test_no_random_access_for_ten_seconds_is_told() -> None:
    world = World()
    publisher = world.publish(gop=10_000)
    publisher.send(9.5)
    assert not world.hub.no_random_access
    publisher.send(1)
    assert world.hub.no_random_access
    assert world.hub.delivering


def test_a_resume_window_of_zero_ends_the_session_with_its_publisher() -> None:
    world = World(resume_window_seconds=0)
    reader = world.read()
    publisher = world.publish()
    publisher.send(1)
    publisher.end()
    world.pass_time(0.1)
    assert reader.end is not None


def test_audio_only_declared_by_the_headers_is_live_at_its_first_frame() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(formats=(AUDIO,))
    publisher.leg.declare(has_video=False)
    publisher.send(1)
    assert world.hub.delivering
    assert [u.payload for u in reader.units] == [u.payload for u in publisher.sent]
    assert all(u.is_random_access for u in reader.units)


def test_audio_that_waited_two_seconds_for_a_picture_loses_nothing() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(formats=(VIDEO, AUDIO))
    audio = [u for u in publisher.units(1.9) if u.track == 1]
    publisher.burst(audio)
    assert not world.hub.delivering
    world.pass_time(2)
    publisher.burst([u for u in publisher.units(0.5) if u.track == 1])
    assert world.hub.delivering
    assert reader.payloads(1) == [u.payload for u in publisher.sent]


def test_video_only() -> None:
    world = World()
    reader = world.read()
    for _ in range(2):
        publisher = world.publish(formats=(VIDEO,))
        publisher.send(2)
        publisher.end()
        world.pass_time(2)
    assert len(reader.units) == 100
    assert {b - a for a, b in pairwise(u.dts for u in reader.units)} == {3_600}


def test_late_audio_is_a_new_format_and_nothing_else() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish(formats=(VIDEO, AUDIO), audio_delay=3.0)
    publisher.leg.take_formats((VIDEO,))
    publisher.send(3)
    world.hub.take_formats(publisher.leg, (VIDEO, AUDIO))
    publisher.send(2)
    assert [len(f.tracks) for f in reader.formats] == [1, 2]
    assert [u.payload for u in reader.units] == [u.payload for u in publisher.sent]
    assert not reader.gaps


def test_a_change_of_picture_size_is_a_format_record_before_its_first_unit() -> None:
    world = World()
    reader = world.read()
    publisher = world.publish()
    publisher.send(2)
    world.hub.take_formats(publisher.leg, (VIDEO_1080, AUDIO))
    publisher.send(2)
    reader.catch_up()
    kinds = [type(r).__name__ for r in reader.records if type(r).__name__ != "AccessUnit"]
    assert kinds == [
        "TimelineFormat",
        "TimelineAnchor",
        "TimelineSegment",
        "TimelineFormat",
        "TimelineSegment",
    ]
    place = reader.records.index(reader.formats[1])
    assert reader.records[place + 2] in [u for u in reader.units if u.is_random_access]
    assert reader.formats[1].tracks[0].width == 1920
