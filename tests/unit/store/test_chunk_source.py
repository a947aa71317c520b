"""Chunks on their way to FFmpeg: in order, ahead of need, checked, and asked for again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from sluice_media.contract import StorageReason
from sluice_media.recording.merge import MergedChunk
from sluice_media.storage.errors import MissingObjectError, StorageError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store import chunk_source
from sluice_media.store.chunk_source import ChunkError, ChunkSource
from tests.support.store_records import AUDIO, PREFIX, VIDEO, chunk, span

SIZE = 1000


@dataclass
class Bucket:
    """Gives chunks out; ``faults`` has what goes wrong with a key, one after another."""

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Exception | bytes]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    root: Path | None = None

    async def read(self, key: str, start: int, end: int) -> memoryview:
        self.reads.append(key)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.001)
            faults = self.faults.get(key, [])
            if faults:
                fault = faults.pop(0)
                if isinstance(fault, Exception):
                    raise fault
                return memoryview(fault)
            return memoryview(self.objects[key][start:end])
        finally:
            self.under_way -= 1


def key_of(number: int) -> str:
    return f"{PREFIX}/a/001-{number:06d}.ts"


def source(bucket: Bucket, count: int, size: int = SIZE) -> ChunkSource:
    chunks = []
    for number in range(1, count + 1):
        data = bytes([number]) * size
        bucket.objects[key_of(number)] = data
        entry = chunk(number, {0: span(0, 9)}, size).model_copy(
            update={"sha256": hashlib.sha256(data).hexdigest()}
        )
        chunks.append(MergedChunk("a", entry))
    return ChunkSource(cast("ObjectStore", bucket), PREFIX, chunks, [VIDEO, AUDIO])


async def taken(chunks: ChunkSource) -> list[int]:
    async with contextlib.aclosing(chunks.blocks()) as blocks:
        return [block[0] async for block in blocks]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_source, "RETRY_SECONDS", (0.001,) * 5)


async def test_chunks_come_in_order_and_are_read_ahead() -> None:
    bucket = Bucket()
    assert await taken(source(bucket, 30)) == list(range(1, 31))
    assert 2 < bucket.most_under_way <= chunk_source.AHEAD_CHUNKS


async def test_no_more_is_held_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_source, "AHEAD_BYTES", 2 * SIZE)
    bucket = Bucket()
    assert await taken(source(bucket, 6)) == [1, 2, 3, 4, 5, 6]
    assert bucket.most_under_way == 2
    monkeypatch.setattr(chunk_source, "AHEAD_BYTES", SIZE // 2)
    assert await taken(source(bucket, 3)) == [1, 2, 3], "a chunk that is too large comes alone"


async def test_what_the_store_cannot_give_now_is_asked_for_again() -> None:
    bucket = Bucket()
    chunks = source(bucket, 3)
    slow = StorageError(StorageReason.SLOW_DOWN, "slow down")
    bucket.faults[key_of(2)] = [slow, slow, b"\x00" * SIZE, slow]
    assert await taken(chunks) == [1, 2, 3]


async def test_a_store_that_stays_away_is_said_in_the_end_and_nothing_runs_on() -> None:
    bucket = Bucket()
    chunks = source(bucket, 9)
    bucket.faults[key_of(2)] = [StorageError(StorageReason.UNREACHABLE, "gone")] * 99
    with pytest.raises(StorageError, match="gone"):
        await taken(chunks)
    assert bucket.under_way == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_claim_that_fails_is_not_waited_for_so_long(tmp_path: Path) -> None:
    bucket = Bucket(root=tmp_path)
    chunks = source(bucket, 1)
    bucket.faults[key_of(1)] = [StorageError(StorageReason.INPUT_OUTPUT_ERROR, "sick disk")] * 2
    with pytest.raises(StorageError, match="sick disk"):
        await taken(chunks)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([b"\x00" * SIZE] * 9, "chunk 001-000001.ts of it is damaged in the store"),
        ([MissingObjectError()], "chunk 001-000001.ts of it is missing in the store"),
    ],
)
async def test_what_is_lost_or_damaged_is_named(
    faults: list[Exception | bytes], words: str
) -> None:
    bucket = Bucket()
    chunks = source(bucket, 2)
    bucket.faults[key_of(1)] = faults
    with pytest.raises(ChunkError, match=words):
        await taken(chunks)


async def test_who_stops_taking_leaves_nothing_under_way() -> None:
    bucket = Bucket()
    async with contextlib.aclosing(source(bucket, 9).blocks()) as blocks:
        await anext(blocks)
    assert asyncio.all_tasks() == {asyncio.current_task()}
