"""The traps of a real API server, each of which was sprung once. No media pod has to run."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import REPOSITORY, SYSTEM_NAMESPACE, Cluster
from tests.cluster.operator_process import (
    AuditLog,
    HostOperator,
    Write,
    installed_operator_paused,
    own_namespace,
)
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream

CHILDREN = {"secrets", "configmaps", "services", "deployments"}
QUIET_SECONDS = 8


@pytest.fixture(scope="module", autouse=True)
def _alone(cluster: Cluster) -> Iterator[None]:
    """Our kinds are there, and no other operator is at work."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
    with installed_operator_paused(cluster.kubectl.within(SYSTEM_NAMESPACE)):
        yield


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kubectl]:
    with own_namespace(cluster.kubectl) as kubectl:
        yield kubectl


@pytest.fixture
def operator(kube: Kubectl, tmp_path: Path) -> Iterator[HostOperator]:
    made = HostOperator(kube, tmp_path / "operator.log")
    made.start()
    yield made
    if made.process is not None:
        made.stop()
    print(made.log()[-6000:])


@pytest.fixture
def audit(cluster: Cluster) -> AuditLog:
    if cluster.audit_log is None:
        pytest.skip("this cluster shows no audit log")
    return AuditLog(cluster.audit_log)


def is_decided(obj: dict[str, Any]) -> bool:
    status = obj.get("status", {})
    return bool(status.get("observedGeneration") == obj["metadata"]["generation"])


def have_settled(kube: Kubectl, *names: str) -> None:
    """Waits until the streams' pods were tried and their status says how that went."""
    for name in names:
        kube.wait(
            "livestream",
            name,
            lambda o: "cannot be pulled" in condition(o, "Ready").get("message", ""),
            why="says that its pod's image cannot be had",
            seconds=30,
        )
    time.sleep(2)


def eventually(true: Callable[[], object], why: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.2)
    raise AssertionError(why)


def test_a_users_secret_under_a_childs_name_is_never_touched(
    kube: Kubectl, operator: HostOperator
) -> None:
    """Forced apply would take it over, and deleting the stream would then delete it."""
    kube("create", "secret", "generic", "show-ingest", "--from-literal=token=theirs")
    before = kube.get("secret", "show-ingest")
    kube.apply(livestream("show"), livestream("other"))
    stream = kube.wait_condition("livestream", "show", "Stalled", seconds=20)
    assert condition(stream, "Stalled")["reason"] == "NameConflict"
    assert condition(stream, "Ready")["status"] == "False"
    assert "show-ingest" in condition(stream, "Stalled")["message"]
    assert kube.get("secret", "show-ingest") == before
    # Nothing of that stream was made, and its neighbour has all it needs.
    assert kube.find("deployment", "show-ingest") is None
    kube.wait("deployment", "other-ingest", bool, why="the other stream works", seconds=20)

    kube.delete("livestream", "show")
    time.sleep(3)
    assert kube.get("secret", "show-ingest") == before


