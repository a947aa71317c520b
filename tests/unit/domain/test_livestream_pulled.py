"""A pulled LiveStream, row by row of the lifecycle table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice_media.contract import GivenUp, IngestConfig, PullConfig, PullStatus, Session
from tests.unit.domain.builders import StreamCase, at, make_livestream, text
from tests.unit.domain.lifecycle import Row, check, failover


def pulled() -> StreamCase:
    case = make_livestream("a").pull("rtmp://a.example/live/x", ("sources", "uri"))
    case.settled().idle().decide()
    return case


GIVEN_UP = PullStatus(given_up=GivenUp(generation=2))


def gave_up() -> StreamCase:
    case = pulled().later(7_200).idle(pull=GIVEN_UP)
    case.decide()
    return case


def pull_config(case: StreamCase) -> PullConfig:
    """Return the ingest pod's configuration."""
    config = IngestConfig.model_validate_json(case.child("ConfigMap")["data"]["config.json"])
    assert config.pull is not None
    return config.pull


def row_1_created_and_no_source_delivers() -> Row:
    reported = PullStatus(uri_index=1, message="connection refused")
    return Row(
        pulled().idle(pull=reported),
        False,
        "False/WaitingForSource",
        want={"pull": {"message": "connection refused", "observedAt": text(0)}},
        want_absent=("startedAt", "backupLive", "ingest"),
    )


def row_3_a_source_delivers() -> Row:
    return Row(
        pulled().pulling(since=3, index=1),
        True,
        "True/OnAir",
        "Pull",
        {"startedAt": text(3), "pull": {"uriIndex": 1}},
        ("backupLive", "startedAtBackup"),
    )


def row_4_a_warm_standby_is_no_backup() -> Row:
    reported = PullStatus(uri_index=0, delivers=True, standby_index=1)
    return Row(
        pulled().pulling(since=3, pull=reported),
        True,
        "True/OnAir",
        "Pull",
        {"pull": {"uriIndex": 0, "standbyIndex": 1}},
        ("backupLive",),
    )


def row_5_a_source_stalls_and_the_next_one_delivers() -> Row:
    case = pulled().pulling(since=3)
    case.decide()
    change = failover(60, "Uri 0", "Uri 1")
    case.later(60).pulling(since=3, index=1, failovers=1, last_failover=change)
    return Row(
        case,
        True,
        "True/OnAir",
        "Pull",
        {
            "failovers": 1,
            "lastFailover": {
                "at": text(60),
                "from": "Uri 0",
                "to": "Uri 1",
                "gapMilliseconds": 840,
            },
            "pull": {"uriIndex": 1},
        },
    )


def row_7_no_source_delivers() -> Row:
    case = pulled().pulling(since=3)
    case.decide()
    session = Session(started_at=at(3), protocol="Pull")
    case.hub(interrupted=True, session=session, pull=PullStatus(uri_index=1, message="timed out"))
    return Row(case, False, "False/Interrupted", want_absent=("media",))


def row_9_the_window_has_passed_and_the_sources_are_tried_on() -> Row:
    case = pulled().pulling(since=3)
    case.decide()
    return Row(
        case.later(80).finished(3, 62, pull=PullStatus(uri_index=1)),
        False,
        "False/WaitingForSource",
        want={"finishedAt": text(62)},
    )


def row_11_pulling_is_switched_off() -> Row:
    case = pulled().pulling(since=3)
    case.decide()
    case.spec(active=False)
    case.decide()
    return Row(case.finished(3, 20), False, "False/Disabled", want={"finishedAt": text(20)})


def row_13_nothing_for_inactivity_seconds() -> Row:
    reported = PullStatus(given_up=GivenUp(generation=2), message="connection refused")
    told_at = {"message": "connection refused", "observedAt": text(7_200)}
    return Row(
        pulled().later(7_200).idle(pull=reported),
        False,
        "False/InactivityTimeout",
        want={"pull": told_at | {"givenUp": {"generation": 2}}},
    )


def row_13_another_generation_is_tried_again() -> Row:
    case = gave_up()
    case.pull("rtmp://b.example/live/x")
    case.decide()
    return Row(
        case.idle(pull=PullStatus(uri_index=0)), False, "False/WaitingForSource", want={"pull": {}}
    )


def row_13_and_the_pod_is_replaced() -> Row:
    case = gave_up()
    case.no_pod().later(60, in_touch=False).decide()
    return Row(
        case,
        False,
        "Unknown/Stale",
        want={"pull": {"givenUp": {"generation": 2}}},
    )


