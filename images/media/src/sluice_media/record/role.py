"""Role ``record`` as PID 1: starts the worker, starts it again when it dies, passes SIGTERM on.

The kubelet's own restart back-off grows to minutes, longer than the hub's ring reaches back; this
supervisor needs 0.2 to 2 s.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import structlog

from sluice_media.settings import PodSettings

__all__ = ["serve"]

RETRY_MIN_SECONDS = 0.2
RETRY_MAX_SECONDS = 2.0
STABLE_SECONDS = 30.0
"""A worker that lived so long is restarted at once again."""
TERM_SECONDS = 20.0

_log = structlog.get_logger(__name__)


class RecorderStoppedError(SystemExit):
    """The pod was told to go before the Recording was over."""


async def serve(settings: PodSettings) -> None:
    """Returns when the Recording is over and stored.

    Raises RecorderStoppedError (exit code 143) when SIGTERM came first."""
    terminate = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, terminate.set)
    loop.add_signal_handler(signal.SIGINT, terminate.set)
    delay = RETRY_MIN_SECONDS
    while not terminate.is_set():
        began = time.monotonic()
        code = await _run_worker(settings, terminate)
        _reap_orphans()
        if code == 0:
            return
        if terminate.is_set():
            break
        if time.monotonic() - began > STABLE_SECONDS:
            delay = RETRY_MIN_SECONDS
        _log.error("worker_died", code=code, again_in_seconds=delay)
        try:
            await asyncio.wait_for(terminate.wait(), delay)
        except TimeoutError:
            delay = min(delay * 2, RETRY_MAX_SECONDS)
    raise RecorderStoppedError(128 + signal.SIGTERM)


async def _run_worker(settings: PodSettings, terminate: asyncio.Event) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sluice_media.record.worker", env=_environment(settings)
    )
    gone = asyncio.create_task(process.wait())
    told = asyncio.create_task(terminate.wait())
    try:
        await asyncio.wait((gone, told), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            process.terminate()
            await asyncio.wait((gone,), timeout=TERM_SECONDS)
        if not gone.done():
            process.kill()
        return await gone
    finally:
        told.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment(settings: PodSettings) -> dict[str, str]:
    """The worker's environment: ours, and the settings as this process has them (no keys)."""
    given = {
        f"SLUICE_{name.upper()}": str(value)
        for name, value in settings.model_dump().items()
        if name != "pod_uid"
    }
    return {**os.environ, **given, "POD_UID": settings.pod_uid}


def _reap_orphans() -> None:
    """As PID 1 we inherit the children of dead workers."""
    if os.getpid() != 1:
        return
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
