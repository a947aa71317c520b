"""Ready, Reconciling and Stalled: errors that the user must correct, and waits that end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.domain.builders import Case, at, make_livestream, make_mediastore, make_restream


def up() -> Any:
    case = make_livestream("a").key("k")
    case.settled().idle().decide()
    return case


def test_a_new_stream_is_on_its_way_until_its_pod_echoed_the_configuration() -> None:
    case = make_livestream("a")
    case.decide()
    assert (case.word("Ready"), case.word("Reconciling")) == ("Unknown/Starting", "True/Starting")
    case.pod().idle(config_generation=0).decide()
    assert case.word("Ready") == "Unknown/Starting"
    case.idle().decide()
    assert (case.word("Ready"), case.word("Reconciling")) == ("True/Configured", "")


def test_idle_is_ready() -> None:
    case = up()
    assert (case.word("Ready"), case.word("Live")) == (
        "True/Configured",
        "False/WaitingForPublisher",
    )


def test_a_changed_spec_is_reconciling_while_ready_stays() -> None:
    case = up().spec(title="Evening show")
    case.decide()
    assert case.word("Ready") == "True/Configured"
    assert case.status["observedGeneration"] == 2
    case.idle(config_generation=1).decide()
    assert (case.word("Ready"), case.word("Reconciling")) == ("True/Configured", "True/Progressing")
    case.idle().decide()
    assert case.word("Reconciling") == ""


def test_a_pod_that_stopped_answering_is_not_called_ready() -> None:
    case = up().later(11, in_touch=False)
    case.decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("Unknown/NotAnswering", "")


def test_an_operator_that_just_started_trusts_the_stored_status() -> None:
    case = up().later(600).operator_restarted()
    before = case.raw["status"]
    decision = case.decide()
    assert case.raw["status"] == before
    assert decision.requeue_after_seconds == pytest.approx(9.1)


def test_a_silent_pod_is_looked_at_again_when_its_answer_becomes_stale() -> None:
    assert up().later(6, in_touch=False).decide().requeue_after_seconds == pytest.approx(4.1)
    assert up().decide().requeue_after_seconds is None


@dataclass(slots=True, frozen=True)
class Trouble:
    pod: dict[str, Any]
    want_reason: str
    want_words: str


TROUBLES = {
    "no node is big enough": Trouble(
        {
            "unschedulable_message": "0/1 nodes are available: 1 Insufficient memory. no new "
            "claims to deallocate, preemption: 0/1 nodes are available: 1 No victims."
        },
        "Unschedulable",
        "No node can run the ingest pod: 0/1 nodes are available: 1 Insufficient memory.",
    ),
    "the image is not there": Trouble(
        {
            "waiting_reason": "ImagePullBackOff",
            "waiting_message": 'Back-off pulling image "x:1": ErrImagePull: rpc error: code = '
            "NotFound desc = x:1: not found",
        },
        "ImagePullFailed",
        "The image of the ingest pod cannot be pulled: x:1: not found",
    ),
    "the image has no name": Trouble(
        {"waiting_reason": "InvalidImageName"},
        "ImagePullFailed",
        "The image of the ingest pod cannot be pulled: InvalidImageName",
    ),
    "the container ends again and again": Trouble(
        {
            "waiting_reason": "CrashLoopBackOff",
            "waiting_message": "back-off 40s restarting failed container=ingest pod=a-ingest-x",
            "last_exit": "exit code 1",
        },
        "PodCrashing",
        "The ingest pod exits again and again (last time: exit code 1). Its log has the cause.",
    ),
    "a key is missing": Trouble(
        {"waiting_reason": "CreateContainerConfigError", "waiting_message": "no such Secret"},
        "PodNotStarting",
        "The ingest pod cannot be started: no such Secret",
    ),
}


@pytest.mark.parametrize("why", TROUBLES)
def test_pod_trouble_needs_a_person_after_two_minutes(why: str) -> None:
    trouble = TROUBLES[why]
    case = make_livestream("a")
    case.decide()
    case.pod(ready=False, phase="Pending", since=at(0), **trouble.pod)
    decision = case.later(119).decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("Unknown/Starting", "")
    assert decision.requeue_after_seconds == pytest.approx(1)
    case.later(1).decide()
    ready, stalled = case.condition("Ready"), case.condition("Stalled")
    assert ready is not None
    assert stalled is not None
    assert (ready.status, ready.reason) == ("False", trouble.want_reason)
    assert stalled.message == trouble.want_words
    assert case.last is not None
    assert case.last.event_reasons["Stalled"] == "Warning"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", "rpc error: code = NotFound desc = x:1: not found"),
        ("ErrImagePull", "x:1: not found"),
        ("ImagePullBackOff", 'Back-off pulling image "x:1": ErrImagePull: x:1: not found'),
    ],
)
def test_the_message_is_the_same_for_each_try_of_the_kubelet(reason: str, message: str) -> None:
    """The two messages alternate; a status that followed them would be written each time."""
    case = make_livestream("a")
    case.decide()
    case.pod(ready=False, phase="Pending", since=at(0), waiting_reason=reason)
    case.pod(
        ready=False, phase="Pending", since=at(0), waiting_reason=reason, waiting_message=message
    )
    case.later(130).decide()
    ready = case.condition("Ready")
    assert ready is not None
    assert ready.message == "The image of the ingest pod cannot be pulled: x:1: not found"


def test_between_two_crashes_the_pod_stays_stalled() -> None:
    case = make_livestream("a")
    case.decide()
    crashed: dict[str, Any] = {"ready": False, "since": at(0), "last_exit": "exit code 1"}
    case.pod(waiting_reason="CrashLoopBackOff", **crashed).later(130).decide()
    assert case.word("Stalled") == "True/PodCrashing"
    before = case.raw["status"]
    case.pod(ready=False, last_exit="exit code 1").later(2).decide()
    assert case.raw["status"] == before
    case.pod(last_exit="exit code 1").idle().decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")


def test_once_corrected_it_recovers_by_itself() -> None:
    case = make_livestream("a")
    case.decide()
    case.pod(ready=False, unschedulable_message="no", since=at(0)).later(200).decide()
    assert case.word("Stalled") == "True/Unschedulable"
    case.pod().idle().decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")


def test_a_quota_that_forbids_the_pod_is_stalled() -> None:
    case = make_livestream("a")
    case.decide()
    case.child("Deployment")["status"] = {
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "message": "exceeded quota: pods",
                "lastTransitionTime": "2026-05-04T10:00:00Z",
            }
        ]
    }
    case.later(121).decide()
    assert case.word("Stalled") == "True/PodForbidden"
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert "exceeded quota: pods" in stalled.message


@pytest.mark.parametrize(
    "case",
    [make_livestream("a"), make_restream("a"), make_mediastore("a")],
    ids=lambda case: case.kind,
)
def test_a_name_conflict_is_stalled_and_nothing_is_written(case: Case[Any]) -> None:
    case.conflict("ConfigMap", case.role, held_by="Deployment/shop")
    decision = case.decide()
    assert decision.children == ()
    assert case.word("Stalled") == "True/NameConflict"
    assert decision.requeue_after_seconds == 10, "foreign objects are not watched"
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.message == (
        f"The ConfigMap a-{case.role} already exists and belongs to Deployment/shop. Delete or "
        f"rename it, or give this {case.kind} another name."
    )


def test_leftovers_of_an_earlier_object_of_the_name_are_waited_for() -> None:
    case = make_livestream("a").conflict("Service", "ingest", leaving=True)
    decision = case.decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("Unknown/Replacing", "")
    assert decision.children == ()
    assert decision.requeue_after_seconds == 1


def test_nothing_is_decided_about_a_stream_that_is_being_deleted() -> None:
    case = up().deleted()
    before = case.raw["status"]
    decision = case.decide()
    assert decision.children == ()
    assert case.raw["status"] == before