def row_14_the_pod_of_a_pulled_stream_dies() -> Row:
    case = pulled().pulling(since=3)
    case.decide()
    return Row(
        case.no_pod().later(11, in_touch=False),
        False,
        "Unknown/Stale",
        want={"startedAt": text(3)},
        want_absent=("pull", "finishedAt"),
    )


ROWS = [
    row_1_created_and_no_source_delivers,
    row_3_a_source_delivers,
    row_4_a_warm_standby_is_no_backup,
    row_5_a_source_stalls_and_the_next_one_delivers,
    row_7_no_source_delivers,
    row_9_the_window_has_passed_and_the_sources_are_tried_on,
    row_11_pulling_is_switched_off,
    row_13_nothing_for_inactivity_seconds,
    row_13_another_generation_is_tried_again,
    row_13_and_the_pod_is_replaced,
    row_14_the_pod_of_a_pulled_stream_dies,
]


@pytest.mark.parametrize("make_row", ROWS, ids=lambda make: make.__name__)
def test_each_row_of_the_lifecycle(make_row: Callable[[], Row]) -> None:
    check(make_row())


def test_giving_up_makes_a_warning() -> None:
    case = pulled().idle(pull=PullStatus(uri_index=0))
    case.decide()
    decision = case.later(7_200).idle(pull=GIVEN_UP).decide()
    assert decision.event_reasons["Live"] == "Warning"


# ------------------------------------------------------------------ an authority of its own


def test_a_missing_authority_is_named_with_its_secret() -> None:
    own = {"name": "own-authority", "key": "ca.crt"}
    source = {"uri": "rtsps://camera.example/stream1", "caSecretRef": own}
    case = make_livestream("a").spec(
        source={"pull": {"uris": [{"uri": "rtmp://b.example/x"}, source]}}
    )
    case.settled()
    assert pull_config(case).with_ca == [1]
    missing = "The Secret does not have the CA certificate of source 2."
    case.idle(config_error=missing, config_error_reason="SecretKeyMissing").decide()
    assert case.word("Stalled") == "True/SecretKeyMissing"
    condition = case.condition("Stalled")
    assert condition is not None
    assert condition.message.endswith("key ca.crt of Secret own-authority.")


# ------------------------------------------------------------------ given up, and asked for again


def test_the_configuration_of_every_later_pod_has_the_giving_up() -> None:
    case = gave_up()
    assert pull_config(case).given_up
    case.no_pod().later(60, in_touch=False).decide()
    assert pull_config(case).given_up
    case.pod("pod-2").idle(pull=None).decide()
    assert pull_config(case).given_up
    case.idle(pull=PullStatus(uri_index=0)).decide()  # it was faster than its configuration
    assert pull_config(case).given_up
    case.operator_restarted().decide()
    assert pull_config(case).given_up


def test_given_up_sources_are_tried_again_when_a_restart_is_requested() -> None:
    case = gave_up().annotated(restart="1")
    case.decide()  # the pod has not read it yet, and still reports that it has given up
    assert not pull_config(case).given_up
    assert pull_config(case).restart
    assert "givenUp" not in case.status["pull"]
    again = GivenUp(generation=2, restart=pull_config(case).restart)
    case.later(7_200).idle(pull=PullStatus(given_up=again)).decide()
    assert pull_config(case).given_up
    assert case.status["pull"]["givenUp"]["restart"] == again.restart
    case.annotated(restart="2").decide()
    assert not pull_config(case).given_up


def test_given_up_sources_are_tried_again_after_any_change_of_the_spec() -> None:
    case = gave_up().spec(title="Another one")
    case.decide()
    assert not pull_config(case).given_up
    assert "givenUp" not in case.status["pull"]


def test_a_source_that_delivers_was_not_given_up() -> None:
    case = gave_up().pulling(since=7_300)
    case.decide()
    assert not pull_config(case).given_up
    assert case.status["pull"] == {"uriIndex": 0}


def test_a_stream_that_waits_for_the_first_time_has_not_given_up() -> None:
    case = pulled()
    assert not pull_config(case).given_up
    assert pull_config(case).restart == ""


def test_the_status_holds_a_short_digest_of_the_restart_annotation() -> None:
    case = pulled().annotated(restart="x" * 10_000)
    case.decide()
    assert len(pull_config(case).restart) == 8
