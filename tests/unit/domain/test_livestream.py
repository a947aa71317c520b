"""A pushed LiveStream, row by row of the lifecycle table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.domain.builders import StreamCase, make_livestream, text
from tests.unit.domain.lifecycle import Row, check, failover, settled


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


def row_2_the_backup_alone_is_connected_but_has_no_keyframe_yet() -> Row:
    return Row(
        settled().idle(backup_connected=True),
        False,
        "False/WaitingForKeyframe",
        want={"backupLive": False},
        want_backup="False/NotDelivering",
    )


def row_3_the_backup_alone_publishes() -> Row:
    return Row(
        settled().on_backup(since=3),
        False,
        "True/OnAir",
        "Backup",
        {"startedAt": text(3), "backupLive": True, "failovers": 0},
        want_backup="True/Delivering",
    )


def row_4_the_backup_connects_too() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(5).on_air(since=3, backup_connected=True, backup_delivers=True),
        True,
        "True/OnAir",
        "Primary",
        {"backupLive": True, "startedAtBackup": text(5), "failovers": 0},
        want_backup="True/Delivering",
    )


def failed_over() -> StreamCase:
    case = settled().on_air(since=3, backup_connected=True, backup_delivers=True)
    case.decide()
    return case.later(60).on_backup(since=3, failovers=1, last_failover=failover(60))


def row_5_the_primary_stalls_and_the_backup_delivers() -> Row:
    return Row(
        failed_over(),
        False,
        "True/OnAir",
        "Backup",
        {
            "startedAt": text(3),
            "startedAtBackup": text(0),
            "failovers": 1,
            "lastFailover": {
                "at": text(60),
                "from": "Primary",
                "to": "Backup",
                "gapMilliseconds": 840,
            },
        },
        ("finishedAt",),
        "True/Delivering",
    )


def row_6_the_primary_is_back_and_the_backup_stays_on_air() -> Row:
    case = failed_over()
    case.decide()
    both = {"primary_connected": True, "primary_delivers": True}
    back = case.later(9).on_backup(since=3, failovers=1, last_failover=failover(60), **both)
    return Row(back, True, "True/OnAir", "Backup", {"failovers": 1}, (), "True/Delivering")


def row_6_the_primary_is_back_on_air_after_failback_seconds() -> Row:
    case = failed_over()
    case.decide()
    back = failover(120, "Backup", "Primary")
    both = {"backup_connected": True, "backup_delivers": True, "active_source": "Primary"}
    case.later(60).on_air(since=3, failovers=2, last_failover=back, **both)
    return Row(case, True, "True/OnAir", "Primary", {"failovers": 2}, (), "True/Delivering")


def row_7_neither_leg_delivers() -> Row:
    case = failed_over()
    case.decide()
    return Row(
        case.later(5).interrupted(since=3),
        False,
        "False/Interrupted",
        want={"backupLive": False, "startedAtBackup": text(0)},
        want_absent=("finishedAt", "media"),
        want_backup="False/WaitingForPublisher",
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


def row_11_switched_off_with_a_backup_on_air() -> Row:
    case = failed_over()
    case.decide()
    case.spec(active=False)
    case.decide()
    return Row(
        case.finished(3, 70),
        False,
        "False/Disabled",
        want={"finishedAt": text(70), "backupLive": False},
        want_backup="False/Disabled",
    )


def row_12_the_key_is_rotated_and_both_publishers_are_cut() -> Row:
    case = failed_over()
    case.decide()
    case.annotated(rotate_key="1").decide()
    return Row(
        case.interrupted(since=3),
        False,
        "False/Interrupted",
        want={"backupLive": False},
        want_backup="False/WaitingForPublisher",
    )


def row_14_the_pod_dies_while_the_backup_is_on_air() -> Row:
    case = failed_over()
    case.decide()
    return Row(
        case.no_pod().later(11, in_touch=False),
        False,
        "Unknown/Stale",
        want={"backupLive": False, "failovers": 1, "startedAtBackup": text(0)},
        want_backup="Unknown/Stale",
    )


def row_14_the_pod_dies_while_the_backup_is_on_air_and_little_time_passes() -> Row:
    case = failed_over()
    case.decide()
    return Row(
        case.no_pod().later(9, in_touch=False),
        False,
        "True/OnAir",
        "Backup",
        {"backupLive": True},
        want_backup="True/Delivering",
    )


def row_14_the_next_hub_goes_on_from_the_backup() -> Row:
    case = failed_over()
    case.decide()
    case.no_pod().later(11, in_touch=False).decide()
    return Row(
        case.pod("pod-2").on_backup(since=3),
        False,
        "True/OnAir",
        "Backup",
        {"startedAtBackup": text(0), "startedAt": text(3), "failovers": 1},
        want_backup="True/Delivering",
    )


def row_15_the_operator_was_away_while_the_backup_took_over() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.later(600).operator_restarted()
    case.decide()
    return Row(
        case.on_backup(since=3, failovers=1, last_failover=failover(300)),
        False,
        "True/OnAir",
        "Backup",
        {"failovers": 1, "startedAt": text(3)},
        want_backup="True/Delivering",
    )


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
    row_2_the_backup_alone_is_connected_but_has_no_keyframe_yet,
    row_3_the_backup_alone_publishes,
    row_4_the_backup_connects_too,
    row_5_the_primary_stalls_and_the_backup_delivers,
    row_6_the_primary_is_back_and_the_backup_stays_on_air,
    row_6_the_primary_is_back_on_air_after_failback_seconds,
    row_7_neither_leg_delivers,
    row_11_switched_off_with_a_backup_on_air,
    row_12_the_key_is_rotated_and_both_publishers_are_cut,
    row_14_the_pod_dies_while_the_backup_is_on_air,
    row_14_the_pod_dies_while_the_backup_is_on_air_and_little_time_passes,
    row_14_the_next_hub_goes_on_from_the_backup,
    row_15_the_operator_was_away_while_the_backup_took_over,
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
def test_each_row_of_the_lifecycle(make_row: Callable[[], Row]) -> None:
    check(make_row())
