"""The Recording table of the lifecycle, row by row, on a clock of the test."""

from __future__ import annotations

from datetime import timedelta

from sluice_media.record.effects import BeginFile, Changed, Rules, StopNoted
from sluice_media.record.plan import PlannedFile, Restored, us_of
from tests.unit.record.timeline_script import (
    AUDIO,
    FRAME,
    OTHER_VIDEO,
    START,
    VIDEO,
    Scene,
    seconds,
)


def on_air(rules: Rules | None = None, length: float = 20) -> Scene:
    return Scene(rules).format().beat().play(length)


def continued(last_dts: int, last_utc_seconds: float = 4) -> Restored:
    file = PlannedFile(1, "t1", 0, START, START, [VIDEO], {0: last_dts}, last_dts + FRAME)
    file.last_utc_us = us_of(START + timedelta(seconds=last_utc_seconds))
    return Restored([file])


# ---------------------------------------------------------------------- waiting and beginning


def test_before_the_stream_is_on_air_it_waits() -> None:
    scene = Scene().beat(session=False, delivering=False).wait(5)
    assert (scene.phase, scene.finished) == ("Waiting", None)


def test_on_air_it_records_from_a_random_access_point() -> None:
    scene = Scene().format()
    scene.dts = 10 * FRAME
    scene.play(4)
    assert scene.phase == "Recording"
    assert scene.written[0].is_random_access
    assert scene.written[0].dts == 50 * FRAME


def test_audio_that_came_before_its_picture_is_kept_and_earlier_audio_is_not() -> None:
    scene = Scene().format(VIDEO, AUDIO)
    scene.unit(track=1, dts=seconds(0.9)).unit(track=1, dts=seconds(1.01))
    scene.unit(dts=seconds(1), key=True)
    assert [(u.track, u.dts) for u in scene.written] == [(0, seconds(1)), (1, seconds(1.01))]


def test_content_of_another_stream_with_the_same_name_is_not_recorded() -> None:
    scene = Scene(Rules(START, stream_uid="mine")).format(stream_uid="other").play(3)
    assert scene.written == []


# ---------------------------------------------------------------------- loss and return


def test_a_silent_source_interrupts_and_its_return_goes_on_in_the_same_file() -> None:
    scene = on_air().silence(6)
    assert (scene.phase, scene.machine.duration_seconds) == ("Interrupted", 20)
    scene.beat().gap(6.0).play(2)
    assert scene.phase == "Recording"
    (file,) = scene.machine.files
    assert [(g.at_seconds, g.wall_seconds) for g in file.gaps] == [(20.0, 6.0)]
    assert len(scene.written) == 22 * 25


def test_sound_that_goes_on_without_its_picture_does_not_make_the_phase_flap() -> None:
    scene = Scene().format(VIDEO, AUDIO).beat().play(4).beat(delivering=False)
    phases = set()
    for number in range(100):
        scene.unit(track=1, dts=scene.dts + number * 1_920)
        phases.add(scene.phase)
    assert phases == {"Interrupted"}
    assert sum(unit.track == 1 for unit in scene.written) == 100
    assert scene.beat().phase == "Recording"


def test_a_gap_that_is_told_again_after_a_reconnect_counts_once() -> None:
    scene = on_air().silence(3)
    scene.gap(3.0).lose_hub().format().gap(3.0).play(1)
    assert len(scene.machine.files[0].gaps) == 1


def test_units_that_come_again_after_a_reconnect_are_written_once() -> None:
    scene = on_air(length=4)
    scene.dts -= 20 * FRAME
    scene.play(2)
    assert len({u.dts for u in scene.written}) == len(scene.written)


def test_a_dead_hub_interrupts_after_two_seconds_and_is_waited_for() -> None:
    scene = on_air().lose_hub().wait(1)
    assert scene.phase == "Recording"
    scene.wait(60)
    assert scene.phase == "Interrupted"
    scene.format().play(2)
    assert (scene.phase, scene.ended) == ("Recording", [])


