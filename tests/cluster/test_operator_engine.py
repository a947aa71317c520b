"""The traps of a real API server, each of which was sprung once. No media pod has to run."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator_process import (
    HostOperator,
    installed_operator_paused,
    running,
)
from tests.cluster.waiting import eventually
from tests.support.audit_log import AuditLog
from tests.support.cluster import REPOSITORY, SYSTEM_NAMESPACE, Cluster
from tests.support.kubectl import Kubectl, condition
from tests.support.namespaces import own_namespace
from tests.support.objects import livestream

pytestmark = pytest.mark.own_operator

CHILDREN = {"secrets", "configmaps", "services", "deployments"}
QUIET_SECONDS = 8


@pytest.fixture(scope="module", autouse=True)
def _alone(cluster: Cluster) -> Iterator[None]:
    """Our kinds are there, and no other operator is at work."""
    if cluster.kubectl.find("crd", "livestreams.sluice.video") is None:
        cluster.kubectl("apply", "-f", str(REPOSITORY / "crds"))
    with installed_operator_paused(cluster.kubectl.within(SYSTEM_NAMESPACE)):
        yield


@pytest.fixture(scope="module")
def served(
    cluster: Cluster, _alone: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """A namespace with an operator that lives as long as these tests."""
    log = tmp_path_factory.mktemp("shared") / "operator.log"
    with own_namespace(cluster.kubectl, "eng") as kubectl, running(HostOperator(kubectl, log)):
        yield kubectl


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kubectl]:
    with own_namespace(cluster.kubectl, "eng") as kubectl:
        yield kubectl


@pytest.fixture
def operator(kube: Kubectl, tmp_path: Path) -> Iterator[HostOperator]:
    """An operator of the test's own, to be stopped and killed."""
    with running(HostOperator(kube, tmp_path / "operator.log")) as made:
        yield made


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


def test_a_users_secret_under_a_childs_name_is_never_touched(served: Kubectl) -> None:
    """Forced apply would take it over, and deleting the stream would then delete it."""
    served("create", "secret", "generic", "show-ingest", "--from-literal=token=theirs")
    before = served.get("secret", "show-ingest")
    served.apply(livestream("show"), livestream("other"))
    stream = served.wait_condition("livestream", "show", "Stalled", seconds=40)
    assert condition(stream, "Stalled")["reason"] == "NameConflict"
    assert condition(stream, "Ready")["status"] == "False"
    assert "show-ingest" in condition(stream, "Stalled")["message"]
    assert served.get("secret", "show-ingest") == before
    # Nothing of that stream was made, and its neighbour has all it needs.
    assert served.find("deployment", "show-ingest") is None
    served.wait("deployment", "other-ingest", bool, why="the other stream works", seconds=40)

    served.delete("livestream", "show")
    time.sleep(3)
    assert served.get("secret", "show-ingest") == before


