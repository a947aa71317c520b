"""Role ``store``: starts the finisher, the deleter, the counter, the probe and the two servers."""

from __future__ import annotations

import asyncio
import math
import shutil
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import SecretStr

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    STORE_TOKEN_FILE,
    ConfigErrorReason,
    StorageReason,
    StoreConfig,
    StoreStatus,
)
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import StatusBoard, serve_status
from sluice_media.recording.keys import PROBES, RECORDINGS
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import SCRATCH, ObjectStore, open_storage
from sluice_media.store.counting import Counter
from sluice_media.store.deletion import Deleter
from sluice_media.store.headroom import DiskSpace, Headroom, folder_of
from sluice_media.store.http import StoreApi, serve_store
from sluice_media.store.metrics import StoreMetrics
from sluice_media.store.uploads import UploadCleaner
from sluice_media.store.worker import Finisher

PROBE_SECONDS = 60.0
PROBE_AGAIN_SECONDS = 5.0
"""Interval of probes while the store cannot be written."""
_MAX_CHANGED = 200
_TICKING = frozenset({"used_bytes", "available_bytes", "seconds_to_full"})
_log = structlog.get_logger(__name__)


async def serve(settings: PodSettings) -> None:
    """Run until SIGTERM."""
    terminate = termination()
    await StoreRole(settings).run(terminate)


