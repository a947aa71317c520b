"""Role ``record`` as PID 1: starts the worker, starts it again when it dies, passes SIGTERM on.

The kubelet's own restart back-off grows to minutes, longer than the hub's ring reaches back; this
supervisor needs 0.2 to 2 s. It is made of the standard library's lightest parts, because a
producer waits for the recorder: importing what the worker needs a second time took half a second.
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
"""A worker that lived so long is restarted at once again."""
TERM_SECONDS = 20.0
"""What a worker has to flush and store when the pod has to go; then it is killed."""
WORKER = (sys.executable, "-m", "sluice_media.record.worker")


class Supervisor:
    """Runs one command until it succeeds."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = list(command)
        self._worker: subprocess.Popen[bytes] | None = None
        self._told_to_go = threading.Event()

    def run(self) -> int:
        """Returns 0 when the Recording is over and stored, 143 when SIGTERM came first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_term)
        signal.signal(signal.SIGALRM, self._on_patience_over)
        delay = RETRY_MIN_SECONDS
        while not self._told_to_go.is_set():
            began = time.monotonic()
            code = self._run_worker()
            _reap_orphans()
            if code == 0:
                return 0
            if self._told_to_go.is_set():
                break
            if time.monotonic() - began > STABLE_SECONDS:
                delay = RETRY_MIN_SECONDS
            _say("worker_died", code=code, again_in_seconds=delay)
            self._told_to_go.wait(delay)
            delay = min(delay * 2, RETRY_MAX_SECONDS)
        return 128 + signal.SIGTERM

    def _run_worker(self) -> int:
        self._worker = subprocess.Popen(self._command)
        if self._told_to_go.is_set():  # it came while the worker was started
            self._worker.terminate()
        return self._worker.wait()

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_go.set()
        if self._worker is not None:
            self._worker.terminate()
        signal.setitimer(signal.ITIMER_REAL, TERM_SECONDS)

    def _on_patience_over(self, _number: int, _frame: FrameType | None) -> None:
        if self._worker is not None:
            self._worker.kill()


def main() -> int:
    return Supervisor().run()


def _say(event: str, **words: object) -> None:
    """A line like those of the worker's log, without its library."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {**words, "event": event, "role": "record", "level": "error", "timestamp": stamp}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


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
