"""Daemons that outlive the command that started them, and are stopped by their recorded pid.

The kernel may give the pid to another process later. So the record also has the start time of the
process and the id of the boot. A process that does not match the record is not ours.
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
    """A process to keep running. Its pid file and its log have its name."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    """Variables in addition to the tool's own environment."""


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a pid file."""

    pid: int
    start_ticks: int
    """Start time in clock ticks since boot: field 22 of ``/proc/PID/stat``."""
    boot_id: str

    def alive(self) -> bool:
        """Return whether the recorded process still runs. A zombie does not run."""
        return self.boot_id == _boot_id() and _start_ticks(self.pid) == self.start_ticks


def parse_stat(text: str) -> tuple[str, int]:
    """Return the state letter and the start time (ticks) from ``/proc/PID/stat``.

    The second field is the program's name in parentheses, which may contain spaces and parentheses.
    So the third field begins after the last closing parenthesis (proc(5)).
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
    """The daemons of a cluster, with their pid files and logs in two folders."""

    pids: Path
    logs: Path

    def record(self, name: str) -> Record | None:
        """Return the record of a daemon that was started and not stopped; None without one."""
        try:
            return Record(**json.loads((self.pids / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def running(self, name: str) -> bool:
        """Return whether the daemon of that name is alive."""
        record = self.record(name)
        return record is not None and record.alive()

    def names(self) -> list[str]:
        """Return every daemon with a pid file."""
        return sorted(path.stem for path in self.pids.glob("*.json"))

    def ensure(self, daemon: Daemon) -> bool:
        """Start the daemon unless it runs; return whether it was started."""
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
        # The daemon must outlive this process. Without this line, Popen's destructor warns.
        process.returncode = 0
        record = Record(process.pid, _start_ticks(process.pid) or 0, _boot_id())
        replace(self.pids / f"{daemon.name}.json", json.dumps(asdict(record)))
        return True

    def stop(self, name: str, *, grace_seconds: float = 10.0, force: bool = False) -> None:
        """End a daemon and remove its record. Send SIGTERM, and SIGKILL after ``grace_seconds``;
        with ``force``, send SIGKILL at once."""
        record = self.record(name)
        if record is not None and record.alive():
            kill_pids([record.pid], signal.SIGKILL if force else signal.SIGTERM)
            if not wait_gone([record], grace_seconds):
                kill_pids([record.pid], signal.SIGKILL)
                wait_gone([record], 5.0)
        (self.pids / f"{name}.json").unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """Return the daemon's log file."""
        return self.logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines a daemon wrote, for error messages."""
        try:
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def kill_pids(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes. A process that has ended already is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(records: Sequence[Record], seconds: float) -> bool:
    """Wait until all processes have ended; return False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while any(record.alive() for record in records):
        # A child of this process stays a zombie until this process waits for it.
        for record in records:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(record.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
