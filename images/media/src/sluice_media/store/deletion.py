"""The deletion of whole recordings, which continues after any interruption.

A request is stored first (``deleted/<uid>.json``), so that the next process continues it. For a
week after the deletion, this object records that nothing is left. A recorder on a lost node may
come back in that time and write; its objects are found and deleted too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from sluice_media.contract import Model, ResultState, StoredResult
from sluice_media.recording import keys
from sluice_media.storage.errors import StorageError
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.metrics import StoreMetrics

TOMBSTONE_DAYS = 7
_SCAN_SECONDS = 60.0
_BATCH = 200
_log = structlog.get_logger(__name__)


class Deletion(Model):
    """Content of ``deleted/<uid>.json``."""

    uid: str
    prefix: str
    requested_at: datetime
    done_at: datetime | None = None
    """None while objects may be left."""

    def result(self) -> StoredResult:
        return StoredResult(
            uid=self.uid,
            state=ResultState.DELETING if self.done_at is None else ResultState.DELETED,
        )


async def load_deletion(storage: ObjectStore, uid: str) -> Deletion | None:
    """Return the deletion of a recording; None when it was not requested. Raises StorageError."""
    return await load(storage, keys.deletion_key(uid), Deletion)


async def deleted_uids(storage: ObjectStore) -> set[str]:
    """Return the uids of recordings that were or are being deleted. Raises StorageError."""
    names = [entry.key.rpartition("/")[2] async for entry in storage.list(keys.DELETED)]
    return {name.removesuffix(".json") for name in names}


class Deleter:
    """The queue of deletions. Run :meth:`run` as a task.

    ``release`` waits until no work on a recording runs; ``abort_uploads`` aborts unfinished uploads
    below a prefix."""

    def __init__(
        self,
        storage: ObjectStore,
        *,
        release: Callable[[str], Awaitable[None]],
        abort_uploads: Callable[[str], Awaitable[None]],
        on_change: Callable[[str], None],
        metrics: StoreMetrics | None = None,
        scan_seconds: float = _SCAN_SECONDS,
    ) -> None:
        self._metrics = metrics or StoreMetrics()
        self._storage = storage
        self._release = release
        self._abort_uploads = abort_uploads
        self._on_change = on_change
        self._scan_seconds = scan_seconds
        self._queue: dict[str, None] = {}
        self._wake = asyncio.Event()

    async def request(self, uid: str, prefix: str) -> Deletion:
        """Request the deletion of a recording; may be repeated. Raises StorageError."""
        known = await load_deletion(self._storage, uid)
        if known is None:
            known = Deletion(uid=uid, prefix=prefix, requested_at=datetime.now(UTC))
            await self._storage.put(keys.deletion_key(uid), known.to_json().encode())
        self.wake(uid)
        return known

    def wake(self, uid: str) -> None:
        """Queue a recording that may have objects left."""
        self._queue[uid] = None
        self._wake.set()

    async def run(self) -> None:
        """Delete until cancelled."""
        next_scan = 0.0
        while True:
            self._wake.clear()
            if time.monotonic() >= next_scan:
                await self._scan()
                next_scan = time.monotonic() + self._scan_seconds
            while self._queue:
                uid = next(iter(self._queue))
                del self._queue[uid]
                try:
                    await self._delete(uid)
                except StorageError as error:  # the next scan finds it again
                    _log.warning("recording_not_deleted", recording=uid, error=str(error))
            try:
                async with asyncio.timeout(next_scan - time.monotonic()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _scan(self) -> None:
        try:
            for uid in await deleted_uids(self._storage):
                known = await load_deletion(self._storage, uid)
                if known is None:
                    continue
                if known.done_at is None:
                    self._queue[uid] = None
                elif datetime.now(UTC) - known.done_at > timedelta(days=TOMBSTONE_DAYS):
                    await self._storage.delete(keys.deletion_key(uid))
        except StorageError as error:
            _log.warning("deletions_not_readable", reason=error.reason, error=str(error))

    async def _delete(self, uid: str) -> None:
        known = await load_deletion(self._storage, uid)
        if known is None:
            return
        await self._release(uid)
        await self._abort_uploads(known.prefix)
        own = f"{keys.RECORDINGS}/{uid}"
        count = 0
        # Repeat until the list is empty: each list is only one batch.
        while batch := await self._some_of(own) or await self._some_of(known.prefix):
            await self._storage.delete(*batch)
            count += len(batch)
        if known.done_at is None:
            self._metrics.deleted.inc()
        if known.done_at is None or count:
            done = known.model_copy(update={"done_at": datetime.now(UTC)})
            await self._storage.put(keys.deletion_key(uid), done.to_json().encode())
            self._on_change(uid)
            _log.info("recording_deleted", recording=uid, objects=count)

    async def _some_of(self, prefix: str) -> list[str]:
        batch = []
        async for entry in self._storage.list(prefix):
            batch.append(entry.key)
            if len(batch) == _BATCH:
                break
        return batch
