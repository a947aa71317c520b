"""A Recording that is made anew is looked for in its store, and one that is deleted is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluice_media.contract import RecordedFile, StoredResult, StoreStatus
from sluice_operator.controllers.deletion_notices import DeletionNotices
from sluice_operator.controllers.recording import RecordingController
from sluice_operator.engine.children import Children
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.queue import Key
from sluice_operator.engine.reconcile import Reconciler
from sluice_operator.telemetry.metrics import Metrics
from tests.support.controller_world import (
    NOW,
    make_child,
    make_livestream,
    make_pod,
    make_recording,
    make_token_secret,
)
from tests.support.engine_fakes import settle
from tests.support.finished_recording import Recorded

REC = Key("Recording", "ns", "rec")
NAMED = ("GET", "/v1/recordings")
ENDED = {"endReason": "Stopped", "phase": "Completed", "files": [{"index": 1, "state": "Ready"}]}


class Rebuilt(Recorded):
    """A Recording without a status, and a store that was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.deletions = DeletionNotices(self.world.cache, self.stores, self.world.clock)
        self.controller = RecordingController(self.world.context, self.stores, self.deletions)
        self.asked_seconds: float | None = None
        """How long the store has been asked in vain, by what was gathered last."""

    def holds(self, code: int = 200) -> None:
        file = RecordedFile(index=1, name="f", state="Ready", started_at=NOW)
        result = StoredResult(uid="former", state="Done", files=[file])
        self.world.http.answers[NAMED] = (code, result.to_json().encode())

    async def observed(self) -> tuple[str | None, bool]:
        """(uid of the former Recording, whether it is not known)."""
        recording = self.world.cache.find(REC)
        assert recording is not None
        found = await self.controller.gather(recording)
        assert found.former is None or found.stored is found.former
        self.asked_seconds = found.former_asked_seconds
        return found.former.uid if found.former else None, self.asked_seconds is not None

    def asked(self) -> list[str]:
        return [path for _, _, path, _, _ in self.world.http.requests]


async def test_a_recording_without_a_status_is_looked_for_by_its_name() -> None:
    rebuilt = Rebuilt()
    rebuilt.holds()
    assert await rebuilt.observed() == ("former", False)
    assert rebuilt.asked() == ["/v1/recordings?namespace=ns&name=rec&limit=50"]


@pytest.mark.parametrize(("code", "want"), [(404, (None, False)), (503, (None, True))])
async def test_a_store_says_no_or_does_not_answer(code: int, want: tuple[None, bool]) -> None:
    rebuilt = Rebuilt()
    rebuilt.holds(code)
    assert await rebuilt.observed() == want


async def test_how_long_the_store_is_asked_counts_from_the_first_question() -> None:
    """However long ago the Recording was made: an operator that makes the stores' pods in a
    cluster that is rebuilt may come last."""
    rebuilt = Rebuilt()
    rebuilt.holds(503)
    await rebuilt.world.clock.advance(600)
    await rebuilt.observed()
    assert rebuilt.asked_seconds == 0
    await rebuilt.world.clock.advance(100)
    await rebuilt.observed()
    assert rebuilt.asked_seconds == 100
    rebuilt.holds(404)
    await rebuilt.observed()
    assert rebuilt.asked_seconds is None
    rebuilt.holds(503)
    await rebuilt.world.clock.advance(50)
    await rebuilt.observed()
    assert rebuilt.asked_seconds == 150


async def test_a_store_whose_pod_is_not_there_yet_has_not_answered() -> None:
    rebuilt = Rebuilt()
    rebuilt.holds()
    for pod in list(rebuilt.world.cache.of_kind("Pod")):
        rebuilt.world.cache.remove(pod["metadata"]["uid"])
    assert await rebuilt.observed() == (None, True)


