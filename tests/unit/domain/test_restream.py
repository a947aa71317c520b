"""Restream, row by row of the lifecycle table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from sluice_media.contract import PushState, TargetError
from tests.unit.domain.builders import RestreamCase, at, make_livestream, make_restream, text


def up() -> RestreamCase:
    case = make_restream("x")
    case.settled().pusher(PushState.IDLE, idle_reason="WaitingForStream").decide()
    return case


def error(class_: str, message: str) -> TargetError:
    return TargetError(**{"class": class_, "message": message, "at": at(7)})


def config(case: RestreamCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


@dataclass(slots=True, frozen=True)
class Row:
    state: PushState
    facts: dict[str, Any]
    want_live: str
    live: bool = False
    want_ready: str = "True/Configured"
    """Expected Ready; the target's behaviour does not change it."""
    want_stalled: str = ""


ROWS = {
    "the stream is off air": Row(
        PushState.IDLE, {"idle_reason": "WaitingForStream"}, "False/WaitingForStream"
    ),
    "dialling": Row(PushState.CONNECTING, {}, "False/Connecting"),
    "the target takes the stream": Row(PushState.LIVE, {}, "True/Publishing", live=True),
    "the source is interrupted": Row(PushState.WAITING, {}, "False/SourceInterrupted"),
    "the send queue grows": Row(PushState.STALLED, {}, "False/TargetStalled"),
    "the connection was lost": Row(
        PushState.BACKOFF, {"last_error": error("Reset", "reset by peer")}, "False/Retrying"
    ),
    "the target said no": Row(
        PushState.REJECTED,
        {"last_error": error("BadName", "no such key")},
        "False/BadName",
        want_ready="False/BadName",
        want_stalled="True/BadName",
    ),
    "the target ends each connection": Row(
        PushState.REJECTED,
        {"last_error": error("Closed", "the target closed the connection")},
        "False/Closed",
    ),
    "the address may not be dialled": Row(
        PushState.REJECTED,
        {"last_error": error("Forbidden", "it is in the denied range 10.96.0.0/12")},
        "False/Forbidden",
        want_ready="False/Forbidden",
        want_stalled="True/Forbidden",
    ),
    "the codec does not fit": Row(
        PushState.IDLE,
        {"idle_reason": "CodecMismatch", "message": "Send H.264 instead of HEVC."},
        "False/CodecMismatch",
    ),
    "it gave up": Row(PushState.GAVE_UP, {}, "False/GaveUp"),
}


@pytest.mark.parametrize("situation", ROWS)
def test_each_row_of_the_lifecycle(situation: str) -> None:
    row = ROWS[situation]
    case = up().pusher(row.state, **row.facts)
    case.decide()
    assert case.status["state"] == row.state.value
    assert case.status["live"] is row.live
    assert case.word("Live") == row.want_live
    assert case.word("Ready") == row.want_ready
    assert case.word("Stalled") == row.want_stalled


def test_a_key_that_is_refused_waits_for_the_user_until_the_target_takes_it() -> None:
    """The verdict stays while the target is dialled again, every minute at most."""
    refused: dict[str, Any] = {"last_error": error("Unauthorized", "no such key")}
    case = up().pusher(PushState.CONNECTING)
    case.decide()
    told = case.pusher(PushState.REJECTED, **refused).decide().event_reasons
    assert (told["Live"], "Stalled" in told) == ("Warning", False)
    since = case.word("Ready")
    for state in (PushState.CONNECTING, PushState.REJECTED, PushState.CONNECTING):
        told = case.later(60).pusher(state, **refused).decide().event_reasons
        assert (case.word("Ready"), case.word("Stalled")) == (since, "True/Unauthorized")
        assert case.status["state"] == state.value
        assert "Live" not in told
    case.pusher(PushState.WAITING, **refused).decide()
    assert case.word("Stalled") == "True/Unauthorized", "the source is interrupted meanwhile"
    case.pusher(PushState.CONNECTING, last_error=error("Reset", "reset by peer")).decide()
    assert case.word("Ready") == "True/Configured"
    case.pusher(PushState.REJECTED, **refused).decide()
    case.pusher(PushState.LIVE, **refused).decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")
    case.pusher(PushState.CONNECTING, **refused).decide()
    assert case.word("Stalled") == "", "the error is of another connection"


