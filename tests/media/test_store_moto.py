"""The same calls against another S3 server than the one that the other tests have."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sluice_media.storage.errors import MissingObjectError, StorageError
from sluice_media.storage.object_store import PART_BYTES
from sluice_media.store.uploads import UploadCleaner
from tests.support.s3 import S3Server, key_reader, moto_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


async def test_objects_go_in_and_come_out(server: S3Server, tmp_path: Path) -> None:
    storage = server.storage(prefix="in-and-out")
    large = os.urandom(PART_BYTES + 12_345)
    (tmp_path / "large").write_bytes(large)
    await storage.put("a/b/small", b"0123456789")
    await storage.put_file("a/large", tmp_path / "large")
    assert b"".join([bytes(p) async for p in storage.stream("a/large")]) == large
    assert bytes(await storage.read("a/b/small", 2, 5)) == b"234"
    assert await storage.folders("a") == ("b",)
    assert sorted([e.key async for e in storage.list()]) == ["a/b/small", "a/large"]
    await storage.delete("a/large", "a/b/small", "a/never-there")
    assert [e async for e in storage.list()] == []
    with pytest.raises(MissingObjectError):
        await storage.get("a/large")


async def test_a_bucket_that_is_not_there(server: S3Server) -> None:
    with pytest.raises(StorageError) as caught:
        await server.storage(bucket="never-made").put("k", b"")
    assert caught.value.reason == "NoSuchBucket"


async def test_an_upload_that_nobody_completes_is_found_and_ended(
    server: S3Server, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(PART_BYTES)
            begun.set()
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(server.storage().put_stream("recordings/u/u-001.mp4", endless()))
    await asyncio.wait_for(begun.wait(), 60)
    await asyncio.sleep(0.5)
    writing.cancel()
    await asyncio.wait((writing,))
    cleaner = UploadCleaner(server.s3(), tmp_path, key_reader().get)
    found = 0
    async with asyncio.timeout(30):
        while not found:  # while the last part is still on its way, moto may answer with a 500
            found = await cleaner.abort("recordings/u")
    assert [found, await cleaner.abort("")] == [1, 0]
