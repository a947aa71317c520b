"""Role ``record`` as PID 1: starts the worker, restarts it when it dies, and forwards SIGTERM.

The kubelet's restart back-off grows to minutes, which is longer than the hub's ring; this
supervisor restarts within 0.2 to 2 s. It imports only light modules of the standard library,
because a producer waits for the recorder: a second import of the worker's modules took 0.5 s.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

RETRY_MIN_SECONDS = 0.2
RETRY_MAX_SECONDS = 2.0
STABLE_SECONDS = 30.0
"""Lifetime of a worker after which the restart delay is reset."""
TERM_SECONDS = 20.0
"""Time for the worker to flush and store after SIGTERM, before it is killed."""
WORKER = (sys.executable, "-m", "sluice_media.record.worker")


class Supervisor:
    """One command, which is restarted until it succeeds."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = list(command)
        self._worker: subprocess.Popen[bytes] | None = None
        self._terminating = threading.Event()

    def run(self) -> int:
        """Return 0 when the Recording is over and stored, 143 when SIGTERM came first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_term)
        signal.signal(signal.SIGALRM, self._on_term_timeout)
        delay = RETRY_MIN_SECONDS
        while not self._terminating.is_set():
            began = time.monotonic()
            code = self._run_worker()
            _reap_orphans()
            if code == 0:
                return 0
            if self._terminating.is_set():
                break
            if time.monotonic() - began > STABLE_SECONDS:
                delay = RETRY_MIN_SECONDS
            _log_error("worker_died", code=code, again_in_seconds=delay)
            self._terminating.wait(delay)
            delay = min(delay * 2, RETRY_MAX_SECONDS)
        return 128 + signal.SIGTERM

    def _run_worker(self) -> int:
        self._worker = subprocess.Popen(self._command)
        if self._terminating.is_set():  # SIGTERM came while the worker was starting
            self._worker.terminate()
        return self._worker.wait()

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._terminating.set()
        if self._worker is not None:
            self._worker.terminate()
        signal.setitimer(signal.ITIMER_REAL, TERM_SECONDS)

    def _on_term_timeout(self, _number: int, _frame: FrameType | None) -> None:
        if self._worker is not None:
            self._worker.kill()


def main() -> int:
    return Supervisor().run()


def _log_error(event: str, **fields: object) -> None:
    """Write a line in the format of the worker's log, without importing structlog."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {**fields, "event": event, "role": "record", "level": "error", "timestamp": stamp}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _reap_orphans() -> None:
    """Reap the children of dead workers, which PID 1 inherits."""
    if os.getpid() != 1:
        return
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
