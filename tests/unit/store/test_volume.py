"""Objects on a claim: whole or not there, and a claim that hangs holds one thread."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from sluice_media.storage import local_file
from sluice_media.storage import volume as module
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import open_volume


async def test_files_and_bytes_of_any_size_arrive(tmp_path: Path) -> None:
    storage = open_volume(tmp_path / "claim")
    for size in (0, 1, module._BLOCK_BYTES, 3 * module._BLOCK_BYTES + 5):
        data = os.urandom(size)
        (tmp_path / "file").write_bytes(data)
        await storage.put_file("a/b/file", tmp_path / "file")
        await storage.put("a/b/bytes", data)
        assert await storage.get("a/b/file") == data
        assert await storage.get("a/b/bytes") == data


async def test_what_a_dead_process_left_unfinished_is_neither_listed_nor_in_the_way(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x#1").write_bytes(b"half")
    storage = open_volume(tmp_path)
    await storage.put("a/x", b"whole")
    assert [entry.key async for entry in storage.list("a")] == ["a/x"]
    assert await storage.get("a/x") == b"whole"


async def test_a_full_claim_says_so_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int, block: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    storage = open_volume(tmp_path)
    await storage.put("a/x", b"before")
    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(StorageError) as refused:
        await storage.put("a/x", b"after")
    assert refused.value.reason == "NoSpace"
    assert await storage.get("a/x") == b"before"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]


async def test_a_file_that_cannot_be_read_is_no_fault_of_the_claim(tmp_path: Path) -> None:
    storage = open_volume(tmp_path / "claim")
    with pytest.raises(FileNotFoundError):
        await storage.put_file("a/x", tmp_path / "gone", 5)
    with pytest.raises(IsADirectoryError):
        await storage.put_file("a/x", tmp_path, 5)
    assert not (tmp_path / "claim/a/x").exists()


async def test_a_claim_that_hangs_times_out_and_others_threads_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    def hang(folder: Path) -> None:
        hangs.wait(30)

    storage = open_volume(tmp_path)
    monkeypatch.setattr(storage._timeout, "seconds", lambda size: 0.1)
    monkeypatch.setattr(local_file, "flush", hang)
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(StorageError) as refused:
            await storage.put("x", b"data")
        assert refused.value.reason == "Timeout"
    assert threading.active_count() <= before + 1
    hangs.set()
    monkeypatch.undo()
    async with asyncio.timeout(10):
        await storage.put("x", b"later")
        assert await storage.get("x") == b"later"


async def test_what_nobody_waits_for_any_more_does_not_appear_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    write = module._write

    def hang(number: int, block: bytes | memoryview) -> int:
        hangs.wait(30)
        return write(number, block)

    storage = open_volume(tmp_path)
    await storage.put("x", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(storage._timeout, "seconds", lambda size: 0.1)
        patch.setattr(module, "_write", hang)
        with pytest.raises(StorageError):
            await storage.put("x", b"given up")
    hangs.set()
    async with asyncio.timeout(10):
        await storage.put("y", b"behind it, in the same thread")
    assert await storage.get("x") == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/x", "a//x", ""])
async def test_no_key_leaves_the_claim(tmp_path: Path, key: str) -> None:
    storage = open_volume(tmp_path / "claim")
    with pytest.raises(StorageError):
        await storage.put(key, b"data")
    assert not (tmp_path / "x").exists()


async def test_a_file_that_is_not_what_was_written_is_not_stored(tmp_path: Path) -> None:
    storage = open_volume(tmp_path / "claim")
    spooled = tmp_path / "spooled"
    spooled.write_bytes(b"something else")
    with pytest.raises(OSError, match="other bytes") as refused:
        await storage.put_file("a/x", spooled, 14, hashlib.sha256(b"what was written").hexdigest())
    assert refused.value.errno == errno.EIO
    assert list((tmp_path / "claim/a").iterdir()) == []
