"""The object store of recordings, over obstore: a mounted claim or an S3 bucket.

Recorders write chunks and journals through this module, the store pod everything else. Keys consist
of ids and slashes, relative to the store's prefix. Errors of the storage become a
:class:`StorageError` with a reason and a message.

Each written object is verified. The signature of a request covers its body, so that an S3 server
refuses an altered one. The ETag of the reply is compared with the MD5 of the sent bytes. If they
differ (the ETags of SSE-KMS are not MD5s), the object is read back and its bytes are compared. This
is decided for each object anew.
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

from sluice_media.contract import BucketLocation, StorageReason
from sluice_media.storage import local_file
from sluice_media.storage.adaptive_timeout import AdaptiveTimeout
from sluice_media.storage.bucket import s3_store
from sluice_media.storage.errors import MissingObjectError, StorageError, explain
from sluice_media.storage.etag import MultipartDigest, md5
from sluice_media.storage.volume import SourceError, Volume

SCRATCH = ".scratch"
"""Folder of a volume for unfinished files."""
PART_BYTES = 16 << 20
"""Size of a multipart part, unless the object needs larger ones. A smaller object is put as a
whole."""
_MAX_PARTS = 10_000
"""Maximum number of parts. Amazon S3 User Guide, "Amazon S3 multipart upload limits"."""
_PARTS_AT_ONCE = 4
_DELETES_AT_ONCE = 10

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Entry:
    """One listed object."""

    key: str
    size_bytes: int


@dataclass(slots=True, frozen=True)
class Written:
    """The size and digest of a written stream."""

    size_bytes: int
    sha256: str


class ObjectStore:
    """An object store. Every method raises StorageError, and its subclass MissingObjectError where
    an object must exist."""

    def __init__(self, store: ObstoreStore, *, root: Path | None = None) -> None:
        """``root`` is the folder of a local store; None for a bucket."""
        self._store = store
        self._root = root
        self._claim = Volume(root) if root is not None else None
        self._timeout = AdaptiveTimeout()
        self._has_read_back = False

    @property
    def root(self) -> Path | None:
        return self._root

    def switch_to(self, other: ObjectStore) -> None:
        """Use the connection of ``other``, which has the same objects, from now on."""
        self._store, self._root, self._claim = other._store, other._root, other._claim

    # ------------------------------------------------------------------ in

    async def put(self, key: str, data: bytes) -> None:
        """Write an object atomically: readers see the old one or the new one."""
        await self._put(key, data)

    async def put_file(
        self, key: str, path: Path, size_bytes: int | None = None, sha256: str = ""
    ) -> None:
        """Write a file as an object and verify it. The file may be deleted only after this.

        ``size_bytes`` and ``sha256`` are those of the file when it was written, if known. Raises
        OSError when the file cannot be read: FileNotFoundError when it does not exist, EIO also
        when its disk returns other bytes."""
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
        """Write an iterator of unknown length by a multipart upload; the object appears when it is
        complete.

        ``most_bytes`` is the maximum size, if known: an object above 156 GiB needs larger parts.
        Errors of the iterator are raised."""
        size = part_bytes(most_bytes)
        # Parts that are being sent are in memory.
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
                # Buffered parts may be in transfer since the last block was requested.
                left = moved + self._timeout.seconds((at_once + 1) * size)
                await asyncio.wait((put,), timeout=max(0.0, left - time.monotonic()))
                if not put.done() and time.monotonic() >= left:
                    self._timeout.ran_out()
                    message = "the store did not accept more bytes in time"
                    raise StorageError(StorageReason.TIMEOUT, message)
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
        """Write a large file as an object and delete it; rename it where that is possible.

        Raises OSError when the file cannot be read."""
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
        """Raise StorageError/Incomplete unless the store holds the bytes that were sent."""
        if self._root is None and etag is not None and etag.strip('"') == expected_etag():
            return
        await self.verify(key, size_bytes)
        if self._root is not None:
            return
        # Either the store holds other bytes, or its ETags are not MD5s.
        held = hashlib.sha256()
        async for block in self.stream(key):
            held.update(block)
        if held.digest() != sha256():
            message = "the store holds other bytes than were sent"
            raise StorageError(StorageReason.INCOMPLETE, message)
        if not self._has_read_back:
            self._has_read_back = True
            _log.info("etags_are_no_digests", why="each such object is read back")

    async def verify(self, key: str, size_bytes: int) -> None:
        """Raise StorageError/Incomplete unless the object exists and has this size."""
        try:
            found = await self.size(key)
        except MissingObjectError:
            raise StorageError(
                StorageReason.INCOMPLETE, "the store lost an object that it had stored"
            ) from None
        if found != size_bytes:
            raise StorageError(
                StorageReason.INCOMPLETE, f"the store holds {found} bytes of a file of {size_bytes}"
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
        """Yield the bytes from ``start`` up to, not including, ``end`` (None: all), in large parts.

        This uses ranges, because obstore's own stream of a local file reads 8 KiB at a time (0.5 GB
        took 3.0 s of CPU)."""
        if end is None:
            end = await self.size(key)
        while start < end:
            stop = min(end, start + local_file.BLOCK_BYTES)
            yield await self.read(key, start, stop)
            start = stop

    async def read(self, key: str, start: int, end: int) -> memoryview:
        """Return the bytes from ``start`` up to, not including, ``end``."""
        part = await self._timed(
            end - start, obstore.get_range_async(self._store, key, start=start, end=end)
        )
        if len(part) != end - start:
            message = "the store returned fewer bytes than were requested"
            raise StorageError(StorageReason.INCOMPLETE, message)
        return memoryview(part)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield all objects whose key begins with the path segments of ``prefix``; "": all."""
        pages = obstore.list(self._store, prefix or None).__aiter__()
        while True:
            try:
                page = await self._timed(0, pages.__anext__())
            except StopAsyncIteration:
                return
            for meta in page:
                yield Entry(str(meta["path"]), int(meta["size"]))

    async def folders(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the folders directly below ``prefix``, sorted."""
        found = await self._timed(0, obstore.list_with_delimiter_async(self._store, prefix))
        return tuple(
            sorted(str(p).rstrip("/").rpartition("/")[2] for p in found["common_prefixes"])
        )

    async def delete(self, *keys: str) -> None:
        """Delete objects; a missing one is not an error."""
        for at in range(0, len(keys), _DELETES_AT_ONCE):
            await asyncio.gather(*map(self._delete, keys[at : at + _DELETES_AT_ONCE]))

    async def _delete(self, key: str) -> None:
        try:
            await self._timed(0, obstore.delete_async(self._store, key))
        except MissingObjectError:
            return

    # ------------------------------------------------------------------ the volume

    def available_bytes(self) -> int | None:
        """Return the free space of a local store; None for a bucket. Raises OSError."""
        if self._root is None:
            return None
        stat = os.statvfs(self._root)
        return stat.f_bavail * stat.f_frsize

    def capacity_bytes(self) -> int | None:
        """Return the size of the volume without the blocks reserved for root; None for a bucket.

        Raises OSError."""
        if self._root is None:
            return None
        stat = os.statvfs(self._root)
        return (stat.f_blocks - stat.f_bfree + stat.f_bavail) * stat.f_frsize

    def in_making_bytes(self) -> int:
        """Return the bytes of unfinished MP4s on the volume, whose chunks are deleted later.

        Raises OSError."""
        if self._root is None:
            return 0
        sizes = []
        for path in (self._root / SCRATCH).glob("*.mp4"):
            with contextlib.suppress(FileNotFoundError):  # finished meanwhile
                sizes.append(path.stat().st_size)
        return sum(sizes)

    async def _sync(self, key: str) -> None:
        """Sync an object on a claim to the disk, which obstore does not do."""
        if self._root is not None:
            try:
                await local_file.sync(self._root / key)
            except OSError as error:
                raise explain(error) from None

    async def _timed(self, size_bytes: int, operation: Awaitable[T]) -> T:
        """Run an operation that transfers ``size_bytes``, with the timeout for this size."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout.seconds(size_bytes)):
                result = await _call(operation)
        except TimeoutError:
            self._timeout.ran_out()
            raise StorageError(StorageReason.TIMEOUT, "the store did not answer in time") from None
        self._timeout.succeeded(size_bytes, time.monotonic() - began)
        return result


def part_bytes(size_bytes: int) -> int:
    """Return the size of the parts of an object of ``size_bytes``, in whole MiB."""
    least = -(-size_bytes // _MAX_PARTS)
    return max(PART_BYTES, -(-least >> 20) << 20)


async def _call(operation: Awaitable[T]) -> T:
    # `from None`: otherwise the log would have the storage's own text with the traceback.
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
    """Open the objects of a MediaStore: its bucket, or the claim mounted at ``store_dir``.

    ``key`` reads a file of the keys folder, and is called at each request, so that rotated
    credentials apply. Nothing is sent to a bucket here; errors of a bucket appear at the first
    call. Raises StorageError when the configuration or the folder cannot be used."""
    return open_volume(store_dir) if s3 is None else ObjectStore(s3_store(s3, key))


def open_volume(folder: Path) -> ObjectStore:
    """Open the storage of a MediaStore on a PersistentVolumeClaim that is mounted at ``folder``.

    Raises StorageError when the folder cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = LocalStore(prefix=folder, automatic_cleanup=True)
    except (exceptions.BaseError, OSError) as error:
        raise explain(error) from None
    return ObjectStore(store, root=folder)