def refused_and_off_air() -> RestreamCase:
    """Return a Restream whose target refused the key before the session ended."""
    case = up().pusher(PushState.REJECTED, attempts=3, last_error=error("BadName", "no such key"))
    case.decide()
    return off_air(case)


def off_air(case: RestreamCase, **facts: Any) -> RestreamCase:
    given: dict[str, Any] = {"attempts": 3, "last_error": error("BadName", "no such key")} | facts
    case.pusher(PushState.IDLE, idle_reason="WaitingForStream", **given).decide()
    return case


def test_a_refused_key_waits_for_the_user_also_between_the_sessions() -> None:
    case = refused_and_off_air()
    assert case.word("Live") == "False/WaitingForStream"
    assert (case.word("Ready"), case.word("Stalled")) == ("False/BadName", "True/BadName")
    refused: dict[str, Any] = {"attempts": 4, "last_error": error("BadName", "no such key")}
    case.later(3600).pusher(PushState.CONNECTING, **refused).decide()
    assert case.word("Stalled") == "True/BadName"
    case.pusher(PushState.LIVE, **refused).decide()
    off_air(case)
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")


def test_a_refused_key_waits_for_the_user_also_when_the_pod_is_replaced() -> None:
    case = refused_and_off_air()
    case.no_pod().facts["sample"] = None
    case.decide()
    assert case.word("Stalled") == "True/BadName", "while none answers"
    case.pod("pod-2")
    for state, attempts in ((PushState.IDLE, 0), (PushState.CONNECTING, 1)):
        case.pusher(state, attempts=attempts).decide()
        assert case.word("Stalled") == "True/BadName", "the new pusher has not tried yet"
        assert case.status["lastError"]["class"] == "BadName"
    case.pusher(PushState.LIVE, attempts=1).decide()
    assert (case.word("Ready"), "lastError" in case.status) == ("True/Configured", False)


@pytest.mark.parametrize("change", ["the spec", "a Secret, or a restart"])
def test_a_refused_key_is_tried_again_before_it_is_called_refused_once_it_was_changed(
    change: str,
) -> None:
    case = refused_and_off_air()
    if change == "the spec":
        off_air(case.spec(uri="rtmp://other.example/live"))
    else:  # the pusher reads these, and forgets the answer of the former target
        off_air(case, last_error=None)
    assert case.word("Stalled") == ""
    off_air(case, last_error=None)
    assert case.word("Ready") == "True/Configured"


def test_the_last_error_is_in_the_message() -> None:
    case = up().pusher(PushState.BACKOFF, last_error=error("Dns", "no such host"), attempts=3)
    case.decide()
    assert case.status["lastError"] == {"class": "Dns", "message": "no such host", "at": text(7)}
    assert case.status["attempts"] == 3
    live = case.condition("Live")
    assert live is not None
    assert live.message.endswith("The cause: no such host.")


def test_a_missing_key_is_stalled() -> None:
    case = up().pusher(
        PushState.IDLE,
        config_error="Secret platform has no key stream-key.",
        config_error_reason="SecretKeyMissing",
    )
    case.decide()
    assert case.word("Ready") == "False/SecretKeyMissing"
    assert case.word("Stalled") == "True/SecretKeyMissing"
    assert case.word("Live") == "False/SecretKeyMissing"
    assert (case.status["state"], case.status["live"]) == ("Idle", False)
    case.pusher(PushState.CONNECTING).decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")