class StoreRole:
    """The parts of one store pod, and its status."""

    def __init__(self, settings: PodSettings) -> None:
        self._settings = settings
        self._watch = ConfigWatch(StoreConfig, settings.config_file, settings.keys_dir)
        first = StoreStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC))
        self.board = StatusBoard(first, ticking=_TICKING)
        self.metrics = StoreMetrics()
        self._configured(self._watch.config)
        self._probe_now = asyncio.Event()
        self._counter: Counter | None = None
        self._finisher: Finisher | None = None
        self._storage: ObjectStore | None = None

    async def run(self, terminate: asyncio.Event) -> None:
        """Run until ``terminate`` is set. The status is served from the start, so that it reports
        a store that cannot be opened."""
        settings = self._settings
        async with serve_status(
            board=self.board,
            token=lambda: self._watch.key(HUB_TOKEN_FILE),
            ready=lambda: self.board.status.writable,
            registry=self.metrics.registry,
            host=settings.bind,
            port=settings.status_port,
        ):
            following = asyncio.create_task(self._follow_config())
            try:
                storage = await self._open(terminate)
                if storage is not None:
                    await self._work(storage, terminate)
            finally:
                following.cancel()
                await asyncio.wait((following,))

    async def _work(self, storage: ObjectStore, terminate: asyncio.Event) -> None:
        settings, config = self._settings, self._watch.config
        scratch = self._scratch(config)
        # Delete the files of an interrupted finaliser; their chunks are still there.
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        cleaner = UploadCleaner(config.s3, settings.store_dir, self._watch.key)

        async def abort_uploads(prefix: str) -> None:
            await cleaner.abort(prefix)

        self._finisher = finisher = Finisher(
            storage,
            scratch,
            uri_base=lambda: self._watch.config.uri_base,
            scratch_limit_bytes=lambda: self._watch.config.scratch_limit_bytes,
            on_change=self._note_change,
            on_busy=self._note_busy,
            on_leftover=lambda uid: deleter.wake(uid),
            abort_uploads=abort_uploads,
            metrics=self.metrics,
        )
        deleter = Deleter(
            storage,
            release=finisher.release,
            abort_uploads=abort_uploads,
            on_change=self._note_change,
            metrics=self.metrics,
        )
        self._counter = Counter(
            storage,
            lambda: self._watch.config,
            lambda: finisher.growing,
            self._note_count,
            lambda: finisher.making,
        )
        api = StoreApi(storage, token=self._store_token, on_request=finisher.wake, deleter=deleter)
        async with (
            serve_store(api, settings.bind, settings.store_port),
            asyncio.TaskGroup() as tasks,
        ):
            workers = [
                tasks.create_task(finisher.run()),
                tasks.create_task(deleter.run()),
                tasks.create_task(cleaner.run()),
                tasks.create_task(self._counter.run()),
                tasks.create_task(self._probe_forever(storage)),
            ]
            await terminate.wait()
            for worker in workers:
                worker.cancel()

    def _scratch(self, config: StoreConfig) -> Path:
        """Return the scratch folder: on a claim beside the objects, so that an MP4 is only renamed;
        for a bucket on the pod's own disk."""
        if config.s3 is None:
            return self._settings.store_dir / SCRATCH
        return self._settings.spool_dir / "finalize"

    async def _open(self, terminate: asyncio.Event) -> ObjectStore | None:
        while not terminate.is_set():
            try:
                self._storage = self._opened()
            except StorageError as error:
                self._note_not_writable(error)
                await asyncio.sleep(1.0)
            else:
                return self._storage
        return None

    def _opened(self) -> ObjectStore:
        return open_storage(self._watch.config.s3, self._settings.store_dir, self._watch.key)

    # ------------------------------------------------------------------ tasks

    async def _probe_forever(self, storage: ObjectStore) -> None:
        while True:
            self._probe_now.clear()
            await self.probe(storage)
            pause = PROBE_SECONDS if self.board.status.writable else PROBE_AGAIN_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._probe_now.wait()
            except TimeoutError:
                continue

    async def probe(self, storage: ObjectStore) -> None:
        """Write, read, list and delete a small object, and report the result in the status."""
        key = f"{PROBES}/{self._settings.pod_uid or 'store'}"
        payload = f"{key} {datetime.now(UTC).isoformat()}".encode()
        try:
            await storage.put(key, payload)
            if await storage.get(key) != payload:
                raise StorageError(
                    StorageReason.INCOMPLETE, "the store returned other bytes than were written"
                )
            if key not in [entry.key async for entry in storage.list(PROBES)]:
                raise StorageError(
                    StorageReason.STORE_FAILED, "the store does not list what was written"
                )
            await storage.delete(key)
        except StorageError as error:
            self._note_not_writable(error)
        else:
            self.metrics.writable.set(1)
            if self.board.update(writable=True, reason=None, message=None) and self._finisher:
                self._finisher.store_is_back()

    async def _follow_config(self) -> None:
        """Apply changes of the configuration, such as another endpoint or authority. Changed
        credentials are read at each request."""
        async for config in self._watch.changes():
            self._configured(config)
            if self._storage is not None:
                try:
                    self._storage.switch_to(self._opened())
                except StorageError as error:
                    self._note_not_writable(error)
                    continue
            self._probe_now.set()
            if self._counter is not None:
                self._counter.measure_again()

    # ------------------------------------------------------------------ status

    def _configured(self, config: StoreConfig) -> None:
        missing = None
        if self._store_token() is None:
            missing = (
                ConfigErrorReason.SECRET_KEY_MISSING,
                "the Secret has no token for the store yet",
            )
        self.board.configured(config, missing)

    def _note_not_writable(self, error: StorageError) -> None:
        self.metrics.writable.set(0)
        if self.board.update(writable=False, reason=error.reason, message=str(error)):
            _log.error("store_not_writable", reason=error.reason, error=str(error))

    def _note_count(self, used: int, volume: DiskSpace | None, headroom: Headroom) -> None:
        available = volume.available_bytes if volume is not None else None
        self.board.update(
            used_bytes=used,
            available_bytes=available,
            headroom=headroom.word,
            limit_bytes=headroom.limit_bytes,
            seconds_to_full=headroom.seconds_to_full,
        )
        metrics, room = self.metrics, headroom.room_bytes
        metrics.used_bytes.set(used)
        metrics.available_bytes.set(available or 0)
        metrics.limit_bytes.set(headroom.limit_bytes or 0)
        metrics.headroom_bytes.set(room if room is not None else math.nan)

    def _note_change(self, uid: str) -> None:
        changed = dict(self.board.status.changed)
        changed.pop(uid, None)
        changed[uid] = self.board.version + 1
        while len(changed) > _MAX_CHANGED:
            del changed[next(iter(changed))]
        self.board.update(changed=changed)
        if self._counter is not None:
            self._counter.changed(folder_of(f"{RECORDINGS}/{uid}"))

    def _note_busy(self, uid: str | None) -> None:
        self.board.update(finalizing=uid)

    def _store_token(self) -> SecretStr | None:
        return self._watch.key(STORE_TOKEN_FILE) or self._watch.key(HUB_TOKEN_FILE)
