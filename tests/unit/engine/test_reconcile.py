"""One pass over an object: what is written, in which order, and what is not."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from sluice_operator.domain.decision import (
    Child,
    Condition,
    Decision,
    Deletion,
    Notice,
    PodAnnotations,
    PodConfigHash,
    StoreCall,
)
from sluice_operator.domain.invalid_spec import InvalidSpecError
from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.reconcile import Outcome
from sluice_operator.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NamespaceTerminatingError,
    UnavailableError,
)
from tests.support.engine_fakes import FakeApi, settle
from tests.unit.engine.builders import (
    FINALIZER,
    KEY,
    Engine,
    FakeController,
    conditions,
    decided,
    make_deployment,
    make_engine,
    make_job,
    make_livestream,
    make_secret,
    ready,
    stored,
)


async def test_children_first_then_one_status_write() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_secret()), Child(make_deployment())))
    result = await engine.reconciler.run(controller, KEY)
    assert result.outcome is Outcome.SETTLED
    assert engine.api.writes() == [
        ("apply", "Secret", "show-ingest"),
        ("apply", "Deployment", "show-ingest"),
        ("update-status", "LiveStream", "show"),
    ]


async def test_a_second_pass_over_the_same_facts_writes_nothing() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_secret()), Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.requests.clear()
    await engine.reconciler.run(controller, KEY)
    assert engine.api.requests == []


async def test_a_new_process_reads_but_writes_nothing() -> None:
    """The promise of `kill -9`: everything that was decided can be read off the cluster."""
    engine = make_engine()
    controller = FakeController(decided(Child(make_secret()), Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.requests.clear()
    reborn = Engine(engine.api)
    reborn.watch()
    await reborn.reconciler.run(controller, KEY)
    assert reborn.api.writes() == []


async def test_status_is_not_written_when_it_says_the_same() -> None:
    engine = make_engine()
    controller = FakeController(decided())
    await engine.reconciler.run(controller, KEY)
    await engine.clock.advance(100)
    await engine.reconciler.run(controller, KEY)
    assert engine.api.writes() == [("update-status", "LiveStream", "show")]


async def test_nulls_in_a_status_are_no_difference() -> None:
    engine = make_engine()
    controller = FakeController(decided(status={"live": None, "media": {"width": None}}))
    await engine.reconciler.run(controller, KEY)
    await engine.reconciler.run(controller, KEY)
    assert len(engine.api.writes()) == 1


async def test_a_condition_keeps_its_transition_time_until_its_status_changes() -> None:
    engine = make_engine()
    controller = FakeController(decided())
    await engine.reconciler.run(controller, KEY)
    first = conditions(engine)["Ready"]["lastTransitionTime"]
    await engine.clock.advance(60)
    controller.decision = decided(conditions=(ready("Other"),))
    await engine.reconciler.run(controller, KEY)
    assert conditions(engine)["Ready"]["lastTransitionTime"] == first
    controller.decision = decided(conditions=(ready("Broken", "False"),))
    await engine.reconciler.run(controller, KEY)
    assert conditions(engine)["Ready"]["lastTransitionTime"] == "2026-03-01T12:01:00Z"


async def test_a_condition_that_is_not_decided_any_more_goes() -> None:
    engine = make_engine()
    stalled = Condition("Stalled", "True", "Why", "words")
    controller = FakeController(decided(conditions=(ready(), stalled)))
    assert (await engine.reconciler.run(controller, KEY)).outcome is Outcome.STALLED
    controller.decision = decided()
    await engine.reconciler.run(controller, KEY)
    assert list(conditions(engine)) == ["Ready"]


async def test_events_only_on_transitions() -> None:
    engine = make_engine()
    controller = FakeController(decided(event_reasons={"Ready": "Normal"}))
    posting = asyncio.ensure_future(engine.events.run())
    for _ in range(3):
        await engine.reconciler.run(controller, KEY)
    controller.decision = decided(
        conditions=(ready("Broken", "False"),), event_reasons={"Ready": "Warning"}
    )
    for _ in range(3):
        await engine.reconciler.run(controller, KEY)
    await settle()
    posting.cancel()
    events = [o for (kind, _, _), o in engine.api.objects.items() if kind == "Event"]
    assert [(e["type"], e["reason"]) for e in events] == [
        ("Normal", "Configured"),
        ("Warning", "Broken"),
    ]


async def test_a_409_has_everything_gathered_again() -> None:
    engine = make_engine()
    controller = FakeController(decided())
    engine.api.set_value("LiveStream", "show", "spec.title", "changed since")
    await engine.reconciler.run(controller, KEY)
    assert controller.gathered == 2
    assert stored(engine)["status"]["live"] is False


async def test_status_never_lands_on_the_next_object_of_that_name() -> None:
    """Deleted and made anew between gather and write: the new one gets a status of its own."""
    engine = make_engine(uid="first")
    controller = FakeController(decided(status={"live": True}))

    def reincarnate(verb: str, kind: str, name: str) -> None:
        if verb == "update-status":
            engine.api.before = lambda verb, kind, name: None
            engine.api.drop("LiveStream", "show")
            engine.api.put(make_livestream(uid="second"))
            controller.decision = decided(status={"live": False})

    engine.api.before = reincarnate
    await engine.reconciler.run(controller, KEY)
    assert controller.gathered == 2
    assert stored(engine)["metadata"]["uid"] == "second"
    assert stored(engine)["status"]["live"] is False


async def test_an_object_deleted_meanwhile_is_gone() -> None:
    engine = make_engine()
    engine.api.drop("LiveStream", "show")
    result = await engine.reconciler.run(FakeController(decided()), KEY)
    assert result.outcome is Outcome.GONE
    assert engine.cache.find(KEY) is None


async def test_endless_conflicts_end_in_a_backoff() -> None:
    engine = make_engine()
    engine.api.fail = lambda verb, kind, name: (
        ConflictError("no") if verb == "update-status" else None
    )
    controller = FakeController(decided())
    with pytest.raises(ConflictError):
        await engine.reconciler.run(controller, KEY)
    assert controller.gathered == 4


async def test_the_finalizer_comes_before_the_children_and_goes_last() -> None:
    engine = make_engine(finalizers=["theirs"])
    controller = FakeController(decided(Child(make_job(), create_only=True), finalizer=True))
    await engine.reconciler.run(controller, KEY)
    assert stored(engine)["metadata"]["finalizers"] == ["theirs", FINALIZER]
    assert engine.api.writes()[0] == ("patch", "LiveStream", "show")
    assert len([w for w in engine.api.writes() if w[0] == "update-status"]) == 1

    job_uid = stored(engine, "Job", "show-record")["metadata"]["uid"]
    deletion = Deletion("batch/v1", "Job", "show-record", job_uid, "Finished", "It is done.")
    controller.decision = decided(deletions=(deletion,))
    engine.api.requests.clear()
    await engine.reconciler.run(controller, KEY)
    assert [w[0] for w in engine.api.writes()] == ["delete", "patch"]
    assert stored(engine)["metadata"]["finalizers"] == ["theirs"]


async def test_an_object_released_for_deletion_gets_no_status() -> None:
    engine = make_engine(finalizers=[FINALIZER], deletionTimestamp="2026-03-01T12:00:00Z")
    result = await engine.reconciler.run(FakeController(decided(status={"live": True})), KEY)
    assert result.outcome is Outcome.SETTLED
    assert engine.api.writes() == [("patch", "LiveStream", "show")]
    assert engine.api.objects == {}


async def test_deletion_of_what_is_gone_already_is_fine() -> None:
    engine = make_engine()
    deletion = Deletion("batch/v1", "Job", "show-record", "x", "Finished", "It is done.")
    await engine.reconciler.run(FakeController(decided(deletions=(deletion,))), KEY)


async def test_only_the_very_object_is_deleted() -> None:
    engine = make_engine()
    job = make_job()
    engine.api.put({**job, "metadata": {"name": "show-record", "uid": "new"}})
    deletion = Deletion("batch/v1", "Job", "show-record", "old", "Finished", "It is done.")
    with pytest.raises(ConflictError):
        await engine.reconciler.run(FakeController(decided(deletions=(deletion,))), KEY)
    assert ("Job", "ns", "show-record") in engine.api.objects


async def test_a_pod_is_told_of_its_configuration_once() -> None:
    engine = make_engine()
    pod = engine.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})
    engine.watch()
    wish = PodConfigHash("p", pod["metadata"]["uid"], "h1")
    controller = FakeController(decided(pod_config_hashes=(wish,)))
    for _ in range(3):
        await engine.reconciler.run(controller, KEY)
    assert engine.api.writes().count(("patch", "Pod", "p")) == 1
    assert stored(engine, "Pod", "p")["metadata"]["annotations"] == {"sluice.video/config": "h1"}


async def test_annotations_are_put_on_a_pod_once_and_taken_off_again() -> None:
    engine = make_engine()
    meta = {"name": "p", "annotations": {"theirs": "1"}}
    pod = engine.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta})
    engine.watch()
    uid = pod["metadata"]["uid"]
    for value, want in (("false", {"theirs": "1", "ours": "false"}), (None, {"theirs": "1"})):
        change = PodAnnotations("p", uid, {"ours": value})
        controller = FakeController(decided(pod_annotations=(change,)))
        for _ in range(2):
            await engine.reconciler.run(controller, KEY)
        assert stored(engine, "Pod", "p")["metadata"]["annotations"] == want
    assert [r for r in engine.api.requests if r[0] == "patch"] == [("patch", "Pod", "p")] * 2


async def test_a_pod_that_is_gone_does_not_hold_the_pass_up() -> None:
    engine = make_engine()
    controller = FakeController(decided(pod_config_hashes=(PodConfigHash("p", "u", "h"),)))
    await engine.reconciler.run(controller, KEY)
    assert stored(engine)["status"]["live"] is False


async def test_a_store_that_does_not_answer_does_not_hold_the_status_up() -> None:
    engine = make_engine(finalizers=[FINALIZER])
    engine.store.error = UnavailableError("no pod")
    controller = FakeController(
        decided(store_calls=(StoreCall("default", {"uid": "u"}, "closed"),))
    )
    result = await engine.reconciler.run(controller, KEY)
    assert (result.outcome, result.requeue_after_seconds) == (Outcome.WAITING, 3)
    assert stored(engine)["status"]["live"] is False
    # Nor is the object released before the store knows of it.
    assert stored(engine)["metadata"]["finalizers"] == [FINALIZER]


async def test_what_a_store_was_told_is_written_only_once_it_was() -> None:
    engine = make_engine()
    engine.store.error = UnavailableError("no pod")
    call = StoreCall("default", {"uid": "u"}, "closed")
    controller = FakeController(decided(store_calls=(call,), status_when_acknowledged={"told": 1}))
    await engine.reconciler.run(controller, KEY)
    assert stored(engine)["status"].get("told") is None
    engine.store.error = None
    await engine.reconciler.run(controller, KEY)
    assert stored(engine)["status"]["told"] == 1


async def test_a_notice_is_an_event_without_a_transition() -> None:
    engine = make_engine()
    notice = Notice("Warning", "DeletionBlocked", "The store does not answer.")
    posting = asyncio.create_task(engine.events.run())
    await engine.reconciler.run(FakeController(decided(notices=(notice,))), KEY)
    await settle()
    posting.cancel()
    (event,) = [obj for (kind, _, _), obj in engine.api.objects.items() if kind == "Event"]
    assert (event["type"], event["reason"]) == ("Warning", "DeletionBlocked")
    assert event["message"] == "The store does not answer."


async def test_a_spec_that_cannot_be_read_is_told_to_the_user_and_nothing_is_touched() -> None:
    engine = make_engine()
    controller = FakeController(decided(Child(make_deployment())))
    await engine.reconciler.run(controller, KEY)
    engine.api.requests.clear()

    class Reader(FakeController):
        def decide(self, observed: Manifest, now: datetime) -> Decision:
            raise InvalidSpecError("LiveStream show cannot be read: spec.title: too long.")

    result = await engine.reconciler.run(Reader(controller.decision), KEY)
    assert result.outcome is Outcome.STALLED
    assert conditions(engine)["Stalled"]["reason"] == "InvalidSpec"
    assert "spec.title: too long" in conditions(engine)["Ready"]["message"]
    assert engine.api.writes() == [("update-status", "LiveStream", "show")]
    assert stored(engine)["status"]["live"] is False


async def test_a_refused_child_is_told_to_the_user() -> None:
    engine = make_engine()
    engine.api.fail = lambda verb, kind, name: (
        ForbiddenError("exceeded quota: pods") if kind == "Deployment" and verb == "apply" else None
    )
    controller = FakeController(decided(Child(make_deployment())))
    result = await engine.reconciler.run(controller, KEY)
    assert result.outcome is Outcome.STALLED
    assert result.requeue_after_seconds
    assert conditions(engine)["Stalled"]["reason"] == "NotAllowed"
    assert "exceeded quota: pods" in conditions(engine)["Ready"]["message"]
    assert conditions(engine)["Ready"]["status"] == "False"
    engine.api.fail = lambda verb, kind, name: None
    await engine.reconciler.run(controller, KEY)
    assert list(conditions(engine)) == ["Ready"]


async def test_a_namespace_that_is_being_deleted_is_left_alone() -> None:
    """It takes the children first: no complaint, no status, no event."""
    engine = make_engine()
    engine.api.fail = lambda verb, kind, name: (
        NamespaceTerminatingError("is being terminated") if verb == "apply" else None
    )
    result = await engine.reconciler.run(
        FakeController(decided(Child(make_deployment()), event_reasons={"Ready": "Normal"})), KEY
    )
    assert result.outcome is Outcome.WAITING
    assert engine.api.writes() == [("apply", "Deployment", "show-ingest")]
    assert "status" not in stored(engine)


async def test_an_api_server_that_is_away_changes_nothing() -> None:
    engine = make_engine()

    def away(verb: str, kind: str, name: str) -> ApiError | None:
        return UnavailableError("away")

    engine.api.fail = away
    with pytest.raises(UnavailableError):
        await engine.reconciler.run(FakeController(decided(Child(make_secret()))), KEY)
    assert list(engine.api.objects) == [("LiveStream", "ns", "show")]


async def test_requeue_is_handed_on() -> None:
    engine = make_engine()
    result = await engine.reconciler.run(FakeController(decided(requeue_after_seconds=10)), KEY)
    assert (result.outcome, result.requeue_after_seconds) == (Outcome.WAITING, 10)


def test_the_fake_api_makes_no_version_of_nothing() -> None:
    api = FakeApi()
    obj = api.put(make_livestream())
    version = obj["metadata"]["resourceVersion"]
    api.put({**make_livestream(), "metadata": dict(obj["metadata"])})
    assert api.objects["LiveStream", "ns", "show"]["metadata"]["resourceVersion"] == version
