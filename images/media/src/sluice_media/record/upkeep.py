"""The periodic tasks of a recorder: its head object, the fence, and the free space.

None of them may stop a recording: a request that the store refuses is retried later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sluice_media.contract import RecorderConfig, StorageReason
from sluice_media.record.fence import FENCE_SECONDS, Fence, Verdict
from sluice_media.record.space import SpaceEstimate
from sluice_media.record.uploader import Present, Uploader
from sluice_media.recording.journal import RecordingHead, recording_head
from sluice_media.recording.keys import head_key
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore

HEAD_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""Interval at which the free space is measured."""
USAGE_SECONDS = 30.0
FIRST_LOOK_SECONDS = 5.0
"""Maximum delay of a recording's start for the first measurement of the free space."""

_log = structlog.get_logger(__name__)


class Upkeep:
    """The periodic tasks of one attempt. They run until cancelled."""

    def __init__(
        self,
        storage: ObjectStore,
        *,
        config: Callable[[], RecorderConfig],
        head: RecordingHead | None,
        fence: Fence,
        space: SpaceEstimate,
        uploader: Uploader,
        store_is_away: bool = False,
    ) -> None:
        """``head`` is the head in the store. With ``store_is_away``, the first measurement is
        skipped."""
        self._storage = storage
        self._config = config
        self._head = head
        self._fence = fence
        self._space = space
        self._uploader = uploader
        self._store_is_away = store_is_away
        self._configured = asyncio.Event()

    def configured(self) -> None:
        """Note that the configuration has changed."""
        self._configured.set()

    async def keep_head(self) -> None:
        """Keep ``recording.json`` equal to the configuration."""
        while True:
            self._configured.clear()
            if await self._store_head(self._config()):
                await self._configured.wait()
            else:
                await asyncio.sleep(HEAD_SECONDS)

    async def _store_head(self, config: RecorderConfig) -> bool:
        head = recording_head(config, self._head)
        if head == self._head:
            return True
        try:
            await self._storage.put(head_key(config.prefix), head.to_json().encode())
        except StorageError as error:
            _log.warning("head_not_stored", reason=error.reason)
            return False
        self._head = head
        return True

    async def keep_fence(self) -> None:
        """Set ``overtaken`` when another attempt is in charge, and write signs of life."""
        while True:
            await asyncio.sleep(FENCE_SECONDS)
            try:
                verdict = await self._fence.verdict()
            except StorageError:
                continue  # other attempts cannot reach the store either
            if self._uploader.completed.is_set():
                return
            if verdict is not Verdict.IN_CHARGE:
                _log.warning("overtaken", verdict=verdict.value)
                self._uploader.overtaken.set()
                return
            if self._uploader.is_idle:
                self._uploader.put(Present())

    async def first_look(self) -> None:
        if self._store_is_away:
            return
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._space.refresh()
        except TimeoutError:
            _log.warning("usage_not_readable", reason=StorageReason.TIMEOUT)

    async def keep_space(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks % round(USAGE_SECONDS / LOOK_SECONDS):
                await self._space.look()
            else:
                await self._space.refresh()
