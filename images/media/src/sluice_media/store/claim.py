"""Puts objects onto a mounted claim: whole, durable, and counted, in one step of one thread.

In: a key below the claim, and a file or bytes. Out: the object under its name, once the file
system has said that all of it is on the disk; a name never stands for a part. Through obstore and
asyncio's threads each chunk of a recording cost a dozen changes of thread.

The thread is the claim's own: a network file system that hangs holds this one and no other, and
what is asked of it meanwhile runs into its time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sluice_media.store.errors import TargetError, explain

__all__ = ["Claim", "SourceError"]

_BLOCK_BYTES = 256 << 10
_TRIES = 5
"""The deletion of the last object of a folder takes the folder along."""


class SourceError(Exception):
    """What is to be put cannot be read: no fault of the claim."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.error = error


class Claim:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="claim")

    async def put(self, key: str, data: bytes) -> None:
        """Raises TargetError."""
        await self._run(key, iter((data,)))

    async def put_file(self, key: str, path: Path) -> None:
        """Raises TargetError, and SourceError when ``path`` cannot be read."""
        await self._run(key, _blocks(path))

    async def _run(self, key: str, blocks: Iterator[bytes | memoryview]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, _put, self._root / key, blocks)


def _put(place: Path, blocks: Iterator[bytes | memoryview]) -> None:
    block: bytes | memoryview | None = next(blocks, b"")
    with _explained():
        number, staged = _stage(place)
    try:
        size = 0
        while block is not None:
            with _explained():
                size += _write(number, block)
            block = next(blocks, None)
        with _explained():
            os.fsync(number)
            # What a file system counts, not what it was given.
            found = os.fstat(number).st_size
            if found != size:
                raise TargetError(
                    "Incomplete", f"the store holds {found} bytes of a file of {size}"
                )
            staged.rename(place)
            _sync_folder(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
        raise
    finally:
        os.close(number)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error) from None


def _stage(place: Path) -> tuple[int, Path]:
    """A new file beside ``place``, under a name that obstore's listings leave out."""
    for number in itertools.count(1):
        staged = place.with_name(f"{place.name}#{number}")
        try:
            return os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), staged
        except FileExistsError:
            continue
        except FileNotFoundError:
            if number > _TRIES:
                raise
            place.parent.mkdir(parents=True, exist_ok=True)
    raise AssertionError("unreachable")


def _write(number: int, block: bytes | memoryview) -> int:
    with memoryview(block) as view:
        written = 0
        while written < len(view):
            written += os.write(number, view[written:])
        return written


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _blocks(path: Path) -> Iterator[memoryview]:
    """The content of a file, each block valid until the next one is asked for."""
    block = memoryview(bytearray(_BLOCK_BYTES))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(block):
                yield block[:count]
    except OSError as error:
        raise SourceError(error) from None
