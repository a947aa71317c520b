"""Finishes recordings, one file after another, whether or not anybody asks.

It finds work by being told (:meth:`Finisher.wake`) and by looking through the storage now and
then, and every step can be repeated: an MP4 that was made but not noted is made again, chunks that
should be gone are deleted again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from sluice_media.contract import RecordedFile, StoredResult
from sluice_media.record.merge import MergedFile
from sluice_media.store import keys
from sluice_media.store.catalog import (
    RecordingView,
    load_settled,
    load_view,
    recording_uids,
)
from sluice_media.store.finalize import FinalizeError, FinalizeJob, end_of, finalize
from sluice_media.store.metrics import StoreMetrics
from sluice_media.store.target import Target, TargetError

__all__ = ["Finisher"]

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
    ``on_busy`` of the one that is worked on, or None."""

    def __init__(
        self,
        target: Target,
        scratch: Path,
        *,
        uri_base: Callable[[], str],
        on_change: Callable[[str], None],
        on_busy: Callable[[str | None], None],
        metrics: StoreMetrics | None = None,
        scan_seconds: float = SCAN_SECONDS,
        retry_seconds: float = _RETRY_MIN_SECONDS,
    ) -> None:
        self._target = target
        self._scratch = scratch
        self._uri_base = uri_base
        self._on_change = on_change
        self._on_busy = on_busy
        self._metrics = metrics or StoreMetrics()
        self._metrics.pending.set_function(lambda: len(self._retries))
        self._scan_seconds = scan_seconds
        self._retry_seconds = retry_seconds
        self._told: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._settled: set[str] = set()
        self._retries: dict[str, _Retry] = {}

    def wake(self, uid: str) -> None:
        """There is news of this recording: look at it soon."""
        self._told[uid] = None
        self._settled.discard(uid)
        self._wake.set()

    async def run(self) -> None:
        """Endless; cancel it."""
        next_scan = 0.0
        while True:
            if time.monotonic() >= next_scan:
                await self._scan()
                next_scan = time.monotonic() + self._scan_seconds
            while self._told:
                uid = next(iter(self._told))
                del self._told[uid]
                await self._look_at(uid)
            self._wake.clear()
            now = time.monotonic()
            due = min([next_scan, *(retry.at for retry in self._retries.values())])
            try:
                await asyncio.wait_for(self._wake.wait(), max(0.0, due - now))
            except TimeoutError:
                for uid, retry in self._retries.items():
                    if retry.at <= time.monotonic():
                        self._told[uid] = None

    async def _scan(self) -> None:
        try:
            for uid in await recording_uids(self._target):
                if uid not in self._settled and uid not in self._retries:
                    self._told[uid] = None
        except TargetError as error:
            _log.warning("store_not_readable", reason=error.reason, error=str(error))

    async def _look_at(self, uid: str) -> None:
        try:
            if await load_settled(self._target, uid) is not None:
                self._settled.add(uid)
                self._retries.pop(uid, None)
                return
            await self._finish(await load_view(self._target, uid))
        except TargetError as error:
            _log.warning("recording_not_finished", recording=uid, error=str(error))
            self._retry_later(uid)
        finally:
            self._on_busy(None)

    async def _finish(self, view: RecordingView) -> None:
        failed = False
        for file in view.unfinished_files():
            self._on_busy(view.uid)
            before = view.results.get(file.index)
            if view.is_discarded:
                # A session's file may have been finished before the user stopped the recording.
                await self._target.delete(keys.mp4_key(view.prefix, view.uid, file.index))
                result = _discarded(view, file)
            else:
                result = await self._make(view, file)
            failed = failed or result.state == "Failed"
            view.results[file.index] = result
            if result != before:
                key = keys.result_key(view.prefix, file.index)
                await self._target.put(key, result.to_json().encode())
                self._on_change(view.uid)
            if result.state != "Failed":
                await self._delete_chunks(view, file)
        if view.is_settled:
            await self._settle(view)
        elif failed:
            self._retry_later(view.uid)
        else:
            self._retries.pop(view.uid, None)

    async def _make(self, view: RecordingView, file: MergedFile) -> RecordedFile:
        head = view.head
        job = FinalizeJob(
            recording_uid=view.uid,
            prefix=view.prefix,
            stream_title=(head.stream_title or head.stream_name) if head else "",
            uri_base=self._uri_base(),
            file=file,
        )
        began = time.monotonic()
        try:
            result = await finalize(self._target, job, self._scratch)
        except (FinalizeError, TargetError) as error:
            self._metrics.finalize_failures.inc()
            _log.error("file_not_finalized", recording=view.uid, file=file.index, error=str(error))
            return _failed(view, file, str(error))
        seconds = round(time.monotonic() - began, 3)
        self._metrics.finalize_seconds.observe(seconds)
        self._metrics.finalized_bytes.inc(result.size_bytes or 0)
        _log.info("file_finalized", recording=view.uid, file=file.index, seconds=seconds)
        return result

    async def _delete_chunks(self, view: RecordingView, file: MergedFile) -> None:
        """The chunks of one file, also those of attempts that lost against another one."""
        identity = (file.timeline, file.first_dts)
        await self._target.delete(
            *(
                keys.chunk_key(view.prefix, journal.attempt, chunk.name)
                for journal in view.journals
                for entry in journal.files
                if (entry.timeline, entry.first_dts) == identity
                for chunk in entry.chunks
            )
        )

    async def _settle(self, view: RecordingView) -> None:
        """The last step: whatever chunks are left belong to nothing."""
        async for entry in self._target.list(view.prefix):
            if entry.key.endswith(".ts"):
                await self._target.delete(entry.key)
        result: StoredResult = view.result()
        await self._target.put(keys.settled_key(view.uid), result.to_json().encode())
        self._settled.add(view.uid)
        self._retries.pop(view.uid, None)
        self._on_change(view.uid)
        _log.info("recording_finished", recording=view.uid, files=len(result.files))

    def _retry_later(self, uid: str) -> None:
        before = self._retries.get(uid)
        delay = min(before.delay_seconds * 2, _RETRY_MAX_SECONDS) if before else self._retry_seconds
        self._retries[uid] = _Retry(delay, time.monotonic() + delay)


def _outcome(view: RecordingView, file: MergedFile) -> dict[str, object]:
    return {
        "index": file.index,
        "name": keys.mp4_name(view.uid, file.index),
        "started_at": file.started_at,
        "ended_at": end_of(file),
        "duration_seconds": round(file.duration_seconds, 3),
        "gaps": [gap.public() for gap in file.gaps],
        "end_reason": file.end_reason,
    }


def _failed(view: RecordingView, file: MergedFile, message: str) -> RecordedFile:
    return RecordedFile.model_validate(
        {**_outcome(view, file), "state": "Failed", "message": message}
    )


def _discarded(view: RecordingView, file: MergedFile) -> RecordedFile:
    return RecordedFile.model_validate({**_outcome(view, file), "state": "Discarded"})
