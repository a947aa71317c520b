"""Operations on whole local files: read, hash, sync to the disk.

The coroutines run in threads. All functions raise OSError.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

BLOCK_BYTES = 8 << 20


async def blocks(path: Path) -> AsyncIterator[bytes]:
    """Yield the content in blocks."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
    finally:
        file.close()


async def content(path: Path, sha256: str = "") -> bytes:
    """Return the content. Raise OSError (EIO) when ``sha256`` is given and does not match."""
    return await asyncio.to_thread(_content, path, sha256)


def changed() -> OSError:
    """Return an error for a disk that returns other bytes than were written, without an error."""
    return OSError(errno.EIO, "the disk returns other bytes than were written")


async def digest(path: Path) -> tuple[int, str]:
    """Return the size in bytes, and the SHA-256."""
    return await asyncio.to_thread(_digest, path)


async def sync(path: Path) -> None:
    """Sync a file's content and its entry in its folder to the disk."""
    await asyncio.to_thread(_sync, path)


def _content(path: Path, sha256: str) -> bytes:
    found = path.read_bytes()
    if sha256 and hashlib.sha256(found).hexdigest() != sha256:
        raise changed()
    return found


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), found


def flush(place: Path) -> None:
    """Sync a file's content, or a folder's entries, to the disk."""
    number = os.open(place, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync(path: Path) -> None:
    flush(path)
    flush(path.parent)
