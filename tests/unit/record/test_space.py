"""When a recording stops because what comes could not be kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StorageReason
from sluice_media.record.chunks import ClosedChunk
from sluice_media.record.space import SpaceEstimate, reserve_bytes
from sluice_media.recording import keys
from sluice_media.recording.journal import Journal
from sluice_media.recording.merge import merge
from sluice_media.recording.usage import StoreUsage, write_usage
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import SCRATCH, ObjectStore, open_volume
from tests.unit.record.chunk_entries import START, entry, file_entry

MIB, GIB = 1 << 20, 1 << 30
PREFIX = "recordings/r"


class DiskSpace(ObjectStore):
    """A claim whose free space the test sets."""

    free: int | None = None
    ill = False

    def available_bytes(self) -> int | None:
        return self.free

    async def get(self, key: str) -> bytes:
        if self.ill:
            raise StorageError(StorageReason.UNREACHABLE, "the store cannot be reached")
        return await super().get(key)


@pytest.fixture
def volume(tmp_path: Path) -> DiskSpace:
    claim = open_volume(tmp_path)
    return DiskSpace(claim._store, root=claim.root)


def usage(used: int, limit: int | None, **changes: object) -> StoreUsage:
    found = StoreUsage(used_bytes=used, limit_bytes=limit, observed_at=START, exceeded=False)
    return found.model_copy(update=changes)


def chunk(number: int) -> ClosedChunk:
    """1 MB of 6 s."""
    return ClosedChunk(Path("x"), file_entry(), entry(number, number * 6 - 6, number * 6))


@pytest.mark.parametrize(
    ("limit", "rate", "reserve"),
    [
        (100 * GIB, 750_000, 64 * MIB),
        (100 * GIB, 10_000_000, 100_000_000),
        (100 * MIB, 750_000, 10 * MIB),
    ],
    ids=["64 MiB", "10 s of it", "a tenth of a small limit"],
)
def test_the_reserve(limit: int, rate: float, reserve: int) -> None:
    assert reserve_bytes(limit, rate) == reserve


async def test_without_a_figure_nothing_is_full(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    await space.refresh()
    assert not space.is_full(10 * GIB)


async def test_a_figure_that_cannot_be_read_never_stops_a_recording(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    await volume.put(keys.usage_key(), b"nonsense")
    await space.refresh()
    assert not space.is_full(GIB)
    volume.ill = True
    await space.refresh()
    assert not space.is_full(GIB)


async def test_what_is_pending_and_stored_since_counts(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    await write_usage(volume, usage(GIB - 70 * MIB, GIB))
    await space.refresh()
    assert not space.is_full(5 * MIB)
    assert space.is_full(6 * MIB)
    for number in range(1, 8):
        space.stored(chunk(number), START + timedelta(seconds=10))
    assert space.is_full(0)
    # The store pod has counted them by now.
    await write_usage(volume, usage(GIB - 80 * MIB, GIB, observed_at=START + timedelta(seconds=60)))
    await space.refresh()
    assert not space.is_full(0)


async def test_the_store_pods_word_counts(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    await write_usage(volume, usage(0, None, exceeded=True))
    await space.refresh()
    assert space.is_full(0)


async def test_a_volume_keeps_room_for_the_mp4s_of_its_chunks(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    before = Journal(
        attempt="a",
        recording_uid="r",
        started_at=START,
        files=[
            file_entry(
                chunks=[entry(n, n * 6, n * 6 + 6) for n in range(100)],
                closed=True,
                end_reason="Split",
            )
        ],
    )
    space.restore(merge([before]), "b")
    volume.free = 100_000_000 + 64 * MIB
    await space.refresh()
    assert not space.is_full(0)
    assert space.is_full(1), "what waits in the spool will be there twice"
    made = RecordedFile(index=1, name="x.mp4", state="Ready", started_at=START)
    await volume.put(keys.result_key(PREFIX, 1), made.to_json().encode())
    await space.refresh()
    assert not space.is_full(40_000_000)


@pytest.mark.parametrize("where", [f"{SCRATCH}/r-001.mp4", keys.mp4_key(PREFIX, "r", 1)])
async def test_an_mp4_in_the_making_is_not_counted_twice(volume: DiskSpace, where: str) -> None:
    space = SpaceEstimate(volume, PREFIX)
    chunks = [entry(n, n * 6, n * 6 + 6) for n in range(100)]
    closed = file_entry(chunks=chunks, closed=True, end_reason="Split")
    before = Journal(attempt="a", recording_uid="r", started_at=START, files=[closed])
    space.restore(merge([before]), "b")
    # Of 100 MB nearly all is written.
    await volume.put(where, bytes(90_000_000))
    volume.free = 10_000_000 + 64 * MIB
    await space.look()
    assert not space.is_full(0)
    volume.free -= 1
    await space.look()
    assert space.is_full(0)


async def test_what_an_mp4_in_the_making_takes_cannot_be_recorded_into(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    await volume.put(f"{SCRATCH}/another-001.mp4", bytes(90_000_000))
    volume.free = 64 * MIB
    await space.look()
    assert not space.is_full(0)
    assert space.is_full(1)


async def test_what_was_stored_since_the_volume_was_looked_at_counts(volume: DiskSpace) -> None:
    space = SpaceEstimate(volume, PREFIX)
    volume.free = 64 * MIB + 3_000_000
    await space.look()
    space.stored(chunk(1), START)
    assert not space.is_full(0)
    space.stored(chunk(2), START)
    assert space.is_full(0)
