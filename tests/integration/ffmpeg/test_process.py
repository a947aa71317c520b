"""Children always end, and say why in words without keys."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from sluice_media.ffmpeg import process as module
from sluice_media.ffmpeg.process import ChildError, run_child, start_child

DEAF_TO_THE_FIRST_TERM = """
import signal, time
told = []
def term(*_):
    told.append(1)
    if len(told) == 2:
        raise SystemExit(0)
signal.signal(signal.SIGTERM, term)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_child_that_ignores_the_first_sigterm_ends_at_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LADDER_SECONDS", 0.3)
    async with start_child(python(DEAF_TO_THE_FIRST_TERM), stdout=True) as child:
        assert await child.read_stdout(5) == b"ready"
    assert is_gone(child.pid)


async def test_a_child_that_ignores_everything_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LADDER_SECONDS", 0.2)
    code = DEAF_TO_THE_FIRST_TERM.replace("raise SystemExit(0)", "pass")
    async with start_child(python(code), stdout=True) as child:
        await child.read_stdout(5)
    assert await child.wait() == -9


async def test_a_cancelled_user_leaves_no_child_behind() -> None:
    pids = []

    async def use() -> None:
        async with start_child(python("import time; time.sleep(60)")) as child:
            pids.append(child.pid)
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pids[0])


async def test_a_failure_is_told_by_the_last_line_without_its_key() -> None:
    code = "import sys; sys.exit('rtmp://host/app/S3CRET: Connection refused')"
    with pytest.raises(ChildError, match=r"ended with code 1: rtmp://host/\.\.\. Connection"):
        await run_child(python(code), timeout_seconds=10)


async def test_a_child_that_stops_reading_is_an_error() -> None:
    async with start_child(python("import sys; sys.exit(3)"), stdin=True) as child:
        assert await child.wait() == 3
        with pytest.raises(ChildError, match="stopped reading"):
            await child.feed(b"x" * 65536 * 64)


async def test_a_child_that_takes_too_long() -> None:
    with pytest.raises(ChildError, match=r"longer than 0.3 s"):
        await run_child(python("import time; time.sleep(60)"), timeout_seconds=0.3)


async def test_a_program_that_does_not_exist() -> None:
    with pytest.raises(ChildError, match="cannot be started"):
        await run_child(["no-such-program-here"], timeout_seconds=1)


async def test_a_child_runs_at_low_priority() -> None:
    async with start_child(python("import time; time.sleep(60)"), nice=10) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) >= 10


async def test_a_user_who_is_cancelled_twice_leaves_no_child_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LADDER_SECONDS", 0.3)
    pids = []

    async def use() -> None:
        async with start_child(python(DEAF_TO_THE_FIRST_TERM), stdout=True) as child:
            pids.append(child.pid)
            assert await child.read(5)
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pids[0])


async def test_a_child_has_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TEST_SECRET", "x")
    code = "import os; print(os.environ.get('SLUICE_TEST_SECRET'))"
    async with start_child(python(code), stdout=True, env={}) as child:
        assert (await child.read_stdout(100)).strip() == b"None"
