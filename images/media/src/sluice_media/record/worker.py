"""The process that runs attempts at a Recording: ``python -m sluice_media.record.worker``.

Exit code 0 means that the Recording is over and everything is in the store; any other code asks
for a restart. On SIGTERM the process flushes, stores and exits, but does not finish the Recording,
because a drained node and a deleted pod cannot be told apart here. A spool that fails ends the
attempt, not the process, which has to report the fault.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    RecorderConfig,
    RecorderPhase,
    RecorderStatus,
    StorageReason,
)
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.logs import configure_logging
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.status_server import StatusBoard, serve_status
from sluice_media.record.fence import SILENT_SECONDS, STANDBY_SECONDS, Fence, Verdict
from sluice_media.record.ledger import Ledger
from sluice_media.record.metrics import RecordMetrics
from sluice_media.record.recover import Recovered, recover
from sluice_media.record.runner import Outcome, Recorder
from sluice_media.record.spool import SpoolFault, held_bytes
from sluice_media.record.status import TICKING
from sluice_media.recording.journal import Completion
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, open_storage

NOT_DONE = 75
"""EX_TEMPFAIL of sysexits.h."""
_LAST_WORD_SECONDS = 2.0
"""Time for which the final status can be read before the process exits."""
_RETRY_SECONDS = 1.0
_STORE_SECONDS = 5.0
"""Timeout for reading the journals in the store, when this pod's ledger has them too."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class _Prepared:
    storage: ObjectStore
    recovered: Recovered
    attempt: str


async def work(settings: PodSettings) -> int:
    """Run attempts until the Recording is over, and return the exit code."""
    terminate = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate.set)
    worker = _Worker(settings, terminate)
    async with worker.serve():
        done = await worker.run()
        if done:
            await asyncio.sleep(_LAST_WORD_SECONDS)
    return 0 if done else NOT_DONE


class _Worker:
    def __init__(self, settings: PodSettings, terminate: asyncio.Event) -> None:
        self._settings = settings
        self._terminate = terminate
        self._watch = ConfigWatch(RecorderConfig, settings.config_file, settings.keys_dir)
        self._spool: Path = settings.spool_dir / self._watch.config.uid
        self._board = StatusBoard(
            RecorderStatus(
                pod_uid=settings.pod_uid,
                version=0,
                observed_at=datetime.now(UTC),
                earlier_unknown=True,
            ),
            ticking=TICKING,
        )
        self._board.configured(self._watch.config)
        uid, prefix = self._watch.config.uid, self._watch.config.prefix
        self._ledger = Ledger(settings.spool_dir / f"{uid}.known", prefix)
        self._metrics = RecordMetrics()
        structlog.contextvars.bind_contextvars(recording=self._watch.config.name)

    def serve(self) -> AbstractAsyncContextManager[object]:
        return serve_status(
            board=self._board,
            token=lambda: self._watch.key(HUB_TOKEN_FILE),
            ready=lambda: True,
            registry=self._metrics.registry,
            host=self._settings.bind,
            port=self._settings.status_port,
        )

    async def run(self) -> bool:
        """Run attempt after attempt. Return True when the Recording is over, False on SIGTERM."""
        fault: SpoolFault | None = None
        while (prepared := await self._prepare()) is not None:
            if prepared.recovered.done is not None:
                self._publish_done(prepared.recovered.done)
                return True
            recorder = Recorder(
                watch=self._watch,
                board=self._board,
                storage=prepared.storage,
                spool=self._spool,
                attempt=prepared.attempt,
                recovered=prepared.recovered,
                hub_port=self._settings.hub_port,
                ledger=self._ledger,
                metrics=self._metrics,
                spool_fault=fault,
            )
            outcome = await recorder.run(self._terminate)
            if outcome is Outcome.DONE:
                return True
            fault = recorder.spool_fault
            if outcome is Outcome.OVERTAKEN:
                self._ledger.forget()
                await self._stand_by(recorder.fence)
            else:
                await self._pause(_RETRY_SECONDS)
        return False

    async def _prepare(self) -> _Prepared | None:
        """Read the state of earlier attempts, with retries. Return None on SIGTERM."""
        while not self._terminate.is_set():
            attempt = uuid.uuid4().hex[:16]
            structlog.contextvars.bind_contextvars(attempt=attempt)
            try:
                storage = self._open_target()
                self._spool.mkdir(parents=True, exist_ok=True)
                return _Prepared(storage, await self._recover(storage, attempt), attempt)
            except StorageError as error:
                _log.warning("store_refuses", reason=error.reason, error=str(error))
                self._board.update(
                    store_error=str(error),
                    store_error_reason=error.reason,
                    pending_bytes=await asyncio.to_thread(held_bytes, self._spool),
                )
            except OSError as error:
                fault = SpoolFault.of(error)
                _log.error("spool_broken", reason=fault.reason)
                self._board.update(store_error=str(fault), store_error_reason=fault.reason)
            await self._pause(_RETRY_SECONDS)
        return None

    async def _recover(self, storage: ObjectStore, attempt: str) -> Recovered:
        """Return the state in the store, or that in this pod's ledger when the store does not
        answer.

        Raises StorageError when neither is available, and OSError."""
        prefix = self._watch.config.prefix
        known = self._ledger.is_usable
        asking = asyncio.ensure_future(recover(storage, prefix, self._spool, attempt))
        try:
            if not (await asyncio.wait((asking,), timeout=_STORE_SECONDS))[0]:
                if known:
                    raise StorageError(StorageReason.TIMEOUT, "the store did not answer in time")
                message = "the store has not returned yet what was recorded before"
                self._board.update(store_error=message, store_error_reason=StorageReason.TIMEOUT)
            recovered = await asking
        except StorageError as error:
            if not known:
                raise
            _log.warning("continuing_without_store", reason=error.reason)
        else:
            await asyncio.to_thread(self._ledger.learn, recovered.journals)
            return recovered
        finally:
            # It must have ended by now, because it moves files in the spool.
            asking.cancel()
            await asyncio.wait((asking,))
        recovered = await recover(self._ledger.storage(), prefix, self._spool, attempt)
        recovered.store_is_away = True
        return recovered

    def _open_target(self) -> ObjectStore:
        return open_storage(self._watch.config.s3, self._settings.store_dir, self._watch.key)

    async def _stand_by(self, fence: Fence) -> None:
        """Wait until the Recording is over, or the attempt in charge gives no sign of life."""
        _log.info("standing_by")
        sign: object = None
        since = time.monotonic()
        while not self._terminate.is_set():
            try:
                if await fence.verdict() is not Verdict.SUPERSEDED:
                    return
                now_sign = await fence.sign_of_life()
            except StorageError:
                now_sign = None  # the attempt in charge cannot write either
            if now_sign is None or now_sign != sign:
                sign, since = now_sign, time.monotonic()
            elif time.monotonic() - since > SILENT_SECONDS:
                _log.warning("attempt_in_charge_is_silent")
                return
            await self._pause(STANDBY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._terminate.wait()
        except TimeoutError:
            return

    def _publish_done(self, done: Completion) -> None:
        self._board.update(
            phase=RecorderPhase.DONE,
            end_reason=done.end_reason,
            recording_started_at=done.recording_started_at,
            recording_duration=done.duration_seconds,
            earlier_unknown=False,
        )


def main() -> int:
    settings = PodSettings()
    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(role="record")
    # Imported modules stay for the life of the process; the garbage collector can skip them.
    gc.freeze()
    return uvloop.run(work(settings))


if __name__ == "__main__":
    sys.exit(main())
