"""LiveStream: the history in its status: sessions, failovers, rejections, formats."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import (
    Failover,
    FormatChange,
    Media,
    PullStatus,
    Rejection,
    Session,
)
from tests.unit.domain.builders import StreamCase, at, make_livestream, text
from tests.unit.domain.lifecycle import settled

# --------------------------------------------------------------------------- sessions


def test_ten_sessions_are_kept_newest_first() -> None:
    case = settled()
    for number in range(12):
        case.finished(number * 100, number * 100 + 50).decide()
    starts = [session["startedAt"] for session in case.status["sessions"]]
    assert starts == [text(number * 100) for number in range(11, 1, -1)]
    assert case.status["sessions"][0]["endReason"] == "WindowPassed"


def test_sessions_that_passed_between_two_looks_are_added() -> None:
    case = settled().on_air(since=100)
    missed = Session(started_at=at(20), finished_at=at(40), protocol="RTMP")
    case.on_air(since=100, past_sessions=[missed]).decide()
    assert [s["startedAt"] for s in case.status["sessions"]] == [text(100), text(20)]
    assert case.status["finishedAt"] == text(40)


def test_the_last_rejection_outlives_the_hub_that_refused() -> None:
    case = settled().idle(last_rejection=Rejection(reason="BadKey", at=at(5)))
    case.decide()
    case.pod("pod-2").idle().decide()
    assert case.status["lastRejection"] == {"reason": "BadKey", "at": text(5)}


def test_an_encoder_that_tries_a_wrong_key_all_the_time_does_not_cost_a_write_each() -> None:
    def refused(reason: str, seconds: float) -> str:
        case.idle(last_rejection=Rejection(reason=reason, at=at(seconds))).decide()
        shown: str = case.status["lastRejection"]["at"]
        return shown

    case = settled()
    assert refused("BadKey", 5) == text(5)
    assert refused("BadKey", 6) == text(5)
    assert refused("BadKey", 15) == text(15)
    assert refused("Busy", 15.5) == text(15.5), "another reason is written"


def test_a_stream_without_random_access_gets_advice() -> None:
    case = settled().on_air(no_random_access=True)
    case.decide()
    assert case.word("NoRandomAccess") == "True/NoKeyframe"
    case.interrupted().idle(interrupted=True, no_random_access=True).decide()
    assert case.condition("NoRandomAccess") is None, "off air there is no advice"


def test_small_changes_of_the_bit_rate_are_not_written() -> None:
    case = settled().on_air()
    case.decide()
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=3300))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 3000
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=6000))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 6000


# --------------------------------------------------------------------------- failovers


def session(since: float, failovers: int, until: float | None = None) -> Session:
    finished = at(until) if until is not None else None
    return Session(started_at=at(since), finished_at=finished, failovers=failovers)


def counted(case: StreamCase) -> tuple[Any, list[Any]]:
    """Return the sum, and the part of each session, newest first."""
    case.decide()
    sessions = case.status.get("sessions") or []
    return case.status["failovers"], [s.get("failovers", 0) for s in sessions]


def test_failovers_are_counted_over_sessions() -> None:
    case = settled().on_air(session=session(0, 2), failovers=2)
    assert counted(case) == (2, [2])
    case.finished(0, 50, failovers=2).idle(session=session(0, 2, 50), failovers=2)
    assert counted(case) == (2, [2])
    case.on_air(session=session(90, 1), failovers=3)
    assert counted(case) == (3, [1, 2])


def test_the_count_continues_when_the_pod_is_replaced_in_the_middle_of_a_session() -> None:
    case = settled().on_air(session=session(0, 3), failovers=3)
    assert counted(case) == (3, [3])
    case.pod("pod-2").on_air(session=session(0, 0), failovers=0)
    assert counted(case) == (3, [3]), "the new hub took the session over and counts from zero"
    case.on_air(session=session(0, 1), failovers=1)
    assert counted(case) == (4, [4])
    case.on_air(session=session(0, 4), failovers=4)
    assert counted(case) == (7, [7])


def test_a_new_pod_with_the_same_count_is_a_new_counter() -> None:
    case = settled().on_air(session=session(0, 3), failovers=3)
    case.decide()
    case.pod("pod-2").on_air(session=session(0, 3), failovers=3)
    assert counted(case) == (6, [6])


def test_the_count_continues_when_the_process_starts_anew_in_the_same_pod() -> None:
    case = settled().on_air(session=session(0, 3), failovers=3)
    case.decide()
    case.on_air(session=session(0, 1), failovers=1)
    assert counted(case) == (4, [4])


def test_the_count_outlives_silence_and_the_operators_restart() -> None:
    case = settled().on_air(session=session(0, 3), failovers=3)
    case.decide()
    case.later(60, in_touch=False)
    assert counted(case) == (3, [3])
    case.operator_restarted()
    assert counted(case) == (3, [3])
    case.on_air(session=session(0, 4), failovers=4)
    assert counted(case) == (4, [4])


def test_a_session_that_ended_and_another_one_between_two_looks_share_the_count() -> None:
    case = settled().on_air(session=session(0, 1), failovers=1)
    case.decide()
    ended = session(0, 2, until=40)
    case.on_air(session=session(60, 3), past_sessions=[ended], failovers=5)
    assert counted(case) == (5, [3, 2])


def test_the_later_failover_is_shown_whichever_pod_reports_it() -> None:
    def failover_to_leg(seconds: float, to: str) -> Failover:
        words = {"at": at(seconds), "from": "Primary", "to": to, "gapMilliseconds": 0}
        return Failover.model_validate(words)

    case = settled().on_air(last_failover=failover_to_leg(20, "Backup"), failovers=1)
    case.decide()
    case.pod("pod-2").on_air()
    case.decide()
    assert case.status["lastFailover"]["at"] == text(20)
    case.on_air(last_failover=failover_to_leg(30, "Backup"), failovers=1).decide()
    assert case.status["lastFailover"]["at"] == text(30)


def test_a_change_of_the_format_is_in_the_status() -> None:
    change = FormatChange(at=at(9), before="h264 1280x720", after="h264 1920x1080")
    case = settled().on_air(last_format_change=change)
    case.decide()
    want = {"at": text(9), "before": "h264 1280x720", "after": "h264 1920x1080"}
    assert case.status["lastFormatChange"] == want
    case.idle().decide()
    assert case.status["lastFormatChange"] == want


# --------------------------------------------------------------------------- backup and sources


def test_started_at_backup_is_when_it_last_began() -> None:
    case = settled().on_backup()
    case.decide()
    assert case.status["startedAtBackup"] == text(0)
    case.later(30).on_backup().decide()
    assert case.status["startedAtBackup"] == text(0)
    case.on_air().decide()
    case.later(30).on_backup().decide()
    assert case.status["startedAtBackup"] == text(60)


def test_a_stream_without_backup_has_no_backup_condition() -> None:
    case = make_livestream("a").push(backup={"enabled": False}).key("k" * 32)
    case.settled().on_air().decide()
    assert case.condition("BackupLive") is None
    assert "backupLive" not in case.status


def test_sources_that_fail_for_several_reasons_do_not_cost_a_write_each() -> None:
    case = make_livestream("a").pull("rtmp://a.example/x", "rtmp://b.example/x")
    case.settled().idle().decide()

    def report(index: int, message: str, seconds: float) -> Any:
        case.later(seconds).idle(pull=PullStatus(uri_index=index, message=message)).decide()
        return case.status["pull"]

    first = report(0, "refused", 0)
    assert first == {"message": "refused", "observedAt": text(0)}, (
        "a change of the source that is tried is not written"
    )
    assert report(1, "no such host", 3) == first
    assert report(0, "refused", 3) == first
    assert report(1, "no such host", 30) == {"message": "no such host", "observedAt": text(36)}


def test_sound_that_is_not_carried_is_named_while_the_stream_is_on_air() -> None:
    media = Media(video_codec="H264", width=1280, height=720, left_out_audio_codec="AC-3")
    case = settled().on_air(media=media)
    case.decide()
    live = case.condition("Live")
    assert live is not None
    assert (live.status, live.reason) == ("True", "OnAir")
    assert live.message == (
        "On air without sound: the source sends AC-3, which Sluice does not carry. "
        "Set the encoder's audio codec to AAC."
    )
    assert case.status["media"]["leftOutAudioCodec"] == "AC-3"