def test_a_hub_that_stays_away_beyond_the_window_and_a_minute_ends_the_file() -> None:
    scene = on_air().lose_hub().wait(71)
    assert (scene.ended, scene.phase) == (["TimelineLost"], "WaitingForReturn")


def test_a_hub_that_restarted_and_knows_no_session_yet_ends_nothing() -> None:
    scene = on_air()
    for _ in range(20):
        scene.beat(session=False, delivering=False).wait(0.5)
    assert scene.ended == []
    scene.format().play(1)
    assert scene.phase == "Recording"


# ---------------------------------------------------------------------- end, return, rearm


def test_the_end_of_the_session_closes_the_file_and_the_return_opens_the_next() -> None:
    scene = on_air().silence(10).end()
    assert (scene.phase, scene.ended) == ("WaitingForReturn", ["SessionEnded"])
    scene.wait(60)
    scene.dts = 0
    scene.format(timeline="t2").play(5)
    assert scene.phase == "Recording"
    assert [f.index for f in scene.machine.files] == [1, 2]
    assert scene.machine.duration_seconds == 25


def test_nobody_returns() -> None:
    scene = on_air(Rules(START, rearm_seconds=100)).end()
    scene.beat(session=False, delivering=False).wait(99)
    assert scene.finished is None
    scene.wait(2)
    assert scene.finished == "StreamEnded"


def test_rearm_zero_ends_with_the_session() -> None:
    assert on_air(Rules(START, rearm_seconds=0)).end().finished == "StreamEnded"


def test_a_session_that_is_on_when_the_rearm_time_is_over_still_opens_a_file() -> None:
    scene = on_air(Rules(START, rearm_seconds=5)).end().wait(4)
    scene.format(timeline="t2").beat().wait(3)
    scene.dts = 0
    assert scene.play(1).phase == "Recording"


def test_short_tails_of_sessions_are_kept() -> None:
    scene = on_air(Rules(START, rearm_seconds=0, minimum_seconds=10), length=3).end()
    assert scene.finished == "StreamEnded"


def test_a_deleted_stream_ends_the_recording() -> None:
    scene = on_air()
    scene.do(scene.machine.stream_gone(scene.now))
    assert (scene.ended, scene.finished) == (["SessionEnded"], "StreamEnded")


# ---------------------------------------------------------------------- stop


def test_a_stop_takes_effect_at_the_next_frame_boundary() -> None:
    scene = on_air().stop()
    assert (scene.finished, scene.phase) == (None, "Recording")
    assert any(isinstance(e, StopNoted) for e in scene.effects)
    scene.play(1)
    assert (scene.finished, scene.phase) == ("Stopped", "Closing")
    assert len(scene.written) == 500


def test_a_stop_while_content_of_the_past_still_arrives_takes_that_first() -> None:
    scene = Scene().format()
    scene.now += timedelta(seconds=30)
    scene.unit(key=True, late=30).stop()
    for frame in range(1, 800):
        scene.now += timedelta(milliseconds=2)
        scene.unit(dts=frame * FRAME, late=(scene.now - START).total_seconds() - frame * 0.04)
        scene.do(scene.machine.tick(scene.now))
    assert scene.finished == "Stopped"
    assert len(scene.written) == 750


def test_a_stop_is_heard_although_the_hubs_clock_is_slow() -> None:
    scene = on_air()
    scene.unit(late=300).stop()
    for frame in range(200):
        scene.now += timedelta(seconds=0.04)
        scene.unit(dts=scene.dts + frame * FRAME, late=300)
        scene.do(scene.machine.tick(scene.now))
    assert scene.finished == "Stopped"
    assert len(scene.written) < 500 + 100


def test_a_stop_while_interrupted_counts_at_once() -> None:
    assert on_air().silence(3).stop().finished == "Stopped"


def test_a_stop_while_nobody_is_on_air_counts_at_once() -> None:
    scene = on_air().end().beat(session=False, delivering=False)
    assert scene.stop().finished == "Stopped"


def test_a_stop_before_anything_was_recorded() -> None:
    scene = Scene().beat(session=False, delivering=False).stop()
    assert (scene.finished, scene.machine.files) == ("Stopped", [])


