"""The storage behind one small interface: what arrives is verified, what fails is explained."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from sluice_media.storage.errors import MissingObjectError, StorageError, explain
from sluice_media.storage.object_store import PART_BYTES, ObjectStore, open_volume, part_bytes


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


async def test_objects_come_back_whole_and_in_ranges(storage: ObjectStore) -> None:
    await storage.put("a/b/c", b"0123456789")
    assert await storage.get("a/b/c") == b"0123456789"
    assert await storage.size("a/b/c") == 10
    parts = [bytes(p) async for p in storage.stream("a/b/c", start=2, end=5)]
    assert b"".join(parts) == b"234"
    parts = [bytes(p) async for p in storage.stream("a/b/c", start=7)]
    assert b"".join(parts) == b"789"


async def test_folders_and_lists(storage: ObjectStore) -> None:
    for key in ("r/one/x", "r/two/y", "r/file"):
        await storage.put(key, b"1")
    assert await storage.folders("r") == ("one", "two")
    assert await storage.folders("nothing") == ()
    assert sorted([e.key async for e in storage.list("r")]) == ["r/file", "r/one/x", "r/two/y"]


async def test_what_is_not_there(storage: ObjectStore) -> None:
    for operation in (storage.get("no"), storage.size("no")):
        with pytest.raises(MissingObjectError):
            await operation
    await storage.delete("no")


async def test_a_file_beside_the_objects_is_renamed_and_another_is_copied(
    storage: ObjectStore, tmp_path: Path
) -> None:
    assert storage.root is not None
    inside, outside = storage.root / ".scratch/a", tmp_path / "b"
    inside.parent.mkdir()
    inside.write_bytes(b"a" * 100)
    outside.write_bytes(b"b" * 100)
    inode = inside.stat().st_ino
    await storage.move_in("k/a", inside)
    await storage.move_in("k/b", outside)
    assert (storage.root / "k/a").stat().st_ino == inode
    assert await storage.get("k/b") == b"b" * 100
    assert not inside.exists()
    assert not outside.exists()


@pytest.mark.parametrize("size_bytes", [0, 1 << 30, 150 << 30, 157 << 30, 453 << 30, 5 << 40])
def test_no_object_needs_more_parts_than_s3_allows(size_bytes: int) -> None:
    part = part_bytes(size_bytes)
    assert -(-size_bytes // part) <= 10_000
    assert PART_BYTES <= part <= max(PART_BYTES, size_bytes // 10_000 + (1 << 20))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        open_volume(tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "NoSpace"),
        (PermissionError(13, "Permission denied"), "AccessDenied"),
        (OSError("Unable to write: os error 30"), "ReadOnly"),
        (OSError("<Code>NoSuchBucket</Code>"), "NoSuchBucket"),
        (OSError("https://key:secret@host/?X-Amz-Signature=abc"), "StoreFailed"),
    ],
)
def test_a_refusal_is_one_word_and_a_sentence_without_what_the_storage_said(
    error: OSError, reason: str
) -> None:
    explained = explain(error)
    assert explained.reason == reason
    assert "secret" not in str(explained)


async def test_a_disk_that_fails_while_an_object_is_replaced_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_volume(tmp_path)
    await storage.put("a/journal.json", b"old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("sluice_media.storage.volume.os.fsync", fail)
    with pytest.raises(StorageError, match="input/output error"):
        await storage.put("a/journal.json", b"new")
    monkeypatch.undo()
    assert await storage.get("a/journal.json") == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["journal.json"]
    await storage.put("a/journal.json", b"new")
    assert await storage.get("a/journal.json") == b"new"


async def test_a_file_whose_disk_gives_back_something_else_is_not_stored(
    storage: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "chunk").write_bytes(b"\x00" * 9)
    written = hashlib.sha256(b"012345678").hexdigest()
    with pytest.raises(OSError, match="other bytes than were written"):
        await storage.put_file("a/chunk", tmp_path / "chunk", 9, written)
    with pytest.raises(MissingObjectError):
        await storage.size("a/chunk")
