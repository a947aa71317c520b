"""What is gathered for a Recording: when its store is asked, and told."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_media.contract import (
    IngestStatus,
    RecorderPhase,
    StoredResult,
)
from sluice_operator.domain.decision import StoreCall
from sluice_operator.kube.errors import InvalidError, UnavailableError
from sluice_operator.pods.store_client import StoreClient
from tests.support.controller_world import (
    NOW,
    World,
    make,
    make_livestream,
)
from tests.support.finished_recording import Recorded


@pytest.mark.parametrize("phase", [RecorderPhase.DONE, RecorderPhase.WAITING_FOR_RETURN])
async def test_the_store_is_asked_once_the_recorder_has_closed_a_file(
    phase: RecorderPhase,
) -> None:
    recorded = Recorded()
    recorded.recorder_reports(phase)
    observed = await recorded.controller.gather(recorded.recording)
    assert observed.stored is not None
    assert observed.stored.state == "Finalizing"
    path = f"{recorded.path}?limit=50"
    assert recorded.world.http.requests == [("GET", "10.1.2.3", path, 9200, "store-token")]


async def test_the_store_is_left_alone_while_the_recorder_writes_and_after_the_end() -> None:
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.RECORDING)
    assert (await recorded.controller.gather(recorded.recording)).stored is None
    recorded.recorder_reports(RecorderPhase.DONE)
    over = recorded.world.change(recorded.recording, status={"phase": "Completed"})
    assert (await recorded.controller.gather(over)).stored is None
    assert recorded.world.http.requests == []


async def test_the_store_is_asked_when_the_recorder_has_fallen_silent() -> None:
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.RECORDING)
    await recorded.world.clock.advance(11)
    begun = recorded.world.change(
        recorded.recording, status={"recordingStartedAt": "2026-03-01T12:00:00.000Z"}
    )
    assert (await recorded.controller.gather(begun)).stored is not None


@pytest.mark.parametrize(("reason", "asks"), [("FinalizeFailed", 1), ("NothingRecorded", 0)])
async def test_a_file_that_could_not_be_made_is_asked_for_again(reason: str, asks: int) -> None:
    """The store tries again; every other failure is the end."""
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.DONE)
    conditions = [{"type": "Succeeded", "status": "False", "reason": reason}]
    failed = recorded.world.change(
        recorded.recording, status={"phase": "Failed", "conditions": conditions}
    )
    await recorded.controller.gather(failed)
    assert len(recorded.world.http.requests) == asks


async def test_the_store_is_asked_again_when_it_says_that_something_changed() -> None:
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.DONE)
    recorded.store_reports(1)
    for _ in range(3):
        await recorded.controller.gather(recorded.recording)
    assert len(recorded.world.http.requests) == 1
    recorded.store_reports(2)
    await recorded.controller.gather(recorded.recording)
    assert len(recorded.world.http.requests) == 2


@pytest.mark.parametrize(
    ("ended", "asks"),
    [
        ({}, 0),
        ({"retention": {"seconds": 60}}, 1),
        ({"retention": {"keepOriginal": True}}, 1),
        ({"retention": {"seconds": 60}, "state": "Expired"}, 0),
        ({"file": {"expiresAt": "2026-03-02T12:00:00Z"}}, 1),
        ({"file": {"originUri": "s3://b/k.m3u8"}, "state": "Expired"}, 1),
        ({"damage": {"keptChunks": 1, "keptUntil": "2026-03-08T12:00:00Z"}}, 1),
    ],
)
async def test_what_retention_may_still_take_is_asked_for_after_the_end(
    ended: dict[str, Any], asks: int
) -> None:
    recorded = Recorded()
    await recorded.controller.gather(recorded.ended(**ended))
    assert len(recorded.world.http.requests) == asks


async def test_of_a_recording_that_is_deleted_the_store_is_always_asked() -> None:
    recorded = Recorded()
    leaving = {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}}
    await recorded.controller.gather(recorded.world.change(recorded.recording, **leaving))
    assert len(recorded.world.http.requests) == 1


async def test_a_store_is_told_to_delete_and_then_asked_anew() -> None:
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.DONE)
    recorded.world.http.answers["DELETE", recorded.path] = (200, b"{}")
    await recorded.controller.gather(recorded.recording)
    body = {"uid": recorded.uid, "name": "rec", "prefix": "p"}
    for _ in range(2):
        await recorded.stores.call("ns", StoreCall("default", body, "deleted"))
        await recorded.stores.call("ns", StoreCall("default", body, "deleted", delete=True))
    await recorded.controller.gather(recorded.recording)
    methods = [method for method, *_ in recorded.world.http.requests]
    assert methods == ["GET", "PUT", "DELETE", "GET"]


async def test_a_store_that_must_wait_for_a_recorder_is_asked_again() -> None:
    recorded = Recorded()
    recorded.world.http.answers["DELETE", recorded.path] = (409, b"")
    call = StoreCall("default", {"uid": recorded.uid}, "deleted", delete=True)
    with pytest.raises(UnavailableError):
        await recorded.stores.call("ns", call)


async def test_a_deletion_is_followed_closely() -> None:
    recorded = Recorded()
    deleting = StoredResult(uid=recorded.uid, state="Deleting").to_json().encode()
    recorded.world.http.answers["GET", recorded.path] = (200, deleting)
    recorded.recorder_reports(RecorderPhase.DONE)
    for _ in range(2):
        await recorded.controller.gather(recorded.recording)
        await recorded.world.clock.advance(2)
    assert len(recorded.world.http.requests) == 2


async def test_a_recording_knows_what_hub_and_store_say() -> None:
    recorded = Recorded()
    stream = recorded.world.put(make_livestream())
    recorded.store_reports(3)
    hub = IngestStatus(pod_uid="h", version=1, observed_at=NOW, on_air=True)
    recorded.world.samples.answered(stream["metadata"]["uid"], "h", "2026", hub)
    observed = await recorded.controller.gather(recorded.recording)
    assert observed.stream_sample is not None
    assert observed.stream_sample.status.on_air
    assert observed.store_sample is not None
    assert observed.store_sample.status.version == 3


async def test_a_store_that_does_not_answer_is_no_answer() -> None:
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.DONE)
    recorded.world.http.answers["GET", recorded.path] = (503, b"")
    assert (await recorded.controller.gather(recorded.recording)).stored is None


async def test_a_store_is_told_once_and_again_when_there_is_news() -> None:
    recorded = Recorded()
    body = {"uid": recorded.uid, "name": "rec", "prefix": "p"}
    for _ in range(3):
        await recorded.stores.call("ns", StoreCall("default", body, "closed"))
    await recorded.stores.call("ns", StoreCall("default", {**body, "recorderGone": True}, "closed"))
    assert [request[0] for request in recorded.world.http.requests] == ["PUT", "PUT"]


@pytest.mark.parametrize(("code", "want"), [(503, UnavailableError), (422, InvalidError)])
async def test_a_store_that_refuses_is_an_error(code: int, want: type[Exception]) -> None:
    recorded = Recorded()
    recorded.world.http.answers["PUT", recorded.path] = (code, b"")
    with pytest.raises(want):
        await recorded.stores.call("ns", StoreCall("default", {"uid": recorded.uid}, "closed"))


async def test_a_store_without_a_pod_is_unavailable() -> None:
    world = World()
    world.put(make("MediaStore", "default"))
    with pytest.raises(UnavailableError, match="no running pod"):
        await StoreClient(
            world.context.cache,
            world.context.samples,
            world.context.clock,
            world.http,
            world.context.status_token,
        ).call("ns", StoreCall("default", {"uid": "u"}, "closed"))
