"""Daemons that outlive the command which started them, and are stopped by their recorded pid.

A pid alone can be given to somebody else, so the record holds the kernel's start time of the
process and the boot it belongs to; anything that does not match is simply not ours any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.kube.files import replace

__all__ = ["Daemon", "Record", "Supervisor", "kill_pids", "parse_stat", "wait_gone"]

LOG_LIMIT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process to keep: its name is that of its pid file and its log."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    """Added to the tool's own environment."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a pid file holds."""

    pid: int
    start_ticks: int
    """Field 22 of ``/proc/PID/stat``: clock ticks since boot, fixed for a process's life."""
    boot_id: str

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.boot_id == _boot_id() and _start_ticks(self.pid) == self.start_ticks


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and start time (ticks) out of ``/proc/PID/stat``.

    The second field is the program's name in parentheses and may itself contain spaces and
    parentheses, so counting starts behind the last one (proc(5)).
    """
    fields = text[text.rindex(")") + 1 :].split()
    return fields[0], int(fields[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, ticks = parse_stat(text)
    return None if state in "ZX" else ticks


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Starts and stops daemons, with their pid files and logs in two folders."""

    pids: Path
    logs: Path

    def record(self, name: str) -> Record | None:
        """The record of a daemon, if it was started and not stopped since."""
        try:
            return Record(**json.loads((self.pids / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def running(self, name: str) -> bool:
        """Whether the daemon of that name is alive."""
        record = self.record(name)
        return record is not None and record.alive()

    def names(self) -> list[str]:
        """Every daemon with a pid file."""
        return sorted(path.stem for path in self.pids.glob("*.json"))

    def ensure(self, daemon: Daemon) -> bool:
        """Start the daemon unless it runs; returns whether it had to be started."""
        if self.running(daemon.name):
            return False
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.log(daemon.name)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(daemon.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, **(daemon.environment or {})},
                start_new_session=True,
            )
        # The process outlives this one on purpose; without this, Popen's destructor complains.
        process.returncode = 0
        record = Record(process.pid, _start_ticks(process.pid) or 0, _boot_id())
        replace(self.pids / f"{daemon.name}.json", json.dumps(asdict(record)))
        return True

    def stop(self, name: str, *, grace_seconds: float = 10.0, force: bool = False) -> None:
        """End a daemon and forget it. Asks first, unless ``force``; kills after the grace."""
        record = self.record(name)
        if record is not None and record.alive():
            kill_pids([record.pid], signal.SIGKILL if force else signal.SIGTERM)
            if not wait_gone([record], grace_seconds):
                kill_pids([record.pid], signal.SIGKILL)
                wait_gone([record], 5.0)
        (self.pids / f"{name}.json").unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """The daemon's log file."""
        return self.logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The last lines a daemon wrote, for error messages."""
        try:
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def kill_pids(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes; one that is gone already is what was wanted."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(records: Sequence[Record], seconds: float) -> bool:
    """Wait until none of the processes lives; False when the time ran out first."""
    deadline = time.monotonic() + seconds
    while any(record.alive() for record in records):
        # Children of this very process would stay zombies until somebody collects them.
        for record in records:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(record.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
