"""A pod on air is protected from eviction and autoscalers, without a new pod template."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_media.contract import PushState
from sluice_operator.domain.decision import Deletion
from sluice_operator.domain.names import KEEP_POD_ANNOTATIONS
from sluice_operator.domain.pod_view import pod_view
from tests.unit.domain.builders import StreamCase, make_livestream, make_restream

TAKEN_OFF = dict.fromkeys(KEEP_POD_ANNOTATIONS)


def settled() -> StreamCase:
    case = make_livestream("a").key("k")
    return case.settled()


def existing_budget() -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "a-ingest", "namespace": "show", "uid": "budget-1"},
    }


def with_budget(case: StreamCase) -> StreamCase:
    children = dict(case.facts.get("children", {}))
    children["PodDisruptionBudget", "a-ingest"] = existing_budget()
    case.facts["children"] = children
    return case


def test_a_stream_on_air_has_a_budget_that_lets_no_pod_of_it_be_evicted() -> None:
    case = settled().on_air()
    decision = case.decide()
    budget = case.child("PodDisruptionBudget", "ingest")
    assert budget is not None
    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    labels = case.child("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert decision.deletions == ()


def test_its_running_pod_is_annotated_and_its_template_is_not_changed() -> None:
    case = settled()
    case.idle().decide()
    before = case.template_hash()
    (change,) = case.on_air().decide().pod_annotations
    assert (change.pod_name, change.values) == ("pod-1", KEEP_POD_ANNOTATIONS)
    assert case.template_hash() == before
    assert case.child("Deployment")["spec"]["paused"] is False
    case.pod(kept=True)
    assert case.on_air().decide().pod_annotations == ()


def test_off_air_both_are_removed_so_that_a_drain_continues() -> None:
    case = with_budget(settled().pod(kept=True))
    decision = case.idle().decide()
    assert decision.deletions == (
        Deletion("policy/v1", "PodDisruptionBudget", "a-ingest", "budget-1"),
    )
    (change,) = decision.pod_annotations
    assert change.values == TAKEN_OFF
    assert case.child("PodDisruptionBudget", "ingest") is None


def test_an_idle_stream_has_neither() -> None:
    decision = settled().idle().decide()
    assert decision.pod_annotations == ()
    assert decision.deletions == ()


@pytest.mark.parametrize("facts", [{"primary_connected": True}, {"backup_connected": True}])
def test_a_publisher_that_sends_nothing_yet_counts(facts: dict[str, bool]) -> None:
    case = settled().idle(**facts)
    case.decide()
    assert case.child("PodDisruptionBudget", "ingest") is not None


def test_while_the_pod_does_not_answer_both_stay_as_they_are() -> None:
    case = with_budget(settled().on_air().pod(kept=True))
    case.facts["sample"] = None
    decision = case.decide()
    assert decision.deletions == ()
    assert decision.pod_annotations == ()


def test_a_pusher_that_is_connected_is_annotated() -> None:
    case = make_restream("out")
    (change,) = case.pusher(PushState.LIVE).decide().pod_annotations
    assert change.values == KEEP_POD_ANNOTATIONS
    (change,) = case.pod(kept=True).pusher(PushState.IDLE).decide().pod_annotations
    assert change.values == TAKEN_OFF


def test_a_foreign_annotation_is_not_removed() -> None:
    meta = {"name": "p", "uid": "p", "creationTimestamp": "2026-03-01T12:00:00Z"}
    assert pod_view({"metadata": meta | {"annotations": dict(KEEP_POD_ANNOTATIONS)}}).kept
    theirs = {"karpenter.sh/do-not-disrupt": "true"}
    assert not pod_view({"metadata": meta | {"annotations": theirs}}).kept
