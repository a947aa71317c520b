"""Finishes recordings, one file after another, whether or not anybody asks.

It finds work by being told (:meth:`Finisher.wake`) and by looking through the storage now and
then, and every step can be repeated: an MP4 that was made but not noted is made again, chunks that
should be gone are deleted again. What has its term goes the same way (:mod:`.shelf`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.merge import MergedFile
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store import originals as shelf
from sluice_media.store.catalog import (
    RecordingView,
    load_request,
    load_settled,
    load_view,
    recording_uids,
)
from sluice_media.store.chunk_source import ChunkError, ChunkId, Loss
from sluice_media.store.deletion import deleted_uids
from sluice_media.store.ended import EndedNames
from sluice_media.store.finalize import FinalizeJob, end_of, finalize
from sluice_media.store.headroom import folder_of
from sluice_media.store.losses import find_rest, with_holes, with_losses
from sluice_media.store.metrics import StoreMetrics
from sluice_media.store.results import prefix_of
from sluice_media.store.retention import kept_until, next_due
from sluice_media.store.unnamed import take_back
from sluice_media.store.verify import FinalizeError, UnitsDifferError

SCAN_SECONDS = 60.0
_RETRY_MIN_SECONDS = 5.0
_RETRY_MAX_SECONDS = 600.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Retry:
    delay_seconds: float
    at: float
    """Monotonic time."""


class Finisher:
    """The store's worker. ``on_change`` hears of every recording whose result is another one now;
    ``on_busy`` of the one that is worked on, or None; ``on_leftover`` of one that was deleted and
    is there again."""

    def __init__(
        self,
        storage: ObjectStore,
        scratch: Path,
        *,
        uri_base: Callable[[], str],
        scratch_limit_bytes: Callable[[], int | None] = lambda: None,
        on_change: Callable[[str], None],
        on_busy: Callable[[str | None], None],
        on_leftover: Callable[[str], None] = lambda uid: None,
        abort_uploads: Callable[[str], Coroutine[None, None, None]] | None = None,
        metrics: StoreMetrics | None = None,
        scan_seconds: float = SCAN_SECONDS,
        retry_seconds: float | None = None,
    ) -> None:
        """``abort_uploads``: ends what an interrupted finaliser left of an MP4's upload."""
        self._storage = storage
        self._names = EndedNames(storage)
        self._scratch = scratch
        self._uri_base = uri_base
        self._scratch_limit_bytes = scratch_limit_bytes
        self._on_change = on_change
        self._on_busy = on_busy
        self._on_leftover = on_leftover
        self._abort_uploads = abort_uploads
        self._metrics = metrics or StoreMetrics()
        self._metrics.retries.set_function(lambda: len(self._retries))
        self._metrics.pending.set_function(lambda: len(self._told) + (self._busy is not None))
        self._scan_seconds = scan_seconds
        self._retry_seconds = retry_seconds or _RETRY_MIN_SECONDS
        self._next_scan = 0.0
        self._told: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._settled: set[str] = set()
        self._barred: set[str] = set()
        self._retries: dict[str, _Retry] = {}
        self._due: dict[str, datetime] = {}
        self._growing: dict[str, str] = {}
        self._busy: tuple[str, asyncio.Task[None]] | None = None
        self.making: str | None = None
        """Key of the MP4 that is being made, until its chunks are gone."""

    @property
    def growing(self) -> set[str]:
        """Folders in which a recorder writes."""
        return set(self._growing.values())

    def wake(self, uid: str) -> None:
        """There is news of this recording: look at it soon."""
        if uid not in self._barred:
            self._told[uid] = None
            self._settled.discard(uid)
            self._wake.set()

    async def release(self, uid: str) -> None:
        """Never looks at this recording again; returns when nothing of it is worked on."""
        self._barred.add(uid)
        for known in (self._told, self._retries, self._due, self._growing):
            known.pop(uid, None)
        self._settled.discard(uid)
        if self._busy is not None and self._busy[0] == uid:
            task = self._busy[1]
            task.cancel()
            await asyncio.wait((task,))

    def store_is_back(self) -> None:
        """What failed because of the store is tried again at once."""
        self._next_scan = 0.0
        for retry in self._retries.values():
            retry.at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Endless; cancel it."""
        while True:
            if time.monotonic() >= self._next_scan:
                pause = self._scan_seconds
                if not await self._scan():
                    pause = min(pause, _RETRY_MIN_SECONDS)
                self._next_scan = time.monotonic() + pause
            while self._told:
                uid = next(iter(self._told))
                del self._told[uid]
                await self._work_on(uid)
            self._wake.clear()
            now = time.monotonic()
            due = min([self._next_scan, *(retry.at for retry in self._retries.values())])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):
                    await self._wake.wait()
            for uid, retry in self._retries.items():
                if retry.at <= time.monotonic():
                    self._told[uid] = None

    async def _scan(self) -> bool:
        now = datetime.now(UTC)
        try:
            deleted = await deleted_uids(self._storage)
            # A request for deletion may be younger than this list.
            self._barred |= deleted
            for uid in await recording_uids(self._storage):
                if uid in deleted:
                    self._on_leftover(uid)
                elif uid in self._barred or uid in self._retries:
                    continue
                elif uid not in self._settled or (uid in self._due and self._due[uid] <= now):
                    self._told[uid] = None
        except StorageError as error:
            _log.warning("store_not_readable", reason=error.reason, error=str(error))
            return False
        return True

    async def _work_on(self, uid: str) -> None:
        """As a task, so that a deletion can end it without ending us."""
        task = asyncio.create_task(self._look_at(uid))
        self._busy = (uid, task)
        try:
            await asyncio.wait((task,))
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            self._busy = None
            self._on_busy(None)
        if not task.cancelled():
            task.result()

    async def _look_at(self, uid: str) -> None:
        try:
            settled = await load_settled(self._storage, uid)
            if settled is not None:
                await self._keep(uid, settled)
                return
            await self._finish(await load_view(self._storage, uid))
        except StorageError as error:
            _log.warning("recording_not_finished", recording=uid, error=str(error))
            self._retry_later(uid)

    async def _keep(self, uid: str, settled: StoredResult) -> None:
        """Looks after the terms of a recording that is finished."""
        await self._names.note(uid, settled)
        told = await load_request(self._storage, uid)
        files = await shelf.expire(self._storage, uid, settled.files, told, datetime.now(UTC))
        changed = settled.model_copy(update={"files": files})
        until = kept_until(settled.kept_since, told) if settled.kept_since is not None else None
        if until is not None and until <= datetime.now(UTC):
            await shelf.delete_kept(self._storage, await prefix_of(self._storage, uid))
            changed = changed.model_copy(update={"kept_chunks": 0, "kept_since": None})
        if changed != settled:
            await self._storage.put(keys.settled_key(uid), changed.to_json().encode())
            self._on_change(uid)
        self._settle(uid, changed, told)

    async def _finish(self, view: RecordingView) -> None:
        uid = view.uid
        if await take_back(self._storage, view, view.unfinished_files()):
            view = await load_view(self._storage, uid)
        if view.may_grow:
            self._growing[uid] = folder_of(view.prefix)
        else:
            self._growing.pop(uid, None)
        failed = False
        for file in view.unfinished_files():
            self._on_busy(uid)
            self.making = keys.mp4_key(view.prefix, uid, file.index)
            try:
                state = await self._finish_file(view, file)
            finally:
                self.making = None
            if state == "Failed" and not view.results[file.index].final:
                failed = True
            else:  # what it takes up is another figure now
                self._on_change(uid)
        await self._expire(view)
        if view.is_settled:
            await self._conclude(view)
        elif failed:
            self._retry_later(uid)
        else:
            self._retries.pop(uid, None)

    async def _finish_file(self, view: RecordingView, file: MergedFile) -> str:
        """Returns the file's state."""
        before = view.results.get(file.index)
        result = await self._result(view, file)
        view.results[file.index] = result
        if result != before:
            key = keys.result_key(view.prefix, file.index)
            await self._storage.put(key, result.to_json().encode())
            self._on_change(view.uid)
        if result.original_uri is None:
            await shelf.delete_originals(self._storage, view, file)
        return result.state

    async def _result(self, view: RecordingView, file: MergedFile) -> RecordedFile:
        if view.is_discarded:
            # A session's file may have been finished before the user stopped the recording.
            await self._storage.delete(keys.mp4_key(view.prefix, view.uid, file.index))
            return _outcome(view, file, "Discarded")
        if (made := await shelf.load_made(self._storage, view, file)) is not None:
            return made
        result, rest = await self._make(view, file)
        # A file that cannot be made into an MP4 can be watched all the same.
        keep = view.request is not None and view.request.keep_original
        if keep or result.state == "Failed":
            playlist = await shelf.write_playlist(self._storage, view, rest)
            uri = f"{self._uri_base()}{playlist}"
            result = result.model_copy(update={"original_uri": uri})
        if result.state == "Ready":
            await shelf.write_manifest(self._storage, view, rest, result)
        return result

    async def _make(self, view: RecordingView, file: MergedFile) -> tuple[RecordedFile, MergedFile]:
        """The MP4 of all chunks that are there, and the file that they are."""
        lost: dict[ChunkId, Loss] = {}
        rest = file
        try:
            while True:
                rest = await find_rest(
                    self._storage, view.prefix, file, view.journals, view.chunks, lost
                )
                # Without a gap, other attempts hold the same units.
                felt = lost if len(rest.gaps) > len(file.gaps) else {}
                if view.journal_faults:
                    rest = with_holes(rest)
                if not rest.chunks:
                    words = f"none of its {len(file.chunks)} chunks can be read: {ChunkError(lost)}"
                    failed = self._failed(view, file, words, final=True)
                    return failed.model_copy(update={"lost_chunks": len(lost)}), file
                try:
                    result = await self._finalized(view, rest)
                    return (with_losses(result, file, felt) if felt else result), rest
                except ChunkError as error:
                    _log.error("chunks_lost", recording=view.uid, file=file.index, error=str(error))
                    lost |= error.lost
        except (FinalizeError, StorageError) as error:
            before = view.results.get(file.index)
            again = before is not None and before.message == str(error)
            final = again and isinstance(error, UnitsDifferError)
            return self._failed(view, file, str(error), final=final), rest

    def _failed(
        self, view: RecordingView, file: MergedFile, words: str, *, final: bool
    ) -> RecordedFile:
        self._metrics.finalize_failures.inc()
        words += "; it is not tried again" if final else ""
        _log.error("file_not_finalized", recording=view.uid, file=file.index, error=words)
        return _outcome(view, file, "Failed", words, final=final)

    async def _finalized(self, view: RecordingView, file: MergedFile) -> RecordedFile:
        """Raises ChunkError, FinalizeError and StorageError."""
        head = view.head
        job = FinalizeJob(
            recording_uid=view.uid,
            prefix=view.prefix,
            stream_title=(head.stream_title or head.stream_name) if head else "",
            uri_base=self._uri_base(),
            file=file,
            scratch_limit_bytes=self._scratch_limit_bytes(),
        )
        began = time.monotonic()
        if self._abort_uploads is not None:
            await self._abort_uploads(job.key)
        result = await finalize(self._storage, job, self._scratch)
        seconds = round(time.monotonic() - began, 3)
        self._metrics.finalize_seconds.observe(seconds)
        self._metrics.finalized_bytes.inc(result.size_bytes or 0)
        timings = job.timings
        _log.info(
            "file_finalized",
            recording=view.uid,
            file=file.index,
            seconds=seconds,
            remux_seconds=round(timings.remux_seconds, 3),
            sync_seconds=round(timings.sync_seconds, 3),
            transfer_seconds=round(timings.transfer_seconds, 3),
        )
        return result

    async def _expire(self, view: RecordingView) -> None:
        files = list(view.results.values())
        now = datetime.now(UTC)
        after = await shelf.expire(self._storage, view.uid, files, view.request, now)
        view.results.update({file.index: file for file in after})
        if after != files:
            self._on_change(view.uid)

    async def _conclude(self, view: RecordingView) -> None:
        """The last step."""
        view.kept = await shelf.clear(self._storage, view, datetime.now(UTC))
        result: StoredResult = view.result()
        self._metrics.lost_chunks.inc(result.lost_chunks)
        self._metrics.kept_chunks.inc(result.kept_chunks)
        await self._storage.put(keys.settled_key(view.uid), result.to_json().encode())
        await self._names.note(view.uid, result)
        self._settle(view.uid, result, view.request)
        self._growing.pop(view.uid, None)
        self._on_change(view.uid)
        _log.info("recording_finished", recording=view.uid, files=len(result.files))

    def _settle(self, uid: str, result: StoredResult, told: StoredRecording | None) -> None:
        self._settled.add(uid)
        self._retries.pop(uid, None)
        due = next_due(result.files, told, result.kept_since)
        if due is None:
            self._due.pop(uid, None)
        else:
            self._due[uid] = due

    def _retry_later(self, uid: str) -> None:
        before = self._retries.get(uid)
        delay = min(before.delay_seconds * 2, _RETRY_MAX_SECONDS) if before else self._retry_seconds
        self._retries[uid] = _Retry(delay, time.monotonic() + delay)


def _outcome(
    view: RecordingView,
    file: MergedFile,
    state: Literal["Failed", "Discarded"],
    message: str | None = None,
    *,
    final: bool = False,
) -> RecordedFile:
    return RecordedFile(
        index=file.index,
        name=keys.mp4_name(view.uid, file.index),
        state=state,
        started_at=file.started_at,
        ended_at=end_of(file),
        duration_seconds=round(file.duration_seconds, 3),
        gaps=[gap.public() for gap in file.gaps],
        end_reason=file.end_reason,
        message=message,
        final=final,
    )
