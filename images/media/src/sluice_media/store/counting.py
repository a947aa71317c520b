"""The count of a store's bytes, without listing the whole store each time.

Everything is listed at the start and every 15 minutes. In between, only folders that change are
listed: folders in which a recorder writes, every 30 s, and folders in which this pod has finished,
expired or deleted something. A list of a recording's folder is one request for 1000 objects. It
is cheaper than reading the journals, and shows the store's real content.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from sluice_media.contract import HeadroomState, StoreConfig
from sluice_media.recording.usage import StoreUsage, write_usage
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import SCRATCH, Entry, ObjectStore
from sluice_media.store.headroom import DiskSpace, FolderSizes, Headroom, folder_of, measure

FULL_COUNT_SECONDS = 900.0
GROWING_SECONDS = 30.0
MEASURE_SECONDS = 15.0
_RETRY_SECONDS = 15.0
_log = structlog.get_logger(__name__)


class Counter:
    """The counted sizes. Run :meth:`run` as a task. ``on_count`` is called with each new figure."""

    def __init__(
        self,
        storage: ObjectStore,
        config: Callable[[], StoreConfig],
        growing: Callable[[], set[str]],
        on_count: Callable[[int, DiskSpace | None, Headroom], None],
        making: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``growing`` returns the folders in which a recorder writes. ``making`` returns the key of
        an MP4 whose chunks still exist. The MP4 is not counted beside its chunks, because this
        short time must not end a recording near the limit."""
        self._storage = storage
        self._config = config
        self._growing = growing
        self._on_count = on_count
        self._making = making
        self._sizes = FolderSizes()
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._written: StoreUsage | None = None
        self._has_counted = False

    def changed(self, folder: str) -> None:
        """Count a folder again soon, because something in it was finished or deleted."""
        self._changed.add(folder)
        self._wake.set()

    def measure_again(self) -> None:
        """Measure again, because the limit has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Count until cancelled."""
        full_at = growing_at = 0.0
        while True:
            self._wake.clear()
            now = time.monotonic()
            try:
                if now >= full_at:
                    await self._count_everything()
                    full_at = time.monotonic() + FULL_COUNT_SECONDS
                    growing_at = now + GROWING_SECONDS
                elif now >= growing_at:
                    self._changed |= self._growing()
                    growing_at = now + GROWING_SECONDS
                while self._changed:
                    await self._count_folder(self._changed.pop())
                await self._measure()
                pause = MEASURE_SECONDS
            except (StorageError, OSError) as error:
                _log.warning("usage_not_counted", error=str(error))
                pause = _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _count_everything(self) -> None:
        folders: dict[str, int] = {}
        async for entry in self._storage.list():
            folder = folder_of(entry.key)
            folders[folder] = folders.get(folder, 0) + self._size(entry)
        self._sizes.replace(folders)
        self._sizes.sample(time.monotonic())
        self._has_counted = True

    async def _count_folder(self, folder: str) -> None:
        try:
            size = 0
            async for entry in self._storage.list(folder):
                size += self._size(entry)
        except StorageError:
            self._changed.add(folder)
            raise
        grows = folder in self._growing()
        self._sizes.update(folder, size, grows=grows, now=time.monotonic())

    def _size(self, entry: Entry) -> int:
        is_extra = entry.key == self._making() or entry.key.startswith(f"{SCRATCH}/")
        return 0 if is_extra else entry.size_bytes

    async def _measure(self) -> None:
        if not self._has_counted:
            return
        config = self._config()
        volume = await asyncio.to_thread(self._volume)
        used = self._sizes.used_bytes
        headroom = measure(
            self._sizes,
            limit_bytes=config.limit_bytes,
            volume=volume,
            warn_at_percent=config.warn_at_percent,
        )
        self._on_count(used, volume, headroom)
        usage = StoreUsage(
            used_bytes=used,
            limit_bytes=None if headroom.room_bytes is None else used + headroom.room_bytes,
            observed_at=datetime.now(UTC),
            exceeded=headroom.word == HeadroomState.EXCEEDED,
        )
        if not _is_unchanged(usage, self._written):
            await write_usage(self._storage, usage)
            self._written = usage

    def _volume(self) -> DiskSpace | None:
        capacity, available = self._storage.capacity_bytes(), self._storage.available_bytes()
        if capacity is None or available is None:
            return None
        return DiskSpace(capacity, available)


def _is_unchanged(usage: StoreUsage, written: StoreUsage | None) -> bool:
    return written is not None and usage == written.model_copy(
        update={"observed_at": usage.observed_at}
    )
