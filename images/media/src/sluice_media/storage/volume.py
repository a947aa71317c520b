"""Writes of objects to a mounted claim: each is durable and verified in one step of one thread.

In: a key below the claim, and a file or bytes. Out: the object under its key, once the file system
has confirmed that all of it is on the disk; a key never names a partial object. With obstore and
asyncio's threads, each chunk of a recording cost a dozen thread switches.

The claim has its own thread: a network file system that hangs blocks only this thread, and requests
to it meanwhile time out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sluice_media.contract import StorageReason
from sluice_media.storage import local_file
from sluice_media.storage.errors import StorageError, explain

_BLOCK_BYTES = 256 << 10
_TRIES = 5
"""Maximum tries to create a file: deleting the last object of a folder deletes the folder too."""


class SourceError(Exception):
    """The file to write cannot be read, which is not a fault of the claim."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.error = error


class Volume:
    """A mounted claim, and its thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="claim")

    async def put(self, key: str, data: bytes) -> None:
        """Write an object. Raises StorageError."""
        await self._run(key, iter((data,)))

    async def put_file(self, key: str, path: Path, sha256: str = "") -> None:
        """Write a file as an object. Raises StorageError, and SourceError when ``path`` cannot be
        read or does not match ``sha256`` (if not empty)."""
        await self._run(key, _blocks(path, sha256))

    async def _run(self, key: str, blocks: Iterator[bytes | memoryview]) -> None:
        if not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise StorageError(
                StorageReason.INVALID_KEY, "the key of an object leads outside the store"
            )
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._thread, _put, self._root / key, blocks, abandoned.is_set
            )
        finally:
            # A write that timed out must not replace the object later.
            abandoned.set()


def _put(
    place: Path, blocks: Iterator[bytes | memoryview], is_abandoned: Callable[[], bool]
) -> None:
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
            # The size that the file system reports, not the number of bytes written.
            found = os.fstat(number).st_size
            if found != size:
                raise StorageError(
                    StorageReason.INCOMPLETE, f"the store holds {found} bytes of a file of {size}"
                )
            if is_abandoned():
                raise StorageError(StorageReason.TIMEOUT, "the store did not answer in time")
            staged.rename(place)
            local_file.flush(place.parent)
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
    """Create a file beside ``place``, under a name that obstore's listings ignore."""
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


def _blocks(path: Path, sha256: str) -> Iterator[memoryview]:
    """Yield the content of a file; each block is valid until the next one is requested."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(block):
                if sha256:
                    digest.update(block[:count])
                yield block[:count]
        if sha256 and digest.hexdigest() != sha256:
            raise local_file.changed()
    except OSError as error:
        raise SourceError(error) from None
