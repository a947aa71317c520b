"""Where recordings are kept: over obstore, for a claim and for S3.

Recorders put chunks and journals through this module, the store pod everything else. Keys are
made of ids, written with slashes and count from the store's prefix on; what a storage says when it
refuses becomes a :class:`StorageError` with one word and one sentence.

Every object put is verified before anybody may rely on it. On its way, a body is covered by the
signature of its request, so that an S3 server refuses what was altered. The ETag in the reply is
compared with the MD5 of what was sent: when they are equal, nothing more is asked. When they are
not (the ETags of SSE-KMS are no MD5s), the object is read back and its bytes are compared. That is
decided for each object: one ETag that did not fit says nothing of the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import obstore
import structlog
from obstore import exceptions
from obstore.store import LocalStore
from obstore.store import ObjectStore as ObstoreStore
from pydantic import SecretStr

from sluice_media.contract import BucketLocation
from sluice_media.storage import local_file
from sluice_media.storage.bucket import s3_store
from sluice_media.storage.errors import MissingObjectError, StorageError, explain
from sluice_media.storage.etag import MultipartDigest, md5
from sluice_media.storage.patience import Patience
from sluice_media.storage.volume import SourceError, Volume

SCRATCH = ".scratch"
"""Folder of a volume for unfinished files."""
PART_BYTES = 16 << 20
"""Size of a multipart part, unless the object needs larger ones. What is not larger is put as a
whole."""
_MAX_PARTS = 10_000
"""Of one object. Amazon S3 User Guide, "Amazon S3 multipart upload limits"."""
_PARTS_AT_ONCE = 4
_DELETES_AT_ONCE = 10

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Entry:
    key: str
    size_bytes: int


@dataclass(slots=True, frozen=True)
class Written:
    """What a stream came to."""

    size_bytes: int
    sha256: str


class ObjectStore:
    """An object store. Every method raises StorageError, and its subclass MissingObjectError where
    an object must exist."""

    def __init__(self, store: ObstoreStore, *, root: Path | None = None) -> None:
        """``root``: the folder that the store stands for, when it is a local one."""
        self._store = store
        self._root = root
        self._claim = Volume(root) if root is not None else None
        self._patience = Patience()
        self._has_read_back = False

    @property
    def root(self) -> Path | None:
        return self._root

    def become(self, other: ObjectStore) -> None:
        """Goes another way from now on, to the same objects."""
        self._store, self._root, self._claim = other._store, other._root, other._claim

    # ------------------------------------------------------------------ in

    async def put(self, key: str, data: bytes) -> None:
        """Writes an object as a whole: readers see the old one or the new one."""
        await self._put(key, data)

    async def put_file(
        self, key: str, path: Path, size_bytes: int | None = None, sha256: str = ""
    ) -> None:
        """Writes a file and verifies what arrived. Only after this may the file be deleted.
        ``size_bytes``, ``sha256``: of what was once written into it, where that is known.

        Raises OSError when the file cannot be read: FileNotFoundError when it is not there, EIO
        also when its disk gives back something else."""
        size = size_bytes
        if size is None:
            size = (await asyncio.to_thread(path.stat)).st_size
        if self._claim is not None:
            try:
                await self._timed(size, self._claim.put_file(key, path, sha256))
            except SourceError as unreadable:
                raise unreadable.error from None
        elif size <= PART_BYTES:
            await self._put(key, await local_file.content(path, sha256))
        else:
            if sha256 and (await local_file.digest(path))[1] != sha256:
                raise local_file.changed()
            await self.put_stream(key, local_file.blocks(path), size)

    async def put_stream(
        self, key: str, blocks: AsyncIterator[bytes | memoryview], most_bytes: int = 0
    ) -> Written:
        """Writes what an iterator gives, of unknown length, by a multipart upload; the object
        appears when all of it is there. ``most_bytes``: what it may come to, where that is known:
        above 156 GiB an object needs larger parts. What the iterator raises is raised."""
        size = part_bytes(most_bytes)
        # Those on their way are in memory.
        at_once = max(1, _PARTS_AT_ONCE * PART_BYTES // size)
        digest = MultipartDigest(size)
        sha256 = hashlib.sha256()
        moved = time.monotonic()

        async def counted() -> AsyncIterator[bytes | memoryview]:
            nonlocal moved
            async for block in blocks:
                await asyncio.to_thread(_update, sha256, digest, block)
                moved = time.monotonic()
                yield block
                moved = time.monotonic()

        put = asyncio.ensure_future(
            _call(
                obstore.put_async(
                    self._store,
                    key,
                    counted(),
                    use_multipart=True,
                    chunk_size=size,
                    max_concurrency=at_once,
                )
            )
        )
        try:
            while not put.done():
                # What is buffered may be under way since the last block was asked for.
                left = moved + self._patience.seconds((at_once + 1) * size)
                await asyncio.wait((put,), timeout=max(0.0, left - time.monotonic()))
                if not put.done() and time.monotonic() >= left:
                    self._patience.ran_out()
                    raise StorageError("Timeout", "the store takes nothing any more")
        finally:
            if not put.done():
                put.cancel()
                await asyncio.wait((put,))
        result = put.result()
        await self._verify_body(
            key, digest.size_bytes, result.get("e_tag"), digest.etag, sha256.digest
        )
        await self._sync(key)
        return Written(digest.size_bytes, sha256.hexdigest())

    async def move_in(self, key: str, path: Path) -> Written:
        """Like :meth:`put_file` for a large file that is not needed any more: renamed where that
        is possible. Raises OSError when the file cannot be read."""
        if self._root is not None and path.is_relative_to(self._root):
            written = Written(*await local_file.digest(path))
            source = path.relative_to(self._root).as_posix()
            await _call(obstore.rename_async(self._store, source, key))
            await self.verify(key, written.size_bytes)
            await self._sync(key)
            return written
        size = (await asyncio.to_thread(path.stat)).st_size
        written = await self.put_stream(key, local_file.blocks(path), size)
        await asyncio.to_thread(path.unlink)
        return written

    async def _put(self, key: str, data: bytes) -> None:
        if self._claim is not None:
            await self._timed(len(data), self._claim.put(key, data))
            return
        result = await self._timed(
            len(data), obstore.put_async(self._store, key, data, use_multipart=False)
        )
        await self._verify_body(
            key,
            len(data),
            result.get("e_tag"),
            lambda: md5(data),
            lambda: hashlib.sha256(data).digest(),
        )

    async def _verify_body(
        self,
        key: str,
        size_bytes: int,
        etag: str | None,
        expected_etag: Callable[[], str],
        sha256: Callable[[], bytes],
    ) -> None:
        """Raises StorageError/Incomplete unless the store holds what was sent."""
        if self._root is None and etag is not None and etag.strip('"') == expected_etag():
            return
        await self.verify(key, size_bytes)
        if self._root is not None:
            return
        # Either the store holds something else, or its ETags are no MD5s.
        held = hashlib.sha256()
        async for block in self.stream(key):
            held.update(block)
        if held.digest() != sha256():
            raise StorageError("Incomplete", "the store holds other bytes than were sent")
        if not self._has_read_back:
            self._has_read_back = True
            _log.info("etags_are_no_digests", why="each such object is read back")

    async def verify(self, key: str, size_bytes: int) -> None:
        """Raises StorageError/Incomplete unless the object is there and has this size."""
        try:
            found = await self.size(key)
        except MissingObjectError:
            raise StorageError("Incomplete", "the store lost what it had taken") from None
        if found != size_bytes:
            raise StorageError(
                "Incomplete", f"the store holds {found} bytes of a file of {size_bytes}"
            )

    # ------------------------------------------------------------------ out

    async def size(self, key: str) -> int:
        meta = await self._timed(0, obstore.head_async(self._store, key))
        return int(meta["size"])

    async def get(self, key: str) -> bytes:
        result = await self._timed(0, obstore.get_async(self._store, key))
        return bytes(await self._timed(int(result.meta["size"]), result.bytes_async()))

    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[memoryview]:
        """The bytes from ``start`` up to, not including, ``end`` (None: all), in large parts.

        Ranges instead of obstore's own stream: over a local folder that one reads 8 KiB at a time
        (0.5 GB took 3.0 s of CPU)."""
        if end is None:
            end = await self.size(key)
        while start < end:
            stop = min(end, start + local_file.BLOCK_BYTES)
            yield await self.read(key, start, stop)
            start = stop

    async def read(self, key: str, start: int, end: int) -> memoryview:
        """The bytes from ``start`` up to, not including, ``end``, in one piece."""
        part = await self._timed(
            end - start, obstore.get_range_async(self._store, key, start=start, end=end)
        )
        if len(part) != end - start:
            raise StorageError("Incomplete", "the store gave fewer bytes than were asked for")
        return memoryview(part)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Every object whose key begins with the path segments of ``prefix``; "": all."""
        pages = obstore.list(self._store, prefix or None).__aiter__()
        while True:
            try:
                page = await self._timed(0, pages.__anext__())
            except StopAsyncIteration:
                return
            for meta in page:
                yield Entry(str(meta["path"]), int(meta["size"]))

    async def folders(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders right below ``prefix``, sorted."""
        found = await self._timed(0, obstore.list_with_delimiter_async(self._store, prefix))
        return tuple(
            sorted(str(p).rstrip("/").rpartition("/")[2] for p in found["common_prefixes"])
        )

    async def delete(self, *keys: str) -> None:
        """Deletes objects; one that is not there is no error."""
        for at in range(0, len(keys), _DELETES_AT_ONCE):
            await asyncio.gather(*map(self._delete, keys[at : at + _DELETES_AT_ONCE]))

    async def _delete(self, key: str) -> None:
        try:
            await self._timed(0, obstore.delete_async(self._store, key))
        except MissingObjectError:
            return

    # ------------------------------------------------------------------ the volume

    def available_bytes(self) -> int | None:
        """Free space, where the storage has an end that can be seen. Raises OSError."""
        if self._root is None:
            return None
        stat = os.statvfs(self._root)
        return stat.f_bavail * stat.f_frsize

    def capacity_bytes(self) -> int | None:
        """Size of the volume, less what is reserved for root. Raises OSError."""
        if self._root is None:
            return None
        stat = os.statvfs(self._root)
        return (stat.f_blocks - stat.f_bfree + stat.f_bavail) * stat.f_frsize

    def in_making_bytes(self) -> int:
        """What unfinished MP4s take of the volume. It comes back: their chunks go when they are
        there. Raises OSError."""
        if self._root is None:
            return 0
        sizes = []
        for path in (self._root / SCRATCH).glob("*.mp4"):
            with contextlib.suppress(FileNotFoundError):  # finished meanwhile
                sizes.append(path.stat().st_size)
        return sum(sizes)

    async def _sync(self, key: str) -> None:
        """What a claim holds must outlive its node's power; obstore only renames."""
        if self._root is not None:
            try:
                await local_file.sync(self._root / key)
            except OSError as error:
                raise explain(error) from None

    async def _timed(self, size_bytes: int, operation: Awaitable[T]) -> T:
        """Runs an operation that moves so many bytes, for no longer than that may take."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience.seconds(size_bytes)):
                result = await _call(operation)
        except TimeoutError:
            self._patience.ran_out()
            raise StorageError("Timeout", "the store did not answer in time") from None
        self._patience.succeeded(size_bytes, time.monotonic() - began)
        return result


def part_bytes(size_bytes: int) -> int:
    """Return the size of the parts of an object that comes to so many bytes, in whole MiB."""
    least = -(-size_bytes // _MAX_PARTS)
    return max(PART_BYTES, -(-least >> 20) << 20)


async def _call(operation: Awaitable[T]) -> T:
    # `from None`: the storage's own text would come into a log with the traceback.
    try:
        return await operation
    except TimeoutError:
        raise
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise explain(error) from None


def _update(sha256: hashlib._Hash, digest: MultipartDigest, block: bytes | memoryview) -> None:
    sha256.update(block)
    digest.update(block)


def open_storage(
    s3: BucketLocation | None, store_dir: Path, key: Callable[[str], SecretStr | None]
) -> ObjectStore:
    """Where a MediaStore keeps its objects: its bucket, or the claim mounted at ``store_dir``.

    ``key`` reads a file below the keys folder; it is asked again at every request, so a storage
    outlives the rotation of its credentials. Nothing is sent to a bucket here: whether it can be
    used shows at the first call. Raises StorageError when the configuration or the folder cannot
    be used."""
    return open_volume(store_dir) if s3 is None else ObjectStore(s3_store(s3, key))


def open_volume(folder: Path) -> ObjectStore:
    """The storage of a MediaStore on a PersistentVolumeClaim that is mounted at ``folder``.

    Raises StorageError when the folder cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = LocalStore(prefix=folder, automatic_cleanup=True)
    except (exceptions.BaseError, OSError) as error:
        raise explain(error) from None
    return ObjectStore(store, root=folder)
