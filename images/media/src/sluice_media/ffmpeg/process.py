"""A supervised child process: its standard error is read and redacted, and it always ends.

FFmpeg's exit code is 0 even after input errors, and while it is blocked on input it ignores the
first SIGTERM (measured: alive 580 s later, gone 0.1 s after the second). Hence the ladder TERM,
wait, TERM, wait, KILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from sluice_media.ffmpeg.io_priority import lower_io_priority
from sluice_media.ffmpeg.redact import StderrTail

_LADDER_SECONDS = 2.0
_DRAIN_BYTES = 1 << 20
_PIPE_BYTES = 1 << 20
_log = structlog.get_logger(__name__)


class ChildError(RuntimeError):
    """A child process failed; the text is its last line, redacted."""


class Child:
    """A running child. Made by :func:`start_child`, which also ends it."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, stdin: int | None = None
    ) -> None:
        """``stdin``: our end of the pipe to its standard input; closed with the child."""
        self.name = name
        self.stderr = StderrTail()
        self._process = process
        self._stdin = stdin
        self._writing: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def feed(self, data: bytes | memoryview) -> None:
        """Writes all of it to standard input.

        A thread does that with blocking writes: asyncio's pipe moves what is left of a large
        block at every 64 KiB, which cost more CPU than FFmpeg itself (2.9 s for 0.5 GB).
        Raises ChildError when the child does not read any more."""
        assert self._stdin is not None
        assert self._writing is None or self._writing.done()
        self._writing = asyncio.ensure_future(asyncio.to_thread(_write_all, self._stdin, data))
        try:
            # Shielded: the thread cannot be stopped, `close_stdin` waits for it.
            await asyncio.shield(self._writing)
        except BrokenPipeError:
            await self.wait()
            raise ChildError(self._words("stopped reading")) from None

    async def finish(self) -> None:
        """Closes standard input and waits for the end. Raises ChildError for a code but 0."""
        await self.close_stdin()
        code = await self.wait()
        if code != 0:
            raise ChildError(self._words(f"ended with code {code}"))

    async def close_stdin(self) -> None:
        """Ends the child's input, after what is being written."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
            self._writing.exception()  # a broken pipe was told to whoever fed it
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def wait(self) -> int:
        return await self._process.wait()

    async def read(self, limit_bytes: int) -> bytes:
        """What standard output has, at most so many bytes; empty at its end."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(limit_bytes)

    async def read_stdout(self, limit_bytes: int) -> bytes:
        """Everything up to the limit; what comes after is left in the pipe."""
        assert self._process.stdout is not None
        parts: list[bytes] = []
        left = limit_bytes
        while left > 0 and (data := await self._process.stdout.read(min(left, 65536))):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    async def drain_stdout(self) -> None:
        """Throws away what is left of standard output, once the process is gone."""
        if self._process.stdout is not None:
            while await self._process.stdout.read(_DRAIN_BYTES):
                pass

    async def stop(self) -> None:
        """TERM, wait 2 s, TERM, wait 2 s, KILL. Returns when the process is gone."""
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
        """Reads standard error to its end; :func:`start_child` runs this."""
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line longer than the reader's buffer: its head is dropped
                continue
            if not line:
                return
            self.stderr.feed(line)

    def _words(self, what: str) -> str:
        said = self.stderr.last
        return f"{self.name} {what}: {said}" if said else f"{self.name} {what}"


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
    """Runs a child while the context lasts; whatever happens, it is gone afterwards.

    ``nice`` lowers its priority by so many steps; ``io_idle`` lets it have the disk when nobody
    else wants it, where the disk's scheduler knows priorities; ``env`` is its whole environment,
    ours when None. Raises ChildError when it cannot be started.
    """
    program = shutil.which(argv[0]) or argv[0]  # found on our PATH, whatever its environment
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
        lower_io_priority(process.pid)
    reader = asyncio.create_task(child.drain_stderr())
    try:
        yield child
    finally:
        try:
            await _finished(asyncio.create_task(_end(child, reader)))
        finally:
            _log.debug("child_ended", name=child.name, code=process.returncode)


def _wide_pipe() -> tuple[int, int]:
    """A pipe that holds 1 MiB where that is allowed: at 64 KiB every write of ours is cut into
    dozens, each with a change of process."""
    theirs, ours = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return theirs, ours


async def _finished(ending: asyncio.Task[None]) -> None:
    """Waits for it however often the waiting is cancelled: no child is left behind."""
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
    # What nobody read keeps the pipe open, until the garbage collector comes by.
    await child.drain_stdout()
    await reader


def _write_all(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


async def run_child(
    argv: Sequence[str], *, timeout_seconds: float, limit_bytes: int = 1 << 20
) -> bytes:
    """Runs a short child to its end and returns its standard output.

    Raises ChildError when it fails or takes longer than ``timeout_seconds``."""
    async with start_child(argv, stdout=True) as child:
        try:
            async with asyncio.timeout(timeout_seconds):
                output = await child.read_stdout(limit_bytes)
                await child.finish()
        except TimeoutError:
            raise ChildError(f"{argv[0]} took longer than {timeout_seconds:g} s") from None
    return output
