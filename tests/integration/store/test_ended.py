"""A store knows the names of the Recordings that ended in it, until it hears of their deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store.catalog import load_finalized
from sluice_media.store.deletion import Deleter
from sluice_media.store.finalize import FinalizeJob
from sluice_media.store.http import StoreApi, serve_store
from sluice_media.store.worker import Finisher
from tests.support.store_records import START, UID, chunk, file_entry, leave, span

LATER = "later"
"""A Recording of the same name that ended a year after the first."""
NAMED = "/v1/recordings?namespace=default&name=rec"


class Pod:
    """A store's worker and its HTTP side over one folder."""

    def __init__(self, storage: ObjectStore, scratch: Path) -> None:
        self.storage = storage
        self.session: aiohttp.ClientSession
        self.finisher = Finisher(
            storage,
            scratch,
            uri_base=str,
            on_change=lambda uid: None,
            on_busy=lambda uid: None,
            scan_seconds=0.05,
        )
        self.deleter = Deleter(
            storage,
            release=self.finisher.release,
            abort_uploads=self._nothing,
            on_change=lambda uid: None,
            scan_seconds=0.05,
        )

    async def _nothing(self, _: str) -> None:
        return None

    async def settled(self, uid: str) -> None:
        async with asyncio.timeout(30):
            while await load_finalized(self.storage, uid) is None:
                await asyncio.sleep(0.01)

    async def named(self) -> str | None:
        async with self.session.get(NAMED) as answer:
            if answer.status == 404:
                return None
            return StoredResult.model_validate_json(await answer.read()).uid

    async def found(self, uid: str | None) -> None:
        async with asyncio.timeout(30):
            while await self.named() != uid:
                await asyncio.sleep(0.01)

    async def put(self, uid: str, **fields: bool) -> None:
        told = StoredRecording(
            uid=uid, name="rec", namespace="default", prefix=f"recordings/{uid}", **fields
        )
        async with self.session.put(f"/v1/recordings/{uid}", data=told.to_json()) as answer:
            assert answer.status == 200


@pytest.fixture
async def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    async def finalize(storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
        ended_at = START.replace(year=START.year + 1) if job.recording_uid == LATER else START
        return RecordedFile(index=1, name="f", state="Ready", started_at=START, ended_at=ended_at)

    monkeypatch.setattr("sluice_media.store.worker.finalize", finalize)
    made = Pod(open_volume(tmp_path / "store"), tmp_path / "scratch")
    api = StoreApi(
        made.storage,
        token=lambda: SecretStr("t"),
        on_request=made.finisher.wake,
        deleter=made.deleter,
    )
    tasks = [asyncio.create_task(made.finisher.run()), asyncio.create_task(made.deleter.run())]
    async with (
        serve_store(api, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer t"}
        ) as made.session,
    ):
        yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_has_ended_is_found_by_its_name(pod: Pod) -> None:
    assert await pod.named() is None
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})))
    await pod.found(UID)
    async with pod.session.get(f"{NAMED}&limit=5") as answer:
        result = StoredResult.model_validate_json(await answer.read())
    assert (result.uid, result.state, [f.name for f in result.files]) == (UID, "Done", ["f"])
    for query in ("?namespace=other&name=rec", "?namespace=default&name=re"):
        async with pod.session.get(f"/v1/recordings{query}") as answer:
            assert answer.status == 404
    for query in ("", "?namespace=default", "?namespace=..&name=rec"):
        async with pod.session.get(f"/v1/recordings{query}") as answer:
            assert answer.status == 400


async def test_of_one_that_recorded_nothing_there_is_nothing_to_be_found(pod: Pod) -> None:
    """Its deletion is told to nobody, and the next one of the name must start."""
    await leave(pod.storage)
    await pod.settled(UID)
    await asyncio.sleep(0.2)
    assert await pod.named() is None


async def test_what_is_still_written_is_not_found(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)}), closed=False), done=None)
    await asyncio.sleep(0.3)
    assert await pod.named() is None
    await pod.put(UID, recorder_gone=True)
    await pod.found(UID)


async def test_a_name_is_free_once_the_deletion_was_told(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})))
    await pod.found(UID)
    await pod.put(UID, deleted=True)
    assert await pod.named() is None
    await pod.put(UID)
    assert await pod.named() is None, "a late repetition changes nothing"
    assert [entry.key async for entry in pod.storage.list(keys.ENDED)] == []
    result = await load_finalized(pod.storage, UID)
    assert result is not None, "what it recorded stays"


async def test_one_that_is_deleted_before_it_has_ended_leaves_no_name(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)}), closed=False), done=None)
    await pod.put(UID, deleted=True, recorder_gone=True)
    await pod.settled(UID)
    await asyncio.sleep(0.2)
    assert await pod.named() is None


async def test_what_was_deleted_with_its_files_is_not_found(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})))
    await pod.found(UID)
    async with pod.session.delete(f"/v1/recordings/{UID}") as answer:
        assert answer.status in (200, 202)
    assert await pod.named() is None


async def test_of_two_of_a_name_the_latest_counts(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})))
    await pod.found(UID)
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})), uid=LATER)
    await pod.found(LATER)
    await pod.put(LATER, deleted=True)
    assert await pod.named() == UID


async def test_what_ended_under_a_former_version_gets_its_name_written_down(pod: Pod) -> None:
    await leave(pod.storage, file_entry(chunk(1, {0: span(0, 9)})))
    file = RecordedFile(index=1, name="f", state="Ready", started_at=START, ended_at=START)
    result = StoredResult(uid=UID, state="Done", files=[file])
    await pod.storage.put(keys.finalized_key(UID), result.to_json().encode())
    await pod.found(UID)
