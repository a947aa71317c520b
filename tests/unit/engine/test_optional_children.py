"""Children that may be missing: nothing waits for them, and they keep nothing from being done."""

from __future__ import annotations

import asyncio

import pytest

from sluice_operator.domain.decision import Child, PodAnnotations, PodConfigHash
from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.reconcile import Outcome
from sluice_operator.kube.errors import ApiError, ForbiddenError, UnavailableError
from tests.support.engine_fakes import settle
from tests.unit.engine.builders import (
    KEY,
    FakeController,
    conditions,
    decided,
    make_engine,
    make_secret,
    stored,
)


def make_wanted(name: str) -> Child:
    manifest = {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": "Recording",
        "metadata": {"name": name},
    }
    return Child(manifest, create_only=True, owned=False, optional=True)


@pytest.mark.parametrize(
    "error", [ForbiddenError("quota"), UnavailableError("the webhook is away")]
)
async def test_a_child_that_may_be_missing_keeps_nothing_from_being_done(error: ApiError) -> None:
    """A Recording that autoRecord may not make: a stream on air was Stalled, and not annotated."""
    engine = make_engine()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    uid = engine.api.put(pod)["metadata"]["uid"]
    engine.watch()
    engine.api.fail = lambda verb, kind, name: error if name == "one" else None
    controller = FakeController(
        decided(
            make_wanted("one"),
            make_wanted("two"),
            Child(make_secret()),
            pod_config_hashes=(PodConfigHash("p", uid, "hash"),),
            requeue_after_seconds=100.0,
        )
    )
    result = await engine.reconciler.run(controller, KEY)
    assert (result.outcome, result.requeue_after_seconds) == (Outcome.WAITING, 10.0)
    assert stored(engine, "Pod", "p")["metadata"]["annotations"] == {"sluice.video/config": "hash"}
    assert stored(engine, "Recording", "two")
    assert [c for c in conditions(engine).values() if c["type"] == "Stalled"] == []
    event = engine.events._pending.get_nowait()
    assert (event.type, event.reason) == ("Warning", "RecordingNotMade")
    assert str(error) in event.message
    engine.api.fail = lambda verb, kind, name: None
    await engine.clock.advance(2)
    await engine.reconciler.run(controller, KEY)
    assert stored(engine, "Recording", "one")


async def test_the_status_does_not_wait_for_a_child_that_may_be_missing() -> None:
    """A webhook that does not answer took 15 s of each Recording, and the status came after."""
    engine = make_engine()
    asked: list[str] = []
    answer = asyncio.Event()
    create = engine.api.create

    async def hangs(manifest: Manifest) -> Manifest:
        asked.append(manifest["metadata"]["name"])
        await answer.wait()
        return await create(manifest)

    engine.api.create = hangs  # type: ignore[method-assign, assignment]
    controller = FakeController(
        decided(make_wanted("one"), make_wanted("two"), status={"live": True})
    )
    running = asyncio.create_task(engine.reconciler.run(controller, KEY))
    await settle()
    assert stored(engine, "LiveStream", "show")["status"]["live"] is True
    assert asked == ["one", "two"], "one does not wait for the other"
    answer.set()
    await running
    assert stored(engine, "Recording", "two")


async def test_a_status_that_cannot_be_written_costs_no_recording() -> None:
    engine = make_engine()
    engine.api.fail = lambda verb, kind, name: (
        UnavailableError("no answer") if verb == "update-status" else None
    )
    controller = FakeController(decided(make_wanted("one"), status={"live": True}))
    with pytest.raises(UnavailableError):
        await engine.reconciler.run(controller, KEY)
    assert stored(engine, "Recording", "one")


async def test_a_pod_that_may_not_be_annotated_keeps_nothing_from_being_done() -> None:
    engine = make_engine()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    uid = engine.api.put(pod)["metadata"]["uid"]
    engine.watch()
    refusal = ForbiddenError("a policy says no")
    engine.api.fail = lambda verb, kind, name: refusal if kind == "Pod" else None
    kept = PodAnnotations("p", uid, {"kept": "true"})
    controller = FakeController(decided(status={"live": True}, pod_annotations=(kept,)))
    result = await engine.reconciler.run(controller, KEY)
    assert result.outcome is Outcome.SETTLED
    assert stored(engine, "LiveStream", "show")["status"]["live"] is True
    event = engine.events._pending.get_nowait()
    assert (event.type, event.reason) == ("Warning", "PodNotAnnotated")


async def test_a_name_that_is_taken_meanwhile_has_everything_gathered_again() -> None:
    engine = make_engine()
    controller = FakeController(decided(make_wanted("one")))
    made = False

    def somebody_makes_it(verb: str, kind: str, name: str) -> None:
        nonlocal made
        if verb == "create" and kind == "Recording" and not made:
            made = True
            engine.api.put(make_wanted("one").manifest)

    engine.api.before = somebody_makes_it
    await engine.reconciler.run(controller, KEY)
    assert controller.gathered == 2