def test_a_stop_when_no_hub_answers() -> None:
    scene = Scene().stop().wait(9)
    assert scene.finished is None
    assert scene.wait(2).finished == "Stopped"


def test_stopped_by_the_user_with_too_little_in_all_files() -> None:
    assert on_air(length=9).stop().play(1).finished == "TooShort"
    assert on_air(length=10).stop().play(1).finished == "Stopped"


def test_a_stop_is_latched_over_a_restart_of_the_process() -> None:
    restored = continued(last_dts=seconds(3.96))
    restored.stop_requested_at = START + timedelta(seconds=1)
    scene = Scene(restored=restored).format()
    scene.dts = seconds(4)
    scene.now += timedelta(seconds=5)
    scene.play(0.2)
    assert (scene.finished, scene.written) == ("TooShort", [])


# ---------------------------------------------------------------------- formats and timelines


def test_other_parameters_open_another_file_at_a_random_access_point() -> None:
    scene = on_air(length=3).format(OTHER_VIDEO).play(2)
    assert (scene.ended, scene.phase) == (["ParametersChanged"], "Recording")
    assert scene.machine.files[1].first_dts % (50 * FRAME) == 0


def test_audio_that_shows_up_soon_belongs_to_the_same_file() -> None:
    scene = on_air(length=12).format(VIDEO, AUDIO).unit(track=1)
    assert scene.ended == []
    assert any(isinstance(e, Changed) and e.tracks for e in scene.effects)


def test_audio_that_shows_up_after_half_a_minute_opens_another_file() -> None:
    scene = on_air(length=31).format(VIDEO, AUDIO)
    assert scene.play(1).ended == []
    assert scene.play(1).ended == ["ParametersChanged"], "at the next random access"


def test_another_timeline_of_the_same_session_opens_another_file() -> None:
    assert on_air().format(timeline="t2").ended == ["TimelineLost"]


def test_the_timeline_of_a_later_session_tells_that_the_former_has_ended() -> None:
    scene = on_air()
    scene.session_started_at = START + timedelta(minutes=5)
    assert scene.format(timeline="t2").ended == ["SessionEnded"]


# ---------------------------------------------------------------------- going on after a crash


def test_a_new_attempt_goes_on_right_behind_what_is_durable() -> None:
    scene = Scene(restored=continued(last_dts=seconds(3.96))).format()
    assert scene.phase == "Recording"
    scene.dts = seconds(3)
    scene.play(3)
    assert scene.written[0].dts == seconds(4)
    assert not any(isinstance(e, BeginFile) for e in scene.effects)
    assert scene.machine.duration_seconds == 6


def test_a_new_attempt_notes_what_the_ring_did_not_hold_any_more() -> None:
    scene = Scene(restored=continued(last_dts=seconds(3.96))).format()
    scene.now += timedelta(seconds=70)
    scene.dts = seconds(73)
    scene.play(4)
    assert scene.written[0].is_random_access
    assert scene.written[0].dts == seconds(74)
    (gap,) = scene.machine.files[0].gaps
    assert (gap.at_seconds, gap.wall_seconds) == (4.0, 67.0)


def test_a_new_attempt_between_sessions_ignores_what_it_has_of_the_old_one() -> None:
    restored = continued(last_dts=seconds(3.96))
    file = restored.files[0]
    file.end_reason, file.ended_at = "SessionEnded", START
    scene = Scene(restored=restored).format()
    assert scene.phase == "WaitingForReturn"
    scene.play(4).end()
    assert scene.written == []
    scene.dts = 0
    scene.format(timeline="t2").play(1)
    assert [f.index for f in scene.machine.files] == [1, 2]


def test_a_new_attempt_after_the_rearm_time_asks_a_hub_before_it_ends() -> None:
    restored = continued(last_dts=seconds(3.96))
    file = restored.files[0]
    file.end_reason, file.ended_at = "SessionEnded", START - timedelta(days=1)
    scene = Scene(restored=restored).wait(5)
    assert scene.finished is None
    assert scene.beat(session=False, delivering=False).finished == "StreamEnded"
