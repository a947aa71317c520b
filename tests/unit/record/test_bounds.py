"""Where files and recordings end by themselves: length, duration, session, room."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

import pytest

from sluice_media.contract import BucketLocation, RecorderConfig, TimelineGap
from sluice_media.record.effects import EndFile, Rules, rules_of
from sluice_media.record.plan import PlannedFile, Restored
from sluice_media.storage.object_store import PART_BYTES
from sluice_media.timeline.reader import HubBack, HubLost, Position
from tests.unit.record.timeline_script import AUDIO, FRAME, START, VIDEO, Scene, seconds


def on_air(rules: Rules, length: float = 20) -> Scene:
    return Scene(rules).format().beat().play(length)


# ---------------------------------------------------------------------- splits


def test_a_file_ends_at_the_first_random_access_at_or_after_its_length() -> None:
    scene = on_air(Rules(START, split_seconds=5))
    assert [f.first_dts for f in scene.machine.files] == [seconds(s) for s in (0, 6, 12, 18)]
    assert scene.ended == ["Split"] * 3
    assert [f.duration_seconds for f in scene.machine.files] == [6, 6, 6, 2]
    assert scene.machine.duration_seconds == 20


def test_a_split_loses_and_doubles_nothing() -> None:
    scene = Scene(Rules(START, split_seconds=4)).format(VIDEO, AUDIO).beat()
    for frame in range(500):
        scene.unit(key=frame % 50 == 0, dts=frame * FRAME)
        # Sound that runs 0.1 s ahead of its picture, and some that is behind it.
        scene.unit(track=1, dts=frame * FRAME + (9_000 if frame % 2 else 7_000))
    for track, step in ((0, FRAME), (1, 1)):
        written = [u.dts for u in scene.written if u.track == track]
        assert len(written) == 500
        assert all(b - a >= step for a, b in pairwise(written))


def test_a_stream_without_random_access_is_not_split() -> None:
    scene = on_air(Rules(START, split_seconds=5), length=1)
    for frame in range(25, 500):
        scene.unit(dts=frame * FRAME)
    assert scene.ended == []


def test_a_file_that_is_too_large_for_its_store_ends_at_the_next_random_access() -> None:
    scene = on_air(Rules(START, split_bytes=120))  # a picture of the scene has one byte
    assert [f.first_dts for f in scene.machine.files] == [seconds(s) for s in (0, 6, 12, 18)]
    assert scene.ended == ["Split"] * 3
    assert len(scene.written) == 500


def test_only_a_bucket_limits_the_size_of_a_file() -> None:
    config = RecorderConfig.model_validate(
        {"namespace": "default", "name": "r", "uid": "u", "created_at": START, "prefix": "p"}
    )
    bucket = BucketLocation(region="us-east-1", bucket="b", prefix="p")
    assert rules_of(config).split_bytes == math.inf
    largest = rules_of(config.model_copy(update={"s3": bucket})).split_bytes
    assert largest < 10_000 * PART_BYTES * 0.85, "room for the index, and for a long GOP"


def test_an_attempt_that_finds_the_file_too_long_begins_the_next_one() -> None:
    file = PlannedFile(1, "t1", 0, START, START, [VIDEO], {0: seconds(5.96)}, seconds(6))
    scene = Scene(Rules(START, split_seconds=5), Restored([file])).format()
    scene.dts = seconds(6)
    scene.play(1)
    assert [f.first_dts for f in scene.machine.files] == [0, seconds(6)]
    assert scene.ended == ["Split"]


# ---------------------------------------------------------------------- longest duration


def test_every_unit_before_the_longest_duration_is_in_and_none_after_it() -> None:
    scene = on_air(Rules(START, max_duration_seconds=10.02))
    assert scene.finished == "MaxDurationReached"
    assert scene.ended == ["MaxDurationReached"]
    assert scene.written[-1].dts == seconds(10)
    assert len(scene.written) == 251


def test_sound_that_is_late_at_the_longest_duration_is_waited_for() -> None:
    scene = Scene(Rules(START, max_duration_seconds=2)).format(VIDEO, AUDIO).beat()
    for frame in range(100):
        scene.unit(key=frame == 0, dts=frame * FRAME)
        if frame >= 10:
            scene.unit(track=1, dts=(frame - 10) * FRAME)
    assert scene.finished == "MaxDurationReached"
    for track in (0, 1):
        assert [u.dts for u in scene.written if u.track == track][-1] == 49 * FRAME


def test_a_track_that_is_gone_does_not_hold_the_end_up() -> None:
    scene = Scene(Rules(START, max_duration_seconds=2)).format(VIDEO, AUDIO).beat()
    scene.unit(key=True, dts=0).unit(track=1, dts=0)
    for frame in range(1, 80):
        scene.unit(dts=frame * FRAME)
    assert scene.finished == "MaxDurationReached"
    assert scene.written[-1].dts == 49 * FRAME


def test_the_longest_duration_is_over_all_files() -> None:
    scene = on_air(Rules(START, split_seconds=4, max_duration_seconds=9))
    assert scene.finished == "MaxDurationReached"
    assert scene.machine.duration_seconds == 9
    assert scene.ended == ["Split", "Split", "MaxDurationReached"]


def test_a_recording_that_is_as_long_as_it_may_be_ends_while_nobody_is_on_air() -> None:
    scene = on_air(Rules(START, max_duration_seconds=8), length=8).silence(2)
    assert scene.finished == "MaxDurationReached"


def test_the_least_length_does_not_count_for_it() -> None:
    rules = Rules(START, minimum_seconds=10, max_duration_seconds=3)
    assert on_air(rules).finished == "MaxDurationReached"


# ---------------------------------------------------------------------- holes


def after_a_hole(rules: Rules, hole: float = 60) -> Scene:
    """8 s of media, a hole, and 12 s of media that begin with a random access."""
    scene = Scene(rules).format().beat().play(8)
    scene.dts += seconds(hole)
    scene.now += timedelta(seconds=hole)
    return scene.play(12)


@pytest.mark.parametrize("hole", [4, 8, 60])
def test_a_hole_is_in_no_duration_and_stands_in_the_gaps(hole: int) -> None:
    scene = after_a_hole(Rules(START), hole)
    (file,) = scene.machine.files
    assert file.duration_seconds == 20
    (gap,) = file.gaps
    assert gap.at_seconds == 8
    assert gap.wall_seconds == pytest.approx(hole, abs=1)


def test_a_source_that_leaves_something_out_without_a_pause_is_a_gap_of_that_length() -> None:
    scene = Scene(Rules(START)).format().beat().play(8)
    scene.dts += seconds(4)
    (file,) = scene.play(2).machine.files
    assert [(g.at_seconds, g.wall_seconds) for g in file.gaps] == [(8, 4)]


def test_gaps_behind_a_hole_stand_where_the_media_does() -> None:
    scene = after_a_hole(Rules(START)).silence(6).gap(6).play(2)
    assert [g.at_seconds for g in scene.machine.files[0].gaps] == [8, 20]
    scene.dts += seconds(30)
    scene.gap(30).play(2)
    assert [g.at_seconds for g in scene.machine.files[0].gaps] == [8, 20, 22]


def test_splits_count_media() -> None:
    scene = after_a_hole(Rules(START, split_seconds=10))
    assert [f.duration_seconds for f in scene.machine.files] == [10, 10]


def test_the_longest_duration_counts_media() -> None:
    scene = after_a_hole(Rules(START, max_duration_seconds=15))
    assert (scene.finished, len(scene.written)) == ("MaxDurationReached", 15 * 25)


def test_the_least_duration_counts_media() -> None:
    assert after_a_hole(Rules(START, minimum_seconds=21)).stop().play(1).finished == "TooShort"
    assert after_a_hole(Rules(START, minimum_seconds=20)).stop().play(1).finished == "Stopped"


def test_media_that_the_spool_lost_is_in_no_duration() -> None:
    scene = on_air(Rules(START)).gap(3).play(2)
    (file,) = scene.machine.files
    scene.machine.lost(file.identity, TimelineGap(dts=seconds(12), wall_seconds=6))
    assert file.duration_seconds == 16
    assert [(g.dts, g.at_seconds) for g in file.gaps] == [(seconds(20), 14), (seconds(12), 6)]


# ---------------------------------------------------------------------- one session


OURS = Rules(START, rearm_seconds=3600, session_started_at=START)


def test_a_recording_of_one_session_ends_with_it() -> None:
    scene = on_air(OURS).end()
    assert (scene.ended, scene.finished) == (["SessionEnded"], "StreamEnded")


def test_a_recording_of_one_session_takes_nothing_of_a_later_one() -> None:
    scene = Scene(OURS)
    scene.session_started_at = START + timedelta(minutes=3)
    scene.format().play(5)
    assert (scene.written, scene.finished) == ([], "StreamEnded")


def test_a_session_whose_beginning_is_told_in_whole_seconds_is_the_same() -> None:
    scene = Scene(OURS)
    scene.session_started_at = START + timedelta(milliseconds=730)
    assert len(scene.format().play(2).written) == 50


def test_a_session_of_which_nothing_is_held_is_over_but_a_fresh_hub_gets_a_moment() -> None:
    unknown = HubLost(0.0, "the hub answered 404", session_unknown=True)
    scene = Scene(OURS).hear(unknown).wait(8).hear(unknown)
    assert scene.finished is None
    assert scene.wait(3).finished == "StreamEnded"


def test_a_session_that_a_fresh_hub_learns_of_is_recorded() -> None:
    scene = Scene(OURS).hear(HubLost(0.0, "404", session_unknown=True)).wait(8)
    scene.hear(HubBack(0.0)).format().play(4)
    assert (scene.finished, len(scene.written)) == (None, 100)


# ---------------------------------------------------------------------- room


def test_a_store_that_is_full_at_the_beginning_records_nothing() -> None:
    scene = Scene()
    scene.do(scene.machine.store_is_full(scene.now, full=True))
    assert (scene.finished, scene.machine.files) == ("NoSpace", [])


def test_a_store_that_fills_up_ends_the_recording_with_a_whole_file() -> None:
    scene = on_air(Rules(START))
    scene.do(scene.machine.store_is_full(scene.now, full=True))
    assert (scene.ended, scene.finished) == (["StorageLimit"], "StorageLimit")
    assert len(scene.written) == 500


def test_between_sessions_a_full_store_is_waited_out() -> None:
    scene = on_air(Rules(START)).end()
    scene.do(scene.machine.store_is_full(scene.now, full=True))
    assert scene.finished is None
    scene.do(scene.machine.store_is_full(scene.now, full=False))
    scene.dts = 0
    assert scene.format(timeline="t2").play(1).finished is None


def test_a_session_that_begins_while_the_store_is_full_is_not_recorded() -> None:
    scene = on_air(Rules(START)).end()
    scene.do(scene.machine.store_is_full(scene.now, full=True))
    scene.dts = 0
    scene.format(timeline="t2").play(1)
    assert (scene.finished, len(scene.machine.files)) == ("StorageLimit", 1)


# ---------------------------------------------------------------------- holes while it runs


@pytest.mark.parametrize("hole", [5, 300])
def test_what_left_the_ring_while_nothing_could_be_read_is_a_gap(hole: int) -> None:
    scene = on_air(Rules(START))
    scene.lose_hub().hear(HubBack(0.0)).format()
    scene.now += timedelta(seconds=hole)
    scene.dts += seconds(hole)
    scene.unit(dts=scene.dts + FRAME).play(6)
    (gap,) = scene.machine.files[0].gaps
    after = [u for u in scene.written if u.dts > seconds(20)]
    assert after[0].is_random_access, "decoding goes on at a random access point"
    assert gap.dts == after[0].dts
    assert not any(isinstance(e, EndFile) for e in scene.effects)


def test_a_reconnect_without_a_hole_notes_none() -> None:
    scene = on_air(Rules(START)).lose_hub().hear(HubBack(0.0)).format().play(3)
    assert scene.machine.files[0].gaps == []
    assert len(scene.written) == 23 * 25


def test_a_track_that_has_ended_long_ago_is_no_reason_to_ask_for_what_is_held() -> None:
    held = Position("t1", {0: seconds(3_600), 1: seconds(10)})
    assert held.dts == seconds(3_600)
    assert Position("t1", {0: seconds(3_600), 1: seconds(3_599)}).dts == seconds(3_599)
