"""The store's worker: finishes recordings, one file after another.

It finds work through :meth:`Finisher.wake` and by a regular scan of the storage. Every step can be
repeated: an MP4 that was made but not noted is made again, and chunks that should be gone are
deleted again. Files are deleted at the end of their retention (:mod:`.originals`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sluice_media.contract import FileState, RecordedFile, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.merge import MergedFile
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store import originals
from sluice_media.store.catalog import (
    RecordingView,
    load_finalized,
    load_request,
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
    """The queue of recordings to finish, and the work on them.

    ``on_change`` is called with each recording whose result has changed, ``on_busy`` with the one
    in work or None, ``on_leftover`` with a deleted recording that has objects again."""

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
        """``abort_uploads`` aborts the multipart upload of an interrupted finaliser."""
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
        self._metrics.pending.set_function(lambda: len(self._queue) + (self._busy is not None))
        self._scan_seconds = scan_seconds
        self._retry_seconds = retry_seconds or _RETRY_MIN_SECONDS
        self._next_scan = 0.0
        self._queue: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._finalized: set[str] = set()
        self._barred: set[str] = set()
        self._retries: dict[str, _Retry] = {}
        self._due: dict[str, datetime] = {}
        self._growing: dict[str, str] = {}
        self._busy: tuple[str, asyncio.Task[None]] | None = None
        self.making: str | None = None
        """Key of the MP4 in work, until its chunks are deleted; None when there is none."""

    @property
    def growing(self) -> set[str]:
        """The folders in which a recorder writes."""
        return set(self._growing.values())

    def wake(self, uid: str) -> None:
        """Queue a recording that has changed."""
        if uid not in self._barred:
            self._queue[uid] = None
            self._finalized.discard(uid)
            self._wake.set()

    async def release(self, uid: str) -> None:
        """Exclude a recording from all work, and wait until no work on it runs."""
        self._barred.add(uid)
        for known in (self._queue, self._retries, self._due, self._growing):
            known.pop(uid, None)
        self._finalized.discard(uid)
        if self._busy is not None and self._busy[0] == uid:
            task = self._busy[1]
            task.cancel()
            await asyncio.wait((task,))

    def store_is_back(self) -> None:
        """Retry all failed recordings at once, because the store can be written again."""
        self._next_scan = 0.0
        for retry in self._retries.values():
            retry.at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            if time.monotonic() >= self._next_scan:
                pause = self._scan_seconds
                if not await self._scan():
                    pause = min(pause, _RETRY_MIN_SECONDS)
                self._next_scan = time.monotonic() + pause
            while self._queue:
                uid = next(iter(self._queue))
                del self._queue[uid]
                await self._work_on(uid)
            self._wake.clear()
            now = time.monotonic()
            due = min([self._next_scan, *(retry.at for retry in self._retries.values())])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - now):
                    await self._wake.wait()
            for uid, retry in self._retries.items():
                if retry.at <= time.monotonic():
                    self._queue[uid] = None

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
                elif uid not in self._finalized or (uid in self._due and self._due[uid] <= now):
                    self._queue[uid] = None
        except StorageError as error:
            _log.warning("store_not_readable", reason=error.reason, error=str(error))
            return False
        return True

    async def _work_on(self, uid: str) -> None:
        """Work on a recording in a task, which a deletion can cancel."""
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
            finalized = await load_finalized(self._storage, uid)
            if finalized is not None:
                await self._keep(uid, finalized)
                return
            await self._finish(await load_view(self._storage, uid))
        except StorageError as error:
            _log.warning("recording_not_finished", recording=uid, error=str(error))
            self._retry_later(uid)

    async def _keep(self, uid: str, finalized: StoredResult) -> None:
        """Apply the retention of a finished recording."""
        await self._names.note(uid, finalized)
        request = await load_request(self._storage, uid)
        files = await originals.expire(
            self._storage, uid, finalized.files, request, datetime.now(UTC)
        )
        changed = finalized.model_copy(update={"files": files})
        until = (
            kept_until(finalized.kept_since, request) if finalized.kept_since is not None else None
        )
        if until is not None and until <= datetime.now(UTC):
            await originals.delete_kept(self._storage, await prefix_of(self._storage, uid))
            changed = changed.model_copy(update={"kept_chunks": 0, "kept_since": None})
        if changed != finalized:
            await self._storage.put(keys.finalized_key(uid), changed.to_json().encode())
            self._on_change(uid)
        self._note_finalized(uid, changed, request)

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
            if state == FileState.FAILED and not view.results[file.index].final:
                failed = True
            else:  # its size in the store has changed
                self._on_change(uid)
        await self._expire(view)
        if view.is_finalized:
            await self._conclude(view)
        elif failed:
            self._retry_later(uid)
        else:
            self._retries.pop(uid, None)

    async def _finish_file(self, view: RecordingView, file: MergedFile) -> str:
        """Finish one file, and return its state."""
        before = view.results.get(file.index)
        result = await self._result(view, file)
        view.results[file.index] = result
        if result != before:
            key = keys.result_key(view.prefix, file.index)
            await self._storage.put(key, result.to_json().encode())
            self._on_change(view.uid)
        if result.original_uri is None:
            await originals.delete_originals(self._storage, view, file)
        return result.state

    async def _result(self, view: RecordingView, file: MergedFile) -> RecordedFile:
        if view.is_discarded:
            # A session's file may have been finished before the user stopped the recording.
            await self._storage.delete(keys.mp4_key(view.prefix, view.uid, file.index))
            return _outcome(view, file, FileState.DISCARDED)
        if (made := await originals.load_made(self._storage, view, file)) is not None:
            return made
        result, rest = await self._make(view, file)
        # A file that cannot be made into an MP4 can be watched all the same.
        keep = view.request is not None and view.request.keep_original
        if keep or result.state == FileState.FAILED:
            playlist = await originals.write_playlist(self._storage, view, rest)
            uri = f"{self._uri_base()}{playlist}"
            result = result.model_copy(update={"original_uri": uri})
        if result.state == FileState.READY:
            await originals.write_manifest(self._storage, view, rest, result)
        return result

    async def _make(self, view: RecordingView, file: MergedFile) -> tuple[RecordedFile, MergedFile]:
        """Make the MP4 of all chunks that are there. Return its result and the merged file."""
        lost: dict[ChunkId, Loss] = {}
        rest = file
        try:
            while True:
                rest = await find_rest(self._storage, view, file, lost)
                # Without a gap, other attempts hold the same units.
                felt = lost if len(rest.gaps) > len(file.gaps) else {}
                if view.journal_faults:
                    rest = with_holes(rest)
                if not rest.chunks:
                    message = (
                        f"none of its {len(file.chunks)} chunks can be read: {ChunkError(lost)}"
                    )
                    failed = self._failed(view, file, message, final=True)
                    return failed.model_copy(update={"lost_chunks": len(lost)}), file
                try:
                    result = await self._run_finalizer(view, rest)
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
        self, view: RecordingView, file: MergedFile, message: str, *, final: bool
    ) -> RecordedFile:
        self._metrics.finalize_failures.inc()
        message += "; it is not tried again" if final else ""
        _log.error("file_not_finalized", recording=view.uid, file=file.index, error=message)
        return _outcome(view, file, FileState.FAILED, message, final=final)

    async def _run_finalizer(self, view: RecordingView, file: MergedFile) -> RecordedFile:
        """Make one MP4. Raises ChunkError, FinalizeError and StorageError."""
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
        after = await originals.expire(self._storage, view.uid, files, view.request, now)
        view.results.update({file.index: file for file in after})
        if after != files:
            self._on_change(view.uid)

    async def _conclude(self, view: RecordingView) -> None:
        """Store the final result of a recording: the last step."""
        view.kept = await originals.clear_finished(self._storage, view, datetime.now(UTC))
        result: StoredResult = view.result()
        self._metrics.lost_chunks.inc(result.lost_chunks)
        self._metrics.kept_chunks.inc(result.kept_chunks)
        await self._storage.put(keys.finalized_key(view.uid), result.to_json().encode())
        await self._names.note(view.uid, result)
        self._note_finalized(view.uid, result, view.request)
        self._growing.pop(view.uid, None)
        self._on_change(view.uid)
        _log.info("recording_finished", recording=view.uid, files=len(result.files))

    def _note_finalized(
        self, uid: str, result: StoredResult, request: StoredRecording | None
    ) -> None:
        self._finalized.add(uid)
        self._retries.pop(uid, None)
        due = next_due(result.files, request, result.kept_since)
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
    state: FileState,
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
