"""Supervised child process: its standard error is read and redacted, and it always ends.

FFmpeg's exit code is 0 even after input errors. While FFmpeg is blocked on input it ignores the
first SIGTERM (measured: alive 580 s later, gone 0.1 s after the second). A child therefore gets
SIGTERM twice, with a pause after each, and then SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import platform
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from sluice_media.ffmpeg.redact import StderrTail

_LADDER_SECONDS = 2.0
_DRAIN_BYTES = 1 << 20
_PIPE_BYTES = 1 << 20
_IOPRIO_SET_NUMBERS = {"x86_64": 251, "aarch64": 30}
"""System call number of ioprio_set(2), by machine. The C library has no function for it."""
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_IDLE = 3 << 13
_log = structlog.get_logger(__name__)


class ChildError(RuntimeError):
    """A child process failed. The text contains its last line of output, redacted."""


class Child:
    """Running child process. :func:`start_child` makes it and ends it."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, stdin: int | None = None
    ) -> None:
        """``stdin`` is our end of the pipe to its standard input, which is closed with the
        child."""
        self.name = name
        self.stderr = StderrTail()
        self._process = process
        self._stdin = stdin
        self._writing: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def feed(self, data: bytes | memoryview) -> None:
        """Write all of ``data`` to standard input.

        A thread does this with blocking writes. asyncio's pipe moves the rest of a large block
        after every 64 KiB, which used more CPU than FFmpeg itself (2.9 s for 0.5 GB). Raises
        ChildError when the child does not read any more.
        """
        assert self._stdin is not None
        assert self._writing is None or self._writing.done()
        self._writing = asyncio.ensure_future(asyncio.to_thread(_write_all, self._stdin, data))
        try:
            # Shielded, because the thread cannot be stopped: `close_stdin` waits for it.
            await asyncio.shield(self._writing)
        except BrokenPipeError:
            await self.wait()
            raise ChildError(self._describe("stopped reading")) from None

    async def finish(self) -> None:
        """Close standard input and wait for the end. Raises ChildError for an exit code other
        than 0."""
        await self.close_stdin()
        code = await self.wait()
        if code != 0:
            raise ChildError(self._describe(f"ended with code {code}"))

    async def close_stdin(self) -> None:
        """Close the child's input once the write in progress has ended."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
            self._writing.exception()  # `feed` has reported a broken pipe to its caller
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def wait(self) -> int:
        """Wait for the end; return the exit code."""
        return await self._process.wait()

    async def read(self, limit_bytes: int) -> bytes:
        """Return the next bytes of standard output, at most ``limit_bytes``; empty at its end."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(limit_bytes)

    async def read_stdout(self, limit_bytes: int) -> bytes:
        """Return the output up to ``limit_bytes``; the rest stays in the pipe."""
        assert self._process.stdout is not None
        parts: list[bytes] = []
        left = limit_bytes
        while left > 0 and (data := await self._process.stdout.read(min(left, 65536))):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    async def drain_stdout(self) -> None:
        """Read and drop the rest of standard output, after the end of the process."""
        if self._process.stdout is not None:
            while await self._process.stdout.read(_DRAIN_BYTES):
                pass

    async def stop(self) -> None:
        """Send TERM, wait 2 s, TERM, wait 2 s, KILL; return when the process is gone."""
        for step in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(step)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LADDER_SECONDS):
                    await self._process.wait()
        await self._process.wait()

    async def drain_stderr(self) -> None:
        """Read standard error to its end; :func:`start_child` runs this."""
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line longer than the reader's buffer: its head is dropped
                continue
            if not line:
                return
            self.stderr.feed(line)

    def _describe(self, event: str) -> str:
        """Return a sentence about the event, with the child's last line of output."""
        last = self.stderr.last
        return f"{self.name} {event}: {last}" if last else f"{self.name} {event}"


@contextlib.asynccontextmanager
async def start_child(
    argv: Sequence[str],
    *,
    stdin: bool = False,
    stdout: bool = False,
    nice: int = 0,
    io_idle: bool = False,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Child]:
    """Run a child while the context lasts; it is always gone afterwards.

    ``nice`` is the number of steps by which its priority is lowered. ``io_idle`` gives it the disk
    only when no other process needs it, if the disk's scheduler has priorities. ``env`` is its
    whole environment; None for ours. Raises ChildError when it cannot be started.
    """
    program = shutil.which(argv[0]) or argv[0]  # Found in our own PATH, because `env` may lack one.
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    theirs, ours = _wide_pipe() if stdin else (null, None)
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *argv[1:],
            stdin=theirs,
            stdout=pipe if stdout else null,
            stderr=pipe,
            env=env,
        )
    except OSError as error:
        if ours is not None:
            os.close(ours)
        raise ChildError(f"{argv[0]} cannot be started: {error.strerror}") from error
    finally:
        if ours is not None:
            os.close(theirs)
    child = Child(argv[0], process, ours)
    if nice:
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    if io_idle:
        _set_io_idle(process.pid)
    reader = asyncio.create_task(child.drain_stderr())
    try:
        yield child
    finally:
        try:
            await _finished(asyncio.create_task(_end(child, reader)))
        finally:
            _log.debug("child_ended", name=child.name, code=process.returncode)


def _wide_pipe() -> tuple[int, int]:
    """Return a pipe with a buffer of 1 MiB, where that is allowed.

    With 64 KiB every write would be cut into dozens, each with a switch between the processes.
    """
    theirs, ours = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return theirs, ours


async def _finished(ending: asyncio.Task[None]) -> None:
    """Wait for the task, even when the wait is cancelled: no child is left behind."""
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError as error:
            cancelled = error
    ending.result()
    if cancelled is not None:
        raise cancelled


async def _end(child: Child, reader: asyncio.Task[None]) -> None:
    await child.stop()
    await child.close_stdin()
    # Unread output would keep the pipe open until the garbage collector runs.
    await child.drain_stdout()
    await reader


def _set_io_idle(pid: int) -> None:
    """Set the idle class of the disk's scheduler for a process, as ``ionice -c 3`` does.

    Threads that the process starts later inherit it. Source: ioprio_set(2). On machines without a
    known system call number nothing happens.
    """
    number = _IOPRIO_SET_NUMBERS.get(platform.machine())
    if number is not None:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        syscall(number, _IOPRIO_WHO_PROCESS, pid, _IOPRIO_CLASS_IDLE)


def _write_all(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


async def run_child(
    argv: Sequence[str], *, timeout_seconds: float, limit_bytes: int = 1 << 20
) -> bytes:
    """Run a short child to its end; return its standard output.

    Raises ChildError when it fails or takes longer than ``timeout_seconds``.
    """
    async with start_child(argv, stdout=True) as child:
        try:
            async with asyncio.timeout(timeout_seconds):
                output = await child.read_stdout(limit_bytes)
                await child.finish()
        except TimeoutError:
            raise ChildError(f"{argv[0]} took longer than {timeout_seconds:g} s") from None
    return output
