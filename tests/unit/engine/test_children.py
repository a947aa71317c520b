"""Children: made as decided, repaired when changed, and never anybody else's."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.domain.decision import Child
from sluice_operator.kube.errors import (
    ConflictError,
)
from tests.unit.engine.builders import (
    KEY,
    FakeController,
    decided,
    make_deployment,
    make_engine,
    make_job,
    make_livestream,
    make_secret,
    stored,
)


async def test_children_carry_owner_label_and_hash() -> None:
    engine = make_engine()
    await engine.reconciler.run(FakeController(decided(Child(make_deployment()))), KEY)
    meta = stored(engine, "Deployment", "show-ingest")["metadata"]
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "sluice.video/v1alpha1",
            "kind": "LiveStream",
            "name": "show",
            "uid": stored(engine)["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert meta["labels"] == {"app": "show", "app.kubernetes.io/managed-by": "sluice"}
    assert len(meta["annotations"]["sluice.video/spec-hash"]) == 16


@pytest.mark.parametrize("path", ["spec.replicas", "spec.paused", "metadata.labels.app"])
async def test_a_field_that_somebody_changed_is_repaired(path: str) -> None:
    """`kubectl scale` leaves our hash in place; ownership tells."""
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.set_value("Deployment", "show-ingest", path, 7)
    engine.watch()
    await engine.reconciler.run(controller, KEY)
    deployment = stored(engine, "Deployment", "show-ingest")
    assert deployment["spec"] == {"replicas": 1, "paused": False}
    assert deployment["metadata"]["labels"]["app"] == "show"


async def test_a_field_that_somebody_removed_is_put_back() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.set_value("Deployment", "show-ingest", "spec.paused", None)
    engine.watch()
    await engine.reconciler.run(controller, KEY)
    assert stored(engine, "Deployment", "show-ingest")["spec"]["paused"] is False


async def test_what_others_add_is_tolerated() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.set_value("Deployment", "show-ingest", "metadata.annotations.theirs", "1")
    engine.watch()
    engine.api.requests.clear()
    await engine.reconciler.run(controller, KEY)
    assert engine.api.writes() == []


@pytest.mark.parametrize("child", [make_secret(), make_deployment()])
async def test_an_object_of_somebody_else_is_never_touched(child: dict[str, Any]) -> None:
    """Forced apply would take a user's Secret over, and our deletion would then delete it."""
    engine = make_engine()
    theirs = {**child, "metadata": {**child["metadata"], "namespace": "ns"}, "data": {"a": "b"}}
    before = dict(engine.api.put(theirs))
    other = make_job()
    controller = FakeController(decided(Child(other, create_only=True), Child(child)))
    with pytest.raises(ConflictError, match="exists already and is not made by Sluice"):
        await engine.reconciler.run(controller, KEY)
    assert engine.api.writes() == []
    assert stored(engine, child["kind"], "show-ingest") == before


async def test_a_child_of_the_former_object_of_that_name_is_never_touched() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.drop("LiveStream", "show")
    engine.api.put(make_livestream(uid="reborn"))
    engine.watch()
    engine.api.requests.clear()
    with pytest.raises(ConflictError, match="controlled by LiveStream show"):
        await engine.reconciler.run(controller, KEY)
    assert engine.api.writes() == []


async def test_a_child_replaced_behind_our_back_is_not_written() -> None:
    """Between our look and our write the Deployment became somebody else's."""
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    controller.decision = decided(Child(make_deployment(replicas=2)))
    theirs = {**make_deployment(), "spec": {"replicas": 9}}
    theirs["metadata"] = {"name": "show-ingest", "namespace": "ns", "uid": "theirs"}

    def swap(verb: str, kind: str, name: str) -> None:
        if verb == "apply":
            engine.api.objects.pop((kind, "ns", name), None)
            engine.api.put(theirs)
            engine.api.before = lambda verb, kind, name: None

    engine.api.before = swap
    with pytest.raises(ConflictError):
        await engine.reconciler.run(controller, KEY)
    assert stored(engine, "Deployment", "show-ingest")["spec"] == {"replicas": 9}


async def test_a_manifest_that_repeats_what_was_read_is_written_over_that_version_only() -> None:
    """Somebody edits the token in a Secret between our look and our write."""
    engine = make_engine()
    controller = FakeController(decided(Child(make_secret(token="b2xk"))))
    await engine.reconciler.run(controller, KEY)
    read = stored(engine, "Secret", "show-ingest")["metadata"]["resourceVersion"]
    changed = make_secret(token="b2xk", rtmpUrl="bmV3")
    controller.decision = decided(Child(changed, over_version=read))

    def edit(verb: str, kind: str, name: str) -> None:
        if verb == "apply":
            engine.api.before = lambda verb, kind, name: None
            engine.api.set_value("Secret", "show-ingest", "data.token", "dGhlaXJz")
            # What was gathered again says so.
            secret = stored(engine, "Secret", "show-ingest")
            again = make_secret(token="dGhlaXJz", rtmpUrl="bmV3")
            version = secret["metadata"]["resourceVersion"]
            controller.decision = decided(Child(again, over_version=version))

    engine.api.before = edit
    gathered = controller.gathered
    await engine.reconciler.run(controller, KEY)
    assert controller.gathered == gathered + 2
    assert stored(engine, "Secret", "show-ingest")["data"] == {
        "token": "dGhlaXJz",
        "rtmpUrl": "bmV3",
    }


async def test_create_only_children_are_made_once_and_never_again() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_job(), create_only=True)))
    await engine.reconciler.run(controller, KEY)
    controller.decision = decided(
        Child({**make_job(), "spec": {"backoffLimit": 1}}, create_only=True)
    )
    await engine.reconciler.run(controller, KEY)
    assert [w for w in engine.api.writes() if w[1] == "Job"] == [("create", "Job", "show-record")]


async def test_children_without_an_owner_are_left_alone_once_they_exist() -> None:
    engine = make_engine()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "store", "namespace": "ns"},
    }
    engine.api.put(claim)
    await engine.reconciler.run(FakeController(decided(Child(claim, owned=False))), KEY)
    assert [w for w in engine.api.writes() if w[1] == "PersistentVolumeClaim"] == []