def test_an_unknown_stream_is_reconciling_and_then_stalled() -> None:
    case = make_restream("x").stream_deleted()
    assert case.decide().children == ()
    assert (case.word("Ready"), case.word("Live")) == (
        "Unknown/StreamNotFound",
        "False/StreamNotFound",
    )
    assert (case.status["state"], case.status["live"]) == ("Idle", False)
    case.later(61).decide()
    assert case.word("Stalled") == "True/StreamNotFound"
    assert len(case.of(make_livestream("a")).decide().children) == 3


def test_a_deleted_stream_removes_the_pod() -> None:
    case = up().pusher(PushState.LIVE)
    case.decide()
    case.stream_deleted().decide()
    assert case.child("Deployment")["spec"]["replicas"] == 0
    assert "stream" not in config(case)
    assert case.word("Ready") == "Unknown/StreamNotFound", "the minute begins again"
    case.later(61).no_pod().decide()
    assert case.word("Stalled") == "True/StreamNotFound"


def test_switched_off_there_is_no_pod() -> None:
    case = up().pusher(PushState.LIVE, connected=True)
    case.decide()
    case.spec(active=False).decide()
    assert case.child("Deployment")["spec"]["replicas"] == 1, "the pusher has to unpublish first"
    assert case.word("Live") == "True/Publishing", "until the pusher has disconnected"
    case.pusher(PushState.IDLE, idle_reason="Disabled").decide()
    assert case.child("Deployment")["spec"]["replicas"] == 0
    case.no_pod().decide()
    assert (case.word("Live"), case.word("Ready")) == ("False/Disabled", "True/Disabled")
    assert (case.status["state"], case.status["live"]) == ("Idle", False)
    case.spec(active=True).decide()
    assert case.child("Deployment")["spec"]["replicas"] == 1


def test_switched_off_from_the_start_nothing_is_made() -> None:
    case = make_restream("x")
    case.raw["spec"]["active"] = False
    assert case.decide().children == ()
    assert case.word("Ready") == "True/Disabled"


def test_a_pusher_that_does_not_answer_is_not_live() -> None:
    case = up().pusher(PushState.LIVE)
    case.decide()
    case.later(11, in_touch=False).decide()
    assert (case.word("Live"), case.status["live"]) == ("Unknown/Stale", False)


def test_an_operator_that_just_started_trusts_the_stored_status() -> None:
    case = up().pusher(PushState.LIVE, started_at=at(5))
    case.decide()
    before = case.raw["status"]
    case.later(600).operator_restarted().decide()
    assert case.raw["status"] == before


def test_a_restart_request_reaches_the_pusher() -> None:
    case = up().pusher(PushState.LIVE)
    case.decide()
    decision = case.annotated(restart="now").decide()
    assert config(case)["restart"] == "now"
    assert len(decision.pod_config_hashes) == 1


def test_keys_are_mounted_and_may_be_missing() -> None:
    case = make_restream("x")
    case.raw["spec"] = {
        "streamRef": {"name": "a"},
        "uriSecretRef": {"name": "target", "key": "uri"},
        "streamKeySecretRef": {"name": "platform", "key": "key"},
        "passphraseSecretRef": {"name": "phrase", "key": "text"},
        "caSecretRef": {"name": "authorities", "key": "ca.crt"},
        "audio": "Silence",
    }
    case.decide()
    volumes = {
        v["name"]: v["secret"]
        for v in case.child("Deployment")["spec"]["template"]["spec"]["volumes"]
        if "secret" in v
    }
    assert {name: v.get("optional", False) for name, v in volumes.items()} == {
        "key-hub": False,
        "key-target": True,
        "key-streamkey": True,
        "key-targetpassphrase": True,
        "key-targetca": True,
    }
    assert volumes["key-targetca"]["items"] == [{"key": "ca.crt", "path": "ca"}]
    assert volumes["key-targetpassphrase"]["items"] == [{"key": "text", "path": "passphrase"}]
    assert (config(case)["hasPassphrase"], config(case)["hasCa"]) == (True, True)
    assert config(case)["audio"] == "Silence"
    assert volumes["key-target"]["items"] == [{"key": "uri", "path": "uri"}]
    assert config(case)["hasStreamKey"] is True
    assert "uri" not in config(case)


