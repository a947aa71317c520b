"""LiveStream, row by row of the lifecycle table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice_media.contract import Media, Rejection, Session
from tests.unit.domain.builders import (
    StreamCase,
    at,
    make_livestream,
    text,
)


def settled(name: str = "a") -> StreamCase:
    """A stream whose pod is up, configured and idle."""
    case = make_livestream(name).key("k" * 32)
    case.settled().idle().decide()
    return case


# --------------------------------------------------------------------------- the table


@dataclass(slots=True, frozen=True)
class Row:
    """One event of the table, and what stands in the status afterwards."""

    case: StreamCase
    want_live: bool
    want_condition: str
    want_source: str | None = None
    want: dict[str, Any] = field(default_factory=dict)
    want_absent: tuple[str, ...] = ()


def row_1_created_and_nobody_publishes() -> Row:
    return Row(
        settled(), False, "False/WaitingForPublisher", want_absent=("startedAt", "finishedAt")
    )


def row_2_key_accepted_but_no_keyframe_yet() -> Row:
    return Row(settled().idle(primary_connected=True), False, "False/WaitingForKeyframe")


def row_3_first_keyframe() -> Row:
    return Row(
        settled().on_air(since=3),
        True,
        "True/OnAir",
        "Primary",
        {
            "startedAt": text(3),
            "media": {"videoCodec": "H264", "width": 1280, "height": 720, "bitrateKbps": 3000},
        },
        ("finishedAt",),
    )


def row_7_no_leg_delivers() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(60).interrupted(since=3),
        False,
        "False/Interrupted",
        want={"startedAt": text(3)},
        want_absent=("finishedAt", "media"),
    )


def row_8_back_inside_the_window_is_the_same_session() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.interrupted(since=3).decide()
    return Row(case.later(6).on_air(since=3), True, "True/OnAir", "Primary", {"startedAt": text(3)})


def row_9_the_window_has_passed() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(80).finished(3, 62),
        False,
        "False/WaitingForPublisher",
        want={"startedAt": text(3), "finishedAt": text(62)},
    )


def row_10_media_after_the_window_keeps_finished_at() -> Row:
    case = settled().finished(3, 62)
    case.decide()
    return Row(
        case.later(300).on_air(since=300),
        True,
        "True/OnAir",
        "Primary",
        {"startedAt": text(300), "finishedAt": text(62)},
    )


def row_11_switched_off() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.spec(active=False)
    case.decide()
    return Row(case.finished(3, 20), False, "False/Disabled", want={"finishedAt": text(20)})


def row_11_switched_off_but_the_hub_has_not_heard_yet() -> Row:
    case = settled().on_air(since=3).spec(active=False)
    return Row(case, True, "True/OnAir", "Primary")


def row_14_the_pod_dies_and_nothing_is_known_to_have_changed() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.no_pod().later(9, in_touch=False), True, "True/OnAir", "Primary")


def row_14_the_pod_is_away_for_too_long() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.no_pod().later(11, in_touch=False),
        False,
        "Unknown/Stale",
        want={"startedAt": text(3)},
        want_absent=("finishedAt", "media"),
    )


def row_14_the_next_hub_has_not_adopted_the_session_yet() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.later(4).pod("pod-2").later(3).idle(), True, "True/OnAir", "Primary")


def row_14_the_next_hub_went_on_with_it() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(4).pod("pod-2").on_air(since=3),
        True,
        "True/OnAir",
        "Primary",
        {"startedAt": text(3)},
    )


def row_14_the_next_hub_never_hears_of_the_session() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.later(4).pod("pod-2").later(11).idle().decide()
    assert case.word("Live") == "False/Interrupted"
    return Row(
        case.later(11).idle(),
        False,
        "False/WaitingForPublisher",
        want={"startedAt": text(3), "finishedAt": text(15)},
    )


def row_15_the_operator_was_away() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.later(600).operator_restarted(), True, "True/OnAir", "Primary")


def row_15_the_operator_is_back_but_hears_nothing() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.operator_restarted().operator_up_for(11), False, "Unknown/Stale")


def a_new_stream_whose_pod_starts() -> Row:
    case = make_livestream("a")
    case.decide()
    return Row(case.pod(ready=False), False, "Unknown/Starting")


ROWS = [
    row_1_created_and_nobody_publishes,
    row_2_key_accepted_but_no_keyframe_yet,
    row_3_first_keyframe,
    row_7_no_leg_delivers,
    row_8_back_inside_the_window_is_the_same_session,
    row_9_the_window_has_passed,
    row_10_media_after_the_window_keeps_finished_at,
    row_11_switched_off,
    row_11_switched_off_but_the_hub_has_not_heard_yet,
    row_14_the_pod_dies_and_nothing_is_known_to_have_changed,
    row_14_the_pod_is_away_for_too_long,
    row_14_the_next_hub_has_not_adopted_the_session_yet,
    row_14_the_next_hub_went_on_with_it,
    row_14_the_next_hub_never_hears_of_the_session,
    row_15_the_operator_was_away,
    row_15_the_operator_is_back_but_hears_nothing,
    a_new_stream_whose_pod_starts,
]


@pytest.mark.parametrize("make_row", ROWS, ids=lambda make: make.__name__)
def test_each_row_of_the_lifecycle(make_row: Any) -> None:
    row: Row = make_row()
    row.case.decide()
    status = row.case.status
    assert row.case.word("Live") == row.want_condition
    assert status["live"] is row.want_live
    assert status.get("activeSource") == row.want_source
    assert {key: status.get(key) for key in row.want} == row.want
    assert not [key for key in row.want_absent if key in status]


# --------------------------------------------------------------------------- sessions


def test_ten_sessions_are_kept_newest_first() -> None:
    case = settled()
    for number in range(12):
        case.finished(number * 100, number * 100 + 50).decide()
    starts = [session["startedAt"] for session in case.status["sessions"]]
    assert starts == [text(number * 100) for number in range(11, 1, -1)]
    assert case.status["sessions"][0]["endReason"] == "WindowPassed"


def test_sessions_that_passed_while_nobody_looked_are_filled_in() -> None:
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
    assert refused("Busy", 15.5) == text(15.5), "another reason is news"


def test_a_stream_without_random_access_gets_advice() -> None:
    case = settled().on_air(no_random_access=True)
    case.decide()
    assert case.word("NoRandomAccess") == "True/NoKeyframe"
    case.interrupted().idle(interrupted=True, no_random_access=True).decide()
    assert case.condition("NoRandomAccess") is None, "off air there is nothing to advise"


def test_a_bit_rate_that_wobbles_is_not_written_again() -> None:
    case = settled().on_air()
    case.decide()
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=3300))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 3000
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=6000))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 6000
