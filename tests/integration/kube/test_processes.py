"""Daemons are stopped by their record, and a pid that was given away is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kube.processes import Daemon, Record, Supervisor, kill_pids, parse_stat, wait_gone


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "pids", tmp_path / "logs")


def test_a_program_name_with_blanks_and_parentheses_does_not_shift_the_fields() -> None:
    fields = " ".join(["S", *(["0"] * 18), "4711", "0", "0"])
    assert parse_stat(f"42 (a ) (b c) {fields}\n") == ("S", 4711)


def test_a_daemon_starts_once_and_stops(supervisor: Supervisor) -> None:
    daemon = Daemon("sleeper", ["sleep", "60"])
    assert supervisor.ensure(daemon)
    assert not supervisor.ensure(daemon)
    assert supervisor.names() == ["sleeper"]
    record = supervisor.record("sleeper")
    assert record is not None
    assert os.getsid(record.pid) == record.pid, "it must outlive its parent's terminal"
    supervisor.stop("sleeper")
    assert not record.alive()
    assert supervisor.names() == []
    supervisor.stop("sleeper")


def test_what_a_daemon_says_is_in_its_log(supervisor: Supervisor) -> None:
    supervisor.ensure(Daemon("speaker", ["sh", "-c", "echo $GREETING"], {"GREETING": "hello"}))
    record = supervisor.record("speaker")
    assert record is not None
    assert wait_gone([record], 5.0)
    assert supervisor.log_tail("speaker") == "hello"


def test_a_pid_given_to_somebody_else_is_not_killed(supervisor: Supervisor) -> None:
    supervisor.ensure(Daemon("sleeper", ["sleep", "60"]))
    record = supervisor.record("sleeper")
    assert record is not None
    for stranger in (
        replace(record, start_ticks=record.start_ticks - 1),
        replace(record, boot_id="another boot"),
    ):
        assert not stranger.alive()
        _forge(supervisor, stranger)
        supervisor.stop("sleeper", force=True)
        assert record.alive()
    kill_pids([record.pid], signal.SIGKILL)
    assert wait_gone([record], 5.0)


def _forge(supervisor: Supervisor, record: Record) -> None:
    text = (
        f'{{"pid": {record.pid}, "start_ticks": {record.start_ticks}, '
        f'"boot_id": "{record.boot_id}"}}'
    )
    (supervisor.pids / "sleeper.json").write_text(text, encoding="utf-8")


def test_a_zombie_is_dead(supervisor: Supervisor) -> None:
    process = subprocess.Popen(["true"])
    supervisor.ensure(Daemon("other", ["sleep", "60"]))
    other = supervisor.record("other")
    assert other is not None
    deadline = time.monotonic() + 20
    stat = Path(f"/proc/{process.pid}/stat")
    while parse_stat(stat.read_text())[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    _, ticks = parse_stat(stat.read_text())
    assert not Record(process.pid, ticks, other.boot_id).alive()
    process.wait()
    supervisor.stop("other", force=True)


def test_a_torn_record_counts_as_none(supervisor: Supervisor) -> None:
    supervisor.pids.mkdir(parents=True)
    (supervisor.pids / "torn.json").write_text("{", encoding="utf-8")
    assert supervisor.record("torn") is None
    assert not supervisor.running("torn")