def test_a_stream_that_is_still_being_set_up_is_waited_for() -> None:
    case = make_restream("x")
    case.facts["hub_token"] = None
    decision = case.decide()
    assert decision.children == ()
    assert decision.requeue_after_seconds == 1
    assert case.word("Reconciling") == "True/Starting"


def test_the_pushers_configuration_has_the_refused_addresses() -> None:
    case = make_restream("x").settings(
        denied_ranges=("10.96.0.0/12",), allowed_names=("gateway.system.svc.cluster.local",)
    )
    case.decide()
    assert config(case)["guard"] == {
        "denied": ["10.96.0.0/12"],
        "allowed": [],
        "clusterDomain": "cluster.local",
        "allowedNames": ["gateway.system.svc.cluster.local"],
    }


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        (PushState.LIVE, True),
        (PushState.WAITING, True),
        (PushState.STALLED, True),
        (PushState.CONNECTING, True),
        (PushState.BACKOFF, False),
        (PushState.REJECTED, False),
        (PushState.IDLE, False),
    ],
)
def test_a_new_version_of_the_pod_waits_while_the_old_one_pushes(
    state: PushState, waits: bool
) -> None:
    case = up().pusher(state)
    case.decide()
    case.settings(media_image="sluice-media:next").decide()
    assert case.child("Deployment")["spec"]["paused"] is waits
    assert case.word("UpdatePending") == ("True/WaitingForIdle" if waits else "")


def test_a_target_that_stays_down_makes_one_event() -> None:
    case = up()
    assert "Live" not in case.pusher(PushState.CONNECTING).decide().event_reasons
    refused: dict[str, Any] = {"last_error": error("Refused", "nothing listens")}
    assert case.pusher(PushState.BACKOFF, **refused).decide().event_reasons["Live"] == "Warning"
    for _ in range(3):
        assert "Live" not in case.pusher(PushState.CONNECTING, **refused).decide().event_reasons
        assert "Live" not in case.pusher(PushState.BACKOFF, **refused).decide().event_reasons
    case.pusher(PushState.CONNECTING, **refused).decide()
    gone: dict[str, Any] = {"last_error": error("Dns", "no such name")}
    assert case.pusher(PushState.BACKOFF, **gone).decide().event_reasons["Live"] == "Warning"
    assert case.pusher(PushState.LIVE, **gone).decide().event_reasons["Live"] == "Normal"
    assert case.pusher(PushState.BACKOFF, **gone).decide().event_reasons["Live"] == "Warning"


def test_bytes_that_only_grow_are_written_every_ten_seconds() -> None:
    case = up()
    case.pusher(PushState.LIVE, bytes_sent=1_000).decide()
    assert case.status["bytesSent"] == 1_000
    case.later(4).pusher(PushState.LIVE, bytes_sent=5_000, dropped_frames=50)
    held = case.decide()
    assert (held.status["bytesSent"], held.status["droppedFrames"]) == (1_000, 0)
    assert held.requeue_after_seconds == pytest.approx(6)
    case.later(6).pusher(PushState.LIVE, bytes_sent=9_000, dropped_frames=75)
    assert case.decide().status["bytesSent"] == 9_000
    assert case.status["droppedFrames"] == 75


def test_a_transition_brings_the_bytes_up_to_date_at_once() -> None:
    case = up()
    case.pusher(PushState.LIVE, bytes_sent=1_000).decide()
    case.later(2).pusher(PushState.STALLED, bytes_sent=3_000).decide()
    assert case.status["bytesSent"] == 3_000


def test_unchanged_bytes_are_not_written_again() -> None:
    case = up()
    case.pusher(PushState.STALLED, bytes_sent=3_000).decide()
    before = case.raw["status"]
    case.later(100).pusher(PushState.STALLED, bytes_sent=3_000).decide()
    assert case.raw["status"] == before
