"""Where recordings are kept: one code path over obstore for a claim and, later, for S3.

Recorders put chunks and journals through this module, the store pod everything else. Keys are
made of ids and written with slashes; what a storage says when it refuses becomes a
:class:`TargetError` with one word and one sentence.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import obstore
from obstore import exceptions
from obstore.store import LocalStore, ObjectStore

__all__ = ["Entry", "MissingObjectError", "Target", "TargetError", "open_claim"]

STREAM_BYTES = 8 << 20
_PART_BYTES = 16 << 20
"""Size of a multipart part: 10,000 parts of it are 160 GB, far above any file of ours."""

T = TypeVar("T")


class TargetError(RuntimeError):
    """The storage refused or failed. ``reason`` is one word, the text a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingObjectError(TargetError):
    """There is no such object."""


@dataclass(slots=True, frozen=True)
class Entry:
    key: str
    size_bytes: int


def _explain(error: Exception) -> TargetError:
    """A storage's error as one word and a sentence; its own text may quote signed URLs."""
    text = str(error)
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return MissingObjectError("NotFound", "there is no such object")
    if isinstance(error, exceptions.PermissionDeniedError | PermissionError):
        return TargetError("AccessDenied", "the store may not be written or read: access denied")
    if isinstance(error, exceptions.UnauthenticatedError):
        return TargetError("Unauthenticated", "the store does not accept the credentials")
    for sign, reason, sentence in (
        ("os error 28", "NoSpace", "no space is left in the store"),
        ("No space left", "NoSpace", "no space is left in the store"),
        ("os error 122", "NoSpace", "the disk quota of the store is used up"),
        ("os error 30", "ReadOnly", "the store is mounted read-only"),
        ("os error 13", "AccessDenied", "the store may not be written or read: access denied"),
        ("os error 5)", "InputOutputError", "the disk of the store reports an input/output error"),
        ("NoSuchBucket", "NoSuchBucket", "the bucket does not exist"),
        ("timed out", "Timeout", "the store did not answer in time"),
        ("error sending request", "Unreachable", "the store cannot be reached"),
    ):
        if sign in text:
            return TargetError(reason, sentence)
    return TargetError("StoreFailed", f"the store failed: {type(error).__name__}")


async def _call(operation: Awaitable[T]) -> T:
    try:
        return await operation
    except (exceptions.BaseError, OSError) as error:
        raise _explain(error) from error


class Target:
    """An object store. Every method raises TargetError, and its subclass MissingObjectError where
    an object must exist."""

    def __init__(self, store: ObjectStore, *, root: Path | None = None) -> None:
        """``root``: the folder that the store stands for, when it is a local one."""
        self._store = store
        self._root = root

    @property
    def root(self) -> Path | None:
        return self._root

    async def put(self, key: str, data: bytes) -> None:
        """Writes an object as a whole: readers see the old one or the new one."""
        await _call(obstore.put_async(self._store, key, data))
        await self._sync(key)

    async def put_file(self, key: str, path: Path) -> None:
        """Writes a file and verifies what arrived. Only after this may the file be deleted."""
        size = (await asyncio.to_thread(path.stat)).st_size
        await _call(obstore.put_async(self._store, key, path, chunk_size=_PART_BYTES))
        await self.verify(key, size)
        await self._sync(key)

    async def move_in(self, key: str, path: Path) -> None:
        """The same for a file that is not needed any more: renamed where that is possible."""
        size = (await asyncio.to_thread(path.stat)).st_size
        if self._root is not None and path.is_relative_to(self._root):
            source = path.relative_to(self._root).as_posix()
            await _call(obstore.rename_async(self._store, source, key))
            await self.verify(key, size)
            await self._sync(key)
            return
        await self.put_file(key, path)
        await asyncio.to_thread(path.unlink)

    async def verify(self, key: str, size_bytes: int) -> None:
        """Raises TargetError/Incomplete unless the object exists and has this size."""
        found = await self.size(key)
        if found != size_bytes:
            raise TargetError(
                "Incomplete", f"the store holds {found} bytes of a file of {size_bytes}"
            )

    async def size(self, key: str) -> int:
        meta = await _call(obstore.head_async(self._store, key))
        return int(meta["size"])

    async def get(self, key: str) -> bytes:
        result = await _call(obstore.get_async(self._store, key))
        return bytes(await _call(result.bytes_async()))

    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[memoryview]:
        """The bytes from ``start`` up to, not including, ``end`` (None: all), in large parts.

        Ranges instead of obstore's own stream: over a local folder that one reads 8 KiB at a time
        (0.5 GB took 3.0 s of CPU)."""
        if end is None:
            end = await self.size(key)
        while start < end:
            stop = min(end, start + STREAM_BYTES)
            part = await _call(obstore.get_range_async(self._store, key, start=start, end=stop))
            yield memoryview(part)
            start = stop

    async def list(self, prefix: str) -> AsyncIterator[Entry]:
        """Every object whose key begins with the path segments of ``prefix``."""
        pages = obstore.list(self._store, prefix).__aiter__()
        while True:
            try:
                page = await _call(pages.__anext__())
            except StopAsyncIteration:
                return
            for meta in page:
                yield Entry(str(meta["path"]), int(meta["size"]))

    async def folders(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders right below ``prefix``, sorted."""
        found = await _call(obstore.list_with_delimiter_async(self._store, prefix))
        return tuple(
            sorted(str(p).rstrip("/").rpartition("/")[2] for p in found["common_prefixes"])
        )

    async def delete(self, *keys: str) -> None:
        """Deletes objects; one that is not there is no error."""
        for key in keys:
            try:
                await _call(obstore.delete_async(self._store, key))
            except MissingObjectError:
                continue

    async def _sync(self, key: str) -> None:
        """What a claim holds must outlive its node's power; obstore only renames."""
        if self._root is not None:
            try:
                await asyncio.to_thread(_fsync, self._root / key)
            except OSError as error:
                raise _explain(error) from error

    def available_bytes(self) -> int | None:
        """Free space, where the storage has an end that can be seen."""
        if self._root is None:
            return None
        stat = os.statvfs(self._root)
        return stat.f_bavail * stat.f_frsize


def _fsync(path: Path) -> None:
    for place in (path, path.parent):
        number = os.open(place, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def open_claim(folder: Path) -> Target:
    """The target of a MediaStore on a PersistentVolumeClaim that is mounted at ``folder``.

    Raises TargetError when the folder cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = LocalStore(prefix=folder)
    except (exceptions.BaseError, OSError) as error:
        raise _explain(error) from error
    return Target(store, root=folder)
