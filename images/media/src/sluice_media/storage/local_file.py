"""What is done with a whole file of this machine: read, hashed, brought to the disk.

Coroutines do it in threads. Everything raises OSError.
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
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block
    finally:
        file.close()


async def content(path: Path, sha256: str = "") -> bytes:
    """All of it. ``sha256``: of what was once written; EIO when that is not what comes back."""
    return await asyncio.to_thread(_content, path, sha256)


def changed() -> OSError:
    """For a disk that gives back something else than was written, without an error of its own."""
    return OSError(errno.EIO, "the disk gives back something else than was written")


async def digest(path: Path) -> tuple[int, str]:
    """Its size in bytes, and its SHA-256."""
    return await asyncio.to_thread(_digest, path)


async def sync(path: Path) -> None:
    """Brings to the disk what is in it and that it is there."""
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
    """Brings a file's content, or a folder's entries, to the disk."""
    number = os.open(place, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync(path: Path) -> None:
    flush(path)
    flush(path.parent)