def test_once_the_conflict_is_removed_the_stream_recovers_by_itself(served: Kubectl) -> None:
    served("create", "configmap", "healed-ingest")
    served.apply(livestream("healed"))
    served.wait_condition("livestream", "healed", "Stalled", seconds=40)
    served.delete("configmap", "healed-ingest")
    served.wait("deployment", "healed-ingest", bool, why="has its Deployment", seconds=40)
    stream = served.wait(
        "livestream",
        "healed",
        lambda o: condition(o, "Ready").get("reason") != "NameConflict",
        why="is not in conflict any more",
        seconds=40,
    )
    owner = served.get("configmap", "healed-ingest")["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["blockOwnerDeletion"]) == (stream["metadata"]["uid"], False)


def test_events_tell_of_a_transition_once(served: Kubectl) -> None:
    served("create", "configmap", "noted-ingest")
    served.apply(livestream("noted"))
    served.wait_condition("livestream", "noted", "Stalled", seconds=40)

    def about_it() -> list[dict[str, Any]]:
        events = served.list("events", "--field-selector=involvedObject.name=noted")
        return [e for e in events if e["reason"] == "NameConflict"]

    eventually(about_it, "an event says so")
    time.sleep(QUIET_SECONDS)
    (event,) = about_it()
    assert (event["type"], event.get("count")) == ("Warning", 1)


def has_its_children(kube: Kubectl, name: str) -> None:
    kube.apply(livestream(name))
    kube.wait("deployment", f"{name}-ingest", bool, why="has its Deployment", seconds=40)
    kube.wait("livestream", name, is_decided, why="is decided", seconds=40)


def test_kubectl_scale_is_undone(served: Kubectl) -> None:
    """It leaves our hash in place, and the whole stream without a pod."""
    has_its_children(served, "scaled")
    served("scale", "deployment/scaled-ingest", "--replicas=0")
    served.wait(
        "deployment", "scaled-ingest", lambda d: d["spec"]["replicas"] == 1, why="is 1", seconds=30
    )


def test_a_removed_field_is_put_back(served: Kubectl) -> None:
    has_its_children(served, "cut")
    selector = served.get("service", "cut-ingest")["spec"]["selector"]
    removed = [{"op": "remove", "path": "/spec/selector"}]
    served("patch", "service", "cut-ingest", "--type=json", "-p", json.dumps(removed))
    served.wait(
        "service",
        "cut-ingest",
        lambda s: s["spec"].get("selector") == selector,
        why="has its selector back",
        seconds=30,
    )


def test_a_label_of_ours_that_was_removed_comes_back(served: Kubectl) -> None:
    """Without it our watch does not see the object at all."""
    has_its_children(served, "bare")
    served("label", "deployment", "bare-ingest", "app.kubernetes.io/managed-by-")
    served.wait(
        "deployment",
        "bare-ingest",
        lambda d: d["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "sluice",
        why="bears our label again",
        seconds=30,
    )


def test_a_deleted_child_is_made_again(served: Kubectl) -> None:
    has_its_children(served, "robbed")
    served.delete("deployment", "robbed-ingest")
    served.wait("deployment", "robbed-ingest", bool, why="is there again", seconds=30)


def test_a_key_that_a_user_puts_in_is_kept_and_what_follows_from_it_follows(
    served: Kubectl,
) -> None:
    has_its_children(served, "keyed")
    edited = {"data": {"token": base64.b64encode(b"their-own").decode()}}
    served("patch", "secret", "keyed-ingest", "--type=merge", "-p", json.dumps(edited))
    # With a pod at work, its answer wakes the operator; here a label does, once the operator's
    # last look at the Secret is too old to be believed.
    time.sleep(1.2)
    served("label", "livestream", "keyed", "theirs.example/team=red")
    secret = served.wait(
        "secret",
        "keyed-ingest",
        lambda s: base64.b64decode(s["data"]["streamKey"]) == b"keyed?their-own",
        why="has a stream key made from their token",
        seconds=30,
    )
    assert base64.b64decode(secret["data"]["token"]) == b"their-own"


def test_what_others_add_to_our_children_is_tolerated(served: Kubectl, audit: AuditLog) -> None:
    has_its_children(served, "adorned")
    have_settled(served, "adorned")
    audit.restart()
    served("annotate", "deployment", "adorned-ingest", "theirs.example/note=kept")
    served("label", "service", "adorned-ingest", "theirs.example/team=red")
    time.sleep(QUIET_SECONDS)
    assert [w for w in audit.writes(served.namespace) if w.name.startswith("adorned")] == []
    annotations = served.get("deployment", "adorned-ingest")["metadata"]["annotations"]
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
    stream = kube.wait("livestream", "show", is_decided, why="is decided", seconds=40)
    assert stream["metadata"]["uid"] == new
    first = min(c["lastTransitionTime"] for c in stream["status"]["conditions"])
    assert first >= stream["metadata"]["creationTimestamp"], "a condition of its former self"


@pytest.mark.long
def test_after_kill_9_the_next_operator_writes_nothing(
    kube: Kubectl, operator: HostOperator, audit: AuditLog
) -> None:
    kube.apply(*(livestream(f"s{number}") for number in range(3)))
    have_settled(kube, "s0", "s1", "s2")
    pods = {pod["metadata"]["uid"] for pod in kube.list("pods")}
    audit.restart()
    operator.stop(signal.SIGKILL)
    operator.start()
    eventually(operator.is_leading, "the new one leads", 60)
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
    assert [w for w in writes if w.code >= 300] == [], "with one writer nothing is refused"
    children = Counter(w.name.split("-")[0] for w in writes if w.resource in CHILDREN)
    statuses = Counter(w.name for w in writes if w.subresource == "status")
    per_stream = len([w for w in writes if w.resource != "events"]) / len(names)
    print(f"writes per LiveStream: {per_stream:.1f}; of these status: {statuses}")
    assert set(children.values()) == {5}, "each child is written once"
    # Decided, pod made, pod's image cannot be had.
    assert max(statuses.values()) <= 4


def test_a_deleted_stream_leaves_nothing(served: Kubectl) -> None:
    has_its_children(served, "over")
    served.delete("livestream", "over")
    kinds = "deployments,replicasets,services,pods,secrets,configmaps"

    def left() -> list[str]:
        names = [obj["metadata"]["name"] for obj in served.list(kinds)]
        return [name for name in names if name.startswith("over-")]

    eventually(lambda: left() == [], "nothing is left", 60)


@pytest.mark.long
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
        eventually(second.is_leading, "the second one leads", 60)
        assert time.monotonic() - began > 10, "the first one might have led still"
        kube.apply(livestream("show"))
        kube.wait("deployment", "show-ingest", bool, why="has its Deployment", seconds=40)
    finally:
        second.stop()


def test_an_operator_that_is_asked_to_end_gives_its_lease_back(
    kube: Kubectl, operator: HostOperator, tmp_path: Path
) -> None:
    eventually(operator.is_leading, "it leads")
    assert operator.stop(signal.SIGTERM) == 0
    assert kube.get("lease", "sluice-operator")["spec"]["holderIdentity"] == ""
    operator.start()
    began = time.monotonic()
    eventually(operator.is_leading, "the next one leads")
    assert time.monotonic() - began < 10
