"""Deletion to the end: through restarts, failures, and a recorder that comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StorageReason
from sluice_media.recording import keys
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import worker
from sluice_media.store.deletion import Deleter, Deletion, load_deletion
from sluice_media.store.finalize import FinalizeJob
from sluice_media.store.worker import Finisher
from tests.support.store_records import PREFIX, START, UID, chunk, file_entry, leave, span


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


@dataclass(slots=True)
class EndlessFinalizer:
    """A finaliser that runs until it is cancelled."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
        self.begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            self.ended.set()
        raise AssertionError


@pytest.fixture(autouse=True)
def finalizer(monkeypatch: pytest.MonkeyPatch) -> EndlessFinalizer:
    """Replace FFmpeg: the store begins to make the file before its deletion, or does not."""
    made = EndlessFinalizer()
    monkeypatch.setattr(worker, "finalize", made)
    return made


@asynccontextmanager
async def store(storage: ObjectStore, tmp_path: Path) -> AsyncIterator[tuple[Deleter, Finisher]]:
    async def nothing(_: str) -> None:
        return None

    finisher = Finisher(
        storage,
        tmp_path / "scratch",
        uri_base=str,
        on_change=lambda uid: None,
        on_busy=lambda uid: None,
        on_leftover=lambda uid: deleter.wake(uid),
        scan_seconds=0.05,
    )
    deleter = Deleter(
        storage,
        release=finisher.release,
        abort_uploads=nothing,
        on_change=lambda uid: None,
        scan_seconds=0.05,
    )
    tasks = [asyncio.create_task(finisher.run()), asyncio.create_task(deleter.run())]
    try:
        yield deleter, finisher
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


async def left(storage: ObjectStore) -> list[str]:
    return [entry.key async for entry in storage.list(keys.RECORDINGS)]


async def until_deleted(storage: ObjectStore) -> None:
    async with asyncio.timeout(20):
        while True:
            known = await load_deletion(storage, UID)
            if known is not None and known.done_at is not None and not await left(storage):
                return
            await asyncio.sleep(0.01)


async def test_a_deletion_that_was_interrupted_goes_on_after_a_restart(
    storage: ObjectStore, tmp_path: Path
) -> None:
    await leave(storage, *(file_entry(chunk(n, {0: span(0, 9)}), index=n) for n in range(1, 4)))
    asked = Deletion(uid=UID, prefix=PREFIX, requested_at=START)
    await storage.put(keys.deletion_key(UID), asked.to_json().encode())
    async with store(storage, tmp_path):
        await until_deleted(storage)


async def test_what_a_recorder_of_a_lost_node_writes_afterwards_goes_too(
    storage: ObjectStore, tmp_path: Path
) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    async with store(storage, tmp_path) as (deleter, _):
        await deleter.request(UID, PREFIX)
        await until_deleted(storage)
        # Its objects may go while it still writes the next ones, and it may hear of that.
        with contextlib.suppress(StorageError):
            await leave(storage, file_entry(chunk(2, {0: span(0, 9)})), attempt="attempt2")
        await until_deleted(storage)


async def test_a_store_that_refuses_is_asked_again(
    storage: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = 3
    delete = ObjectStore.delete

    async def sick(self: ObjectStore, *names: str) -> None:
        nonlocal fails
        if fails:
            fails -= 1
            raise StorageError(StorageReason.SLOW_DOWN, "the store asks to slow down")
        await delete(self, *names)

    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    monkeypatch.setattr(ObjectStore, "delete", sick)
    async with store(storage, tmp_path) as (deleter, _):
        await deleter.request(UID, PREFIX)
        await until_deleted(storage)
    assert not fails


async def test_the_file_that_is_being_made_is_given_up(
    storage: ObjectStore, tmp_path: Path, finalizer: EndlessFinalizer
) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    async with store(storage, tmp_path) as (deleter, finisher):
        await asyncio.wait_for(finalizer.begun.wait(), 20)
        await deleter.request(UID, PREFIX)
        await until_deleted(storage)
        assert finalizer.ended.is_set()
        finisher.wake(UID)
        await asyncio.sleep(0.1)
        assert await left(storage) == []


async def test_the_word_of_it_goes_after_a_week(storage: ObjectStore, tmp_path: Path) -> None:
    for days, uid in ((6, "young"), (8, "old")):
        done = datetime.now(UTC) - timedelta(days=days)
        past = Deletion(uid=uid, prefix=f"recordings/{uid}", requested_at=done, done_at=done)
        await storage.put(keys.deletion_key(uid), past.to_json().encode())
    async with store(storage, tmp_path):
        async with asyncio.timeout(20):
            while await load_deletion(storage, "old") is not None:
                await asyncio.sleep(0.01)
        assert await load_deletion(storage, "young") is not None
