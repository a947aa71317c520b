"""Every pod is restricted, gets its keys as files, and belongs to one object."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.domain.pod_view import pod_view
from tests.unit.domain.builders import (
    Case,
    at,
    make_livestream,
    make_mediastore,
    make_recording,
    make_restream,
)

CASES = [make_livestream("a"), make_recording("b"), make_restream("c"), make_mediastore("d")]


def pod_spec(case: Case[Any]) -> Any:
    case.decide()
    workload = case.child("Deployment") or case.child("Job")
    return workload["spec"]["template"]["spec"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_pods_meet_the_restricted_pod_security_standard(case: Case[Any]) -> None:
    spec = pod_spec(case)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_no_key_is_in_the_environment_or_in_the_arguments(case: Case[Any]) -> None:
    (container,) = pod_spec(case)["containers"]
    assert container["args"] == [case.role]
    names = {entry["name"] for entry in container["env"]}
    assert names == {"POD_UID", "POD_NAME", "POD_NAMESPACE", "SLUICE_LOG_LEVEL"}
    assert "envFrom" not in container


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_a_node_that_is_lost_is_left_after_half_a_minute(case: Case[Any]) -> None:
    seconds = {t["key"]: t.get("tolerationSeconds") for t in pod_spec(case)["tolerations"]}
    assert seconds["node.kubernetes.io/unreachable"] == 30


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[3]], ids=lambda case: case.kind)
def test_there_is_one_pod_and_never_two_by_our_own_doing(case: Case[Any]) -> None:
    pod_spec(case)
    spec = case.child("Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_recorders_and_pushers_run_where_their_stream_runs() -> None:
    stream = make_livestream("a")
    stream.raw["spec"]["workload"] = {
        "nodeSelector": {"media": "yes"},
        "resources": {"limits": {"memory": "9Gi"}},
    }
    for case in (make_recording("b", stream), make_restream("c", stream)):
        spec = pod_spec(case)
        assert spec["nodeSelector"] == {"media": "yes"}
        limits = spec["containers"][0]["resources"]["limits"]
        assert limits != {"memory": "9Gi"}, "resources are the ingest pod's"


def test_a_pod_view_has_the_fields_of_the_raw_pod() -> None:
    view = pod_view(
        {
            "metadata": {
                "name": "p",
                "uid": "u",
                "creationTimestamp": "2026-05-04T10:00:00Z",
                "annotations": {"sluice.video/config": "abc", "sluice.video/template": "def"},
            },
            "status": {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "no node",
                        "lastTransitionTime": "2026-05-04T10:00:03Z",
                    }
                ],
            },
        }
    )
    assert (view.unschedulable_message, view.since) == ("no node", at(3))
    assert (view.config_annotation, view.template_hash) == ("abc", "def")
    assert (view.ready, view.terminating) == (False, False)


def test_a_waiting_container_is_seen_with_its_cause() -> None:
    view = pod_view(
        {
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-05-04T10:00:00Z"},
            "status": {
                "conditions": [
                    {
                        "type": "ContainersReady",
                        "status": "False",
                        "lastTransitionTime": "2026-05-04T10:00:05Z",
                    }
                ],
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
                ],
            },
        }
    )
    assert (view.waiting_reason, view.waiting_message) == ("ErrImagePull", "no such image")
    assert view.since == at(5)


@pytest.mark.parametrize(
    ("terminated", "want"),
    [
        ({"reason": "Error", "exitCode": 3, "message": "the end of a log"}, "exit code 3"),
        ({"reason": "OOMKilled", "exitCode": 137}, "it needed more memory than its limit"),
    ],
)
def test_how_a_container_ended_is_seen_but_not_its_log(
    terminated: dict[str, Any], want: str
) -> None:
    view = pod_view(
        {
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-05-04T10:00:00Z"},
            "status": {"containerStatuses": [{"lastState": {"terminated": terminated}}]},
        }
    )
    assert view.last_exit == want