@pytest.mark.parametrize("how", ["status", "annotation", "job", "pod", "deleted"])
async def test_one_that_has_begun_is_not_looked_for(how: str) -> None:
    rebuilt = Rebuilt()
    rebuilt.holds()
    world, recording = rebuilt.world, rebuilt.recording
    match how:
        case "status":
            world.change(recording, status={"recordingStartedAt": "2026-03-01T12:00:00Z"})
        case "annotation":
            world.change(recording, metadata={"annotations": {"sluice.video/restart": "1"}})
        case "job":
            world.put(make_child("batch/v1", "Job", "rec-record", recording))
        case "pod":
            world.put(make_pod(recording, "rec-record-1"))
        case "deleted":
            world.change(recording, metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"})
    assert await rebuilt.observed() == (None, False)
    assert [path for path in rebuilt.asked() if "namespace=" in path] == []


async def test_a_deletion_is_told_and_until_then_the_name_is_not_looked_for() -> None:
    """kubectl delete and kubectl apply: what is made then is a new Recording."""
    rebuilt = Rebuilt()
    rebuilt.holds()
    world = rebuilt.world
    world.http.answers["PUT", rebuilt.path] = (503, b"")
    running = asyncio.ensure_future(rebuilt.deletions.run())
    world.change(rebuilt.recording, status=ENDED)
    world.cache.remove(rebuilt.uid)
    fresh = make_recording()
    fresh["metadata"]["uid"] = "fresh"
    world.put(fresh)
    await settle()
    assert rebuilt.deletions.is_pending(REC)
    assert await rebuilt.observed() == (None, False)
    world.http.answers["PUT", rebuilt.path] = (200, b"{}")
    world.http.answers[NAMED] = (404, b"")
    await world.clock.advance(5)
    assert not rebuilt.deletions.is_pending(REC)
    assert [m for m, *_ in world.http.requests].count("PUT") == 2
    assert await rebuilt.observed() == (None, False)
    running.cancel()
    await asyncio.wait([running])


async def test_a_deletion_that_cannot_be_told_is_given_up_after_ten_minutes() -> None:
    rebuilt = Rebuilt()
    world = rebuilt.world
    world.http.answers["PUT", rebuilt.path] = (503, b"")
    running = asyncio.ensure_future(rebuilt.deletions.run())
    world.change(rebuilt.recording, status=ENDED)
    world.cache.remove(rebuilt.uid)
    await world.clock.advance(590)
    assert rebuilt.deletions.is_pending(REC)
    await world.clock.advance(15)
    assert not rebuilt.deletions.is_pending(REC)
    running.cancel()
    await asyncio.wait([running])


async def test_of_one_that_recorded_nothing_nobody_is_told() -> None:
    rebuilt = Rebuilt()
    rebuilt.world.cache.remove(rebuilt.uid)
    assert not rebuilt.deletions.is_pending(REC)


async def test_what_the_store_does_with_the_former_one_wakes_the_restored_one() -> None:
    rebuilt = Rebuilt()
    world = rebuilt.world
    world.change(rebuilt.recording, status={**ENDED, "restoredUid": "former"})
    await world.woken()
    status = StoreStatus(pod_uid="s", version=2, observed_at=NOW, changed={"former": 2})
    world.wakeups.on_answer(Key("MediaStore", "ns", "default"), None, status)
    assert REC in await world.woken()


async def test_the_restored_one_is_asked_for_by_its_former_uid() -> None:
    rebuilt = Rebuilt()
    began = {"recordingStartedAt": "2026-03-01T12:00:00Z"}
    status: dict[str, Any] = {**ENDED, **began, "restoredUid": "former"}
    status["files"] = [{"index": 1, "state": "Ready", "expiresAt": "2026-03-02T12:00:00Z"}]
    rebuilt.world.change(rebuilt.recording, status=status)
    await rebuilt.observed()
    assert rebuilt.asked() == ["/v1/recordings/former?limit=50"]


async def test_from_the_look_at_the_store_to_the_new_recorder() -> None:
    """Restored in one pass; with the annotation its name is freed, then its recorder made."""
    rebuilt = Rebuilt()
    rebuilt.holds()
    world = rebuilt.world
    stream = world.put(make_livestream())
    world.put(make_token_secret("show-hub", stream, "b" * 32))
    former = "/v1/recordings/former"
    world.http.answers["PUT", former] = (503, b"")
    events = EventRecorder(world.api, world.clock, Metrics(), instance="test")
    reconciler = Reconciler(
        world.api,
        world.cache,
        Children(world.api, world.lookup),
        events,
        store=rebuilt.stores,
        clock=world.clock,
        finalizer="sluice.video/recording",
    )

    async def look() -> dict[str, Any]:
        await reconciler.run(rebuilt.controller, REC)
        found: dict[str, Any] = world.api.objects["Recording", "ns", "rec"]
        return found

    restored = await look()
    assert (restored["status"]["phase"], restored["status"]["restoredUid"]) == (
        "Completed",
        "former",
    )
    assert ("Job", "ns", "rec-record") not in world.api.objects
    world.change(restored, metadata={"annotations": {"sluice.video/restart": "1"}})
    assert (await look())["status"]["restoredUid"] == "former", "the store was not told"
    world.http.answers["PUT", former] = (200, b"{}")
    assert "restoredUid" not in (await look())["status"]
    begun = await look()
    assert begun["status"]["phase"] == "Pending"
    assert "files" not in begun["status"]
    assert ("Job", "ns", "rec-record") in world.api.objects
    assert [path for path in rebuilt.asked() if "namespace=" in path] == [
        "/v1/recordings?namespace=ns&name=rec&limit=50"
    ]