def test_once_the_conflict_is_removed_the_stream_recovers_by_itself(
    kube: Kubectl, operator: HostOperator
) -> None:
    kube("create", "configmap", "show-ingest")
    kube.apply(livestream("show"))
    kube.wait_condition("livestream", "show", "Stalled", seconds=20)
    kube.delete("configmap", "show-ingest")
    kube.wait("deployment", "show-ingest", bool, why="has its Deployment", seconds=40)
    stream = kube.wait(
        "livestream",
        "show",
        lambda o: (
            not condition(o, "Stalled") or condition(o, "Stalled")["reason"] != "NameConflict"
        ),
        why="is not in conflict any more",
        seconds=40,
    )
    owner = kube.get("configmap", "show-ingest")["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["blockOwnerDeletion"]) == (stream["metadata"]["uid"], False)


def test_kubectl_scale_is_undone(kube: Kubectl, operator: HostOperator) -> None:
    """It leaves our hash in place, and the whole stream without a pod."""
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    kube("scale", "deployment/show-ingest", "--replicas=0")
    kube.wait(
        "deployment", "show-ingest", lambda d: d["spec"]["replicas"] == 1, why="is 1", seconds=10
    )


def test_a_removed_field_is_put_back(kube: Kubectl, operator: HostOperator) -> None:
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    selector = kube.get("service", "show-ingest")["spec"]["selector"]
    removed = [{"op": "remove", "path": "/spec/selector"}]
    kube("patch", "service", "show-ingest", "--type=json", "-p", json.dumps(removed))
    kube.wait(
        "service",
        "show-ingest",
        lambda s: s["spec"].get("selector") == selector,
        why="has its selector back",
        seconds=10,
    )


def test_a_label_of_ours_that_was_removed_comes_back(kube: Kubectl, operator: HostOperator) -> None:
    """Without it our watch does not see the object at all."""
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    kube("label", "deployment", "show-ingest", "app.kubernetes.io/managed-by-")
    kube.wait(
        "deployment",
        "show-ingest",
        lambda d: d["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "sluice",
        why="bears our label again",
        seconds=10,
    )


def test_a_deleted_child_is_made_again(kube: Kubectl, operator: HostOperator) -> None:
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    kube.delete("deployment", "show-ingest")
    kube.wait("deployment", "show-ingest", bool, why="is there again", seconds=10)


def test_what_others_add_to_our_children_is_tolerated(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    audit.restart()
    kube("annotate", "deployment", "show-ingest", "theirs.example/note=kept")
    kube("label", "service", "show-ingest", "theirs.example/team=red")
    time.sleep(QUIET_SECONDS)
    assert audit.writes(kube.namespace) == []
    annotations = kube.get("deployment", "show-ingest")["metadata"]["annotations"]
    assert annotations["theirs.example/note"] == "kept"


def test_a_status_never_lands_on_the_next_object_of_that_name(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    """The stream is deleted and made anew while the operator cannot look."""
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    operator.send(signal.SIGSTOP)
    old = kube.get("livestream", "show")["metadata"]["uid"]
    kube.delete("livestream", "show")
    kube.apply(livestream("show"))
    new = kube.get("livestream", "show")["metadata"]["uid"]
    assert new != old
    operator.send(signal.SIGCONT)
    kube.wait(
        "deployment",
        "show-ingest",
        lambda d: d["metadata"]["ownerReferences"][0]["uid"] == new,
        why="belongs to the new stream",
        seconds=40,
    )
    stream = kube.wait("livestream", "show", is_decided, why="is decided", seconds=20)
    assert stream["metadata"]["uid"] == new
    first = min(c["lastTransitionTime"] for c in stream["status"]["conditions"])
    assert first >= stream["metadata"]["creationTimestamp"], "a condition of its former self"


def test_after_kill_9_the_next_operator_writes_nothing(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    kube.apply(*(livestream(f"s{number}") for number in range(3)))
    have_settled(kube, "s0", "s1", "s2")
    pods = {pod["metadata"]["uid"] for pod in kube.list("pods")}
    audit.restart()
    operator.stop(signal.SIGKILL)
    operator.start()
    eventually(operator.is_leading, "the new one leads", 25)
    time.sleep(18)  # beyond the grace for samples and the first resync
    assert audit.writes(kube.namespace) == []
    assert {pod["metadata"]["uid"] for pod in kube.list("pods")} == pods


def test_a_new_stream_costs_its_children_and_its_visible_states(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    names = [f"s{number}" for number in range(10)]
    audit.restart()
    kube.apply(*(livestream(name) for name in names))
    have_settled(kube, *names)
    writes = audit.writes(kube.namespace)
    children = Counter(w.name.split("-")[0] for w in writes if w.resource in CHILDREN)
    statuses = Counter(w.name for w in writes if w.subresource == "status")
    per_stream = len([w for w in writes if w.resource != "events"]) / len(names)
    print(f"writes per LiveStream: {per_stream:.1f}; of these status: {statuses}")
    assert set(children.values()) == {5}, "each child is written once"
    # Decided, pod made, pod's image cannot be had.
    assert max(statuses.values()) <= 4
    assert all(w.code < 300 for w in writes if w.resource in CHILDREN), writes


def test_a_deleted_stream_leaves_nothing(kube: Kubectl, operator: HostOperator) -> None:
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    kube.delete("livestream", "show")
    kinds = "deployments,replicasets,services,pods,secrets"
    eventually(lambda: kube.list(kinds) == [], "nothing is left", 60)


def test_of_two_operators_one_works_and_the_other_takes_over(
    kube: Kubectl, operator: HostOperator, tmp_path: Path
) -> None:
    eventually(operator.is_leading, "the first one leads")
    second = HostOperator(kube, tmp_path / "second.log")
    second.start()
    try:
        assert not second.is_leading()
        began = time.monotonic()
        operator.stop(signal.SIGKILL)
        eventually(second.is_leading, "the second one leads", 25)
        assert time.monotonic() - began > 10, "the first one might have led still"
        kube.apply(livestream("show"))
        kube.wait("deployment", "show-ingest", bool, why="has its Deployment", seconds=20)
    finally:
        second.stop()


def test_an_operator_that_is_asked_to_end_gives_its_lease_back(
    kube: Kubectl, operator: HostOperator, tmp_path: Path
) -> None:
    eventually(operator.is_leading, "it leads")
    assert operator.stop(signal.SIGTERM) == 0
    assert kube.get("lease", "sluice-operator")["spec"]["holderIdentity"] == ""
    began = time.monotonic()
    operator.start()
    eventually(operator.is_leading, "the next one leads")
    assert time.monotonic() - began < 10


def test_events_tell_of_transitions_once(kube: Kubectl, operator: HostOperator) -> None:
    kube("create", "configmap", "show-ingest")
    kube.apply(livestream("show"))
    kube.wait_condition("livestream", "show", "Stalled", seconds=20)

    def about_us() -> list[dict[str, Any]]:
        events = kube.list("events", "--field-selector=involvedObject.kind=LiveStream")
        return [e for e in events if e["reason"] == "NameConflict"]

    eventually(about_us, "an event says so")
    time.sleep(QUIET_SECONDS)
    (event,) = about_us()
    assert (event["type"], event.get("count")) == ("Warning", 1)


def test_no_write_was_ever_made_in_vain(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    """409s are the price of racing writers; with one writer there are none in a quiet life."""
    audit.restart()
    kube.apply(livestream("show"))
    have_settled(kube, "show")
    refused: list[Write] = [w for w in audit.writes(kube.namespace) if w.code >= 300]
    assert refused == []
