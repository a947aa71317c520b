"""Role ``store``: finishes recordings, watches its storage, and answers on its two ports."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from datetime import UTC, datetime

import structlog
from pydantic import SecretStr

from sluice_media.config import ConfigWatch
from sluice_media.contract import HUB_TOKEN_FILE, STORE_TOKEN_FILE, StoreConfig, StoreStatus
from sluice_media.settings import PodSettings
from sluice_media.signals import termination
from sluice_media.status import StatusBoard, serve_status
from sluice_media.store.http import StoreApi, serve_store
from sluice_media.store.keys import RECORDINGS, SCRATCH
from sluice_media.store.metrics import StoreMetrics
from sluice_media.store.target import Target, TargetError, open_claim
from sluice_media.store.worker import Finisher

__all__ = ["StoreRole", "serve"]

PROBE_SECONDS = 30.0
PROBE_AGAIN_SECONDS = 5.0
"""While the store cannot be written."""
USAGE_SECONDS = 60.0
_MAX_CHANGED = 200
_TICKING = frozenset({"used_bytes", "available_bytes"})
_log = structlog.get_logger(__name__)


async def serve(settings: PodSettings) -> None:
    """Runs until SIGTERM."""
    terminate = termination()
    await StoreRole(settings).run(terminate)


class StoreRole:
    def __init__(self, settings: PodSettings) -> None:
        self._settings = settings
        self._watch = ConfigWatch(StoreConfig, settings.config_file, settings.keys_dir)
        first = StoreStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC))
        self.board = StatusBoard(first, ticking=_TICKING)
        self.metrics = StoreMetrics()
        self._configured(self._watch.config)
        self._recount = asyncio.Event()

    async def run(self, terminate: asyncio.Event) -> None:
        target = await self._open(terminate)
        if target is None:
            return
        scratch = self._settings.store_dir / SCRATCH
        # What an interrupted finaliser left; its chunks are still there.
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        finisher = Finisher(
            target,
            scratch,
            uri_base=lambda: self._watch.config.uri_base,
            on_change=self._note_change,
            on_busy=self._note_busy,
            metrics=self.metrics,
        )
        api = StoreApi(target, token=self._store_token, on_told=finisher.wake)
        settings = self._settings
        async with (
            serve_status(
                board=self.board,
                token=lambda: self._watch.key(HUB_TOKEN_FILE),
                ready=lambda: self.board.status.writable,
                registry=self.metrics.registry,
                host=settings.bind,
                port=settings.status_port,
            ),
            serve_store(api, settings.bind, settings.store_port),
            asyncio.TaskGroup() as tasks,
        ):
            workers = [
                tasks.create_task(finisher.run()),
                tasks.create_task(self._probe_forever(target)),
                tasks.create_task(self._count_forever(target)),
                tasks.create_task(self._follow_config()),
            ]
            await terminate.wait()
            for worker in workers:
                worker.cancel()

    async def _open(self, terminate: asyncio.Event) -> Target | None:
        while not terminate.is_set():
            try:
                return open_claim(self._settings.store_dir)
            except TargetError as error:
                _log.error("store_not_usable", reason=error.reason, error=str(error))
                await asyncio.sleep(1.0)
        return None

    # ------------------------------------------------------------------ tasks

    async def _probe_forever(self, target: Target) -> None:
        while True:
            await self.probe(target)
            ok = self.board.status.writable
            await asyncio.sleep(PROBE_SECONDS if ok else PROBE_AGAIN_SECONDS)

    async def probe(self, target: Target) -> None:
        """Writes, reads and deletes a small object: what a recorder will do."""
        key = f".probe/{uuid.uuid4().hex}"
        payload = key.encode()
        try:
            await target.put(key, payload)
            if await target.get(key) != payload:
                raise TargetError("Corrupt", "the store gave back other bytes than were written")
            await target.delete(key)
        except TargetError as error:
            self.metrics.writable.set(0)
            if self.board.update(writable=False, reason=error.reason, message=str(error)):
                _log.error("store_not_writable", reason=error.reason, error=str(error))
        else:
            self.metrics.writable.set(1)
            self.board.update(writable=True, reason=None, message=None)

    async def _count_forever(self, target: Target) -> None:
        while True:
            self._recount.clear()
            try:
                used = 0
                async for entry in target.list(RECORDINGS):
                    used += entry.size_bytes
                available = await asyncio.to_thread(target.available_bytes)
                self.board.update(used_bytes=used, available_bytes=available)
                self.metrics.used_bytes.set(used)
                self.metrics.available_bytes.set(available or 0)
            except (TargetError, OSError) as error:
                _log.warning("usage_not_counted", error=str(error))
            try:
                await asyncio.wait_for(self._recount.wait(), USAGE_SECONDS)
            except TimeoutError:
                continue

    async def _follow_config(self) -> None:
        async for config in self._watch.changes():
            self._configured(config)

    # ------------------------------------------------------------------ status

    def _configured(self, config: StoreConfig) -> None:
        missing = None
        if self._store_token() is None:
            missing = ("SecretKeyMissing", "the store's token is not there yet")
        self.board.configured(config, missing)

    def _note_change(self, uid: str) -> None:
        changed = dict(self.board.status.changed)
        changed.pop(uid, None)
        changed[uid] = self.board.version + 1
        while len(changed) > _MAX_CHANGED:
            del changed[next(iter(changed))]
        self.board.update(changed=changed)
        self._recount.set()

    def _note_busy(self, uid: str | None) -> None:
        self.board.update(finalizing=uid)

    def _store_token(self) -> SecretStr | None:
        return self._watch.key(STORE_TOKEN_FILE) or self._watch.key(HUB_TOKEN_FILE)
