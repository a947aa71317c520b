"""The operator never restarts a pod that is on air."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_media.contract import PushState
from sluice_operator.domain.decision import Decision
from tests.unit.domain.builders import RestreamCase, StreamCase, make_livestream, make_restream


def up() -> StreamCase:
    case = make_livestream("a").key("k")
    case.settled().idle().decide()
    return case


def upgraded(case: StreamCase) -> StreamCase:
    """Change the image, as a new version of the operator does."""
    return case.settings(media_image="sluice-media:next")


def paused(decision: Decision) -> Any:
    return next(
        c.manifest["spec"]["paused"]
        for c in decision.children
        if c.manifest["kind"] == "Deployment"
    )


def draining(case: StreamCase) -> Any:
    return json.loads(case.child("ConfigMap")["data"]["config.json"])["drain"]


def target(case: RestreamCase) -> Any:
    return json.loads(case.child("ConfigMap")["data"]["config.json"])["uri"]


def test_a_deployment_is_never_paused_at_creation() -> None:
    assert paused(make_livestream("a").decide()) is False


def test_on_air_a_new_template_is_applied_paused_with_a_condition() -> None:
    case = upgraded(up().on_air())
    assert paused(case.decide()) is True
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert draining(case) is False
    assert paused(case.decide()) is True, "also when the Deployment exists already"


def test_an_interruption_is_still_on_air() -> None:
    case = up().on_air()
    case.decide()
    assert paused(upgraded(case.interrupted()).decide()) is True


def test_a_publisher_without_a_keyframe_is_not_cut_either() -> None:
    assert paused(upgraded(up().idle(primary_connected=True)).decide()) is True


def test_when_idle_the_hub_drains_first_and_then_is_replaced() -> None:
    case = upgraded(up().on_air())
    case.decide()
    asked = case.later(60).finished(0, 50).decide()
    assert (paused(asked), draining(case)) == (True, True)
    assert len(asked.pod_config_hashes) == 1, "the pod gets it at once"
    old = case.facts["pods"][0].template_hash
    rolled = case.finished(0, 50).decide()
    assert paused(rolled) is False
    assert draining(case) is False, "the next pod must not start out draining"
    assert rolled.pod_config_hashes == (), "the pod that is being replaced gets no annotation"
    assert case.word("UpdatePending") == "False/RollingOut"
    assert case.facts["pods"][0].template_hash == old
    case.pod("pod-2").idle()
    assert paused(case.decide()) is False
    assert case.word("UpdatePending") == "False/UpToDate"


def test_a_publisher_that_comes_while_the_hub_is_asked_to_drain_wins() -> None:
    case = upgraded(up())
    case.decide()
    assert draining(case) is True
    decision = case.on_air().decide()
    assert (paused(decision), draining(case)) == (True, False)


def test_a_ready_pod_that_does_not_answer_is_left_alone() -> None:
    case = upgraded(up().on_air().operator_restarted())
    assert paused(case.decide()) is True
    case.operator_up_for(600)
    assert paused(case.decide()) is True


def test_a_pod_that_does_not_come_up_may_be_replaced() -> None:
    case = make_livestream("a")
    case.decide()
    case.pod(ready=False, waiting_reason="CrashLoopBackOff")
    assert paused(upgraded(case).decide()) is False


def test_immediate_means_immediate() -> None:
    case = up().on_air().spec(updatePolicy="Immediate")
    case.on_air().decide()
    assert paused(upgraded(case).decide()) is False
    assert case.word("UpdatePending") == "False/RollingOut"


def test_a_change_that_is_taken_back_rolls_nothing() -> None:
    case = upgraded(up().on_air())
    case.decide()
    assert paused(case.settings(media_image="sluice-media:test").decide()) is False
    assert case.word("UpdatePending") == "False/UpToDate"


def test_an_unchanged_template_is_not_touched_by_going_on_air() -> None:
    case = up()
    before = case.child("Deployment")
    case.on_air().decide()
    assert case.child("Deployment") == before


def test_title_and_windows_never_reach_the_template() -> None:
    case = up().spec(title="Other", resumeWindowSeconds=60, active=False)
    before = case.child("Deployment")
    case.on_air().decide()
    assert case.child("Deployment") == before


@pytest.mark.parametrize(
    ("state", "want_paused"),
    [
        (PushState.LIVE, True),
        (PushState.CONNECTING, True),
        (PushState.WAITING, True),
        (PushState.STALLED, True),
        (PushState.IDLE, False),
        (PushState.BACKOFF, False),
        (PushState.REJECTED, False),
        (PushState.GAVE_UP, False),
    ],
)
def test_a_pusher_is_replaced_only_while_it_pushes_nothing(
    state: PushState, want_paused: bool
) -> None:
    case = make_restream("x")
    case.decide()
    case.pod().pusher(state)
    decision = case.settings(media_image="sluice-media:next").decide()
    assert paused(decision) is want_paused
    assert case.word("UpdatePending") == ("True/WaitingForIdle" if want_paused else "")


def test_another_secret_for_the_target_waits_while_it_is_pushed_to() -> None:
    case = make_restream("x")
    case.decide()
    case.pod().pusher(PushState.LIVE).decide()
    case.spec(uri="rtmp://other.example/live", streamKeySecretRef={"name": "other", "key": "key"})
    assert paused(case.pusher(PushState.LIVE).decide()) is True
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert target(case) == "rtmp://platform.example/live", "its key must not reach the other server"
    assert paused(case.pusher(PushState.IDLE).decide()) is False
    assert target(case) == "rtmp://other.example/live"


def test_another_server_with_the_same_secret_counts_at_once() -> None:
    case = make_restream("x")
    case.decide()
    case.pod().pusher(PushState.LIVE).decide()
    case.spec(uri="rtmp://other.example/live")
    assert paused(case.pusher(PushState.LIVE).decide()) is False
    assert target(case) == "rtmp://other.example/live"
