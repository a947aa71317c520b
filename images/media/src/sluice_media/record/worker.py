"""One attempt at a Recording, as a process of its own: ``python -m sluice_media.record.worker``.

Exit code 0 says that the Recording is over and everything of it is in the store; anything else
asks for another attempt. SIGTERM means flush, store and go, never finish: a drained node and a
deleted pod look the same from here.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop

from sluice_media.config import ConfigWatch
from sluice_media.contract import HUB_TOKEN_FILE, RecorderConfig, RecorderPhase, RecorderStatus
from sluice_media.logs import configure_logging
from sluice_media.record.journal import Completion
from sluice_media.record.metrics import RecordMetrics
from sluice_media.record.recorder import TICKING, Recorder
from sluice_media.record.recover import Recovered, recover
from sluice_media.settings import PodSettings
from sluice_media.status import StatusBoard, serve_status
from sluice_media.store.target import Target, TargetError, open_claim

__all__ = ["NOT_DONE", "work"]

NOT_DONE = 75
"""EX_TEMPFAIL of sysexits.h."""
_LAST_WORD_SECONDS = 2.0
"""How long the final status can be read before the process ends."""
_log = structlog.get_logger(__name__)


async def work(settings: PodSettings) -> int:
    """Runs one attempt; returns the exit code."""
    terminate = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate.set)
    watch = ConfigWatch(RecorderConfig, settings.config_file, settings.keys_dir)
    attempt = uuid.uuid4().hex[:16]
    structlog.contextvars.bind_contextvars(recording=watch.config.name, attempt=attempt)
    board = _board(settings, watch)
    metrics = RecordMetrics()
    async with _serve(settings, board, watch, metrics):
        target, recovered, spool = await _prepare(settings, watch, board, attempt, terminate)
        if target is None or recovered is None:
            return NOT_DONE
        if recovered.done is not None:
            done = True
            _publish_done(board, recovered.done)
        else:
            recorder = Recorder(
                watch=watch,
                board=board,
                target=target,
                spool=spool,
                attempt=attempt,
                recovered=recovered,
                hub_port=settings.hub_port,
                metrics=metrics,
            )
            done = await recorder.run(terminate)
        if done:
            await asyncio.sleep(_LAST_WORD_SECONDS)
    return 0 if done else NOT_DONE


def _board(
    settings: PodSettings, watch: ConfigWatch[RecorderConfig]
) -> StatusBoard[RecorderStatus]:
    board = StatusBoard(
        RecorderStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC)),
        ticking=TICKING,
    )
    board.configured(watch.config)
    return board


@asynccontextmanager
async def _serve(
    settings: PodSettings,
    board: StatusBoard[RecorderStatus],
    watch: ConfigWatch[RecorderConfig],
    metrics: RecordMetrics,
) -> AsyncIterator[None]:
    async with serve_status(
        board=board,
        token=lambda: watch.key(HUB_TOKEN_FILE),
        ready=lambda: True,
        registry=metrics.registry,
        host=settings.bind,
        port=settings.status_port,
    ):
        yield


async def _prepare(
    settings: PodSettings,
    watch: ConfigWatch[RecorderConfig],
    board: StatusBoard[RecorderStatus],
    attempt: str,
    terminate: asyncio.Event,
) -> tuple[Target | None, Recovered | None, Path]:
    """Reads what earlier attempts left, as often as it takes the store to answer."""
    spool = settings.spool_dir / watch.config.uid
    while not terminate.is_set():
        try:
            target = open_claim(settings.store_dir)
            spool.mkdir(parents=True, exist_ok=True)
            recovered = await recover(target, watch.config.prefix, spool, attempt)
        except TargetError as error:
            _log.warning("store_refuses", reason=error.reason, error=str(error))
            board.update(store_error=str(error))
        else:
            board.update(store_error=None)
            return target, recovered, spool
        await asyncio.sleep(1.0)
    return None, None, spool


def _publish_done(board: StatusBoard[RecorderStatus], done: Completion) -> None:
    board.update(
        phase=RecorderPhase.DONE,
        end_reason=done.end_reason,
        recording_started_at=done.recording_started_at,
        recording_duration=done.duration_seconds,
    )


def main() -> int:
    settings = PodSettings()
    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(role="record")
    return uvloop.run(work(settings))


if __name__ == "__main__":
    sys.exit(main())
