"""Chunks that a damaged segment hides are taken back when they fit, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult, TrackInfo
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.record.chunks import ChunkCutter, index_path
from sluice_media.record.plan import PlannedFile
from sluice_media.recording import keys
from sluice_media.recording.journal import ChunkEntry, FileEntry, Journal, sealed
from sluice_media.recording.merge import MergedFile
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import worker
from sluice_media.store.catalog import load_finalized, load_view
from sluice_media.store.finalize import FinalizeJob
from sluice_media.store.unnamed import take_back
from sluice_media.store.worker import Finisher
from tests.support.store_records import PREFIX, START, UID

AUDIO = TrackInfo(track=1, kind="audio", codec="aac", config="EZA=", sample_rate=48_000, channels=2)
STEP = 1_920
WRAP = 1 << 33


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


def recorded(tmp_path: Path, attempt: str = "a", count: int = 10, first: int = 0) -> FileEntry:
    """Write ``count`` chunks of 282 frames, as one attempt does, and return their file entry."""
    folder = tmp_path / "store" / PREFIX / attempt
    folder.mkdir(parents=True)
    file = PlannedFile(1, "t1", first, START, START, [AUDIO])
    cutter = ChunkCutter(folder)
    closed = []
    for number in range(282 * count):
        at = first + number * STEP
        flags = UnitFlags.RANDOM_ACCESS if number % 282 == 0 else UnitFlags.NONE
        unit = AccessUnit(1, at, at, flags, round(START.timestamp() * 1e6), b"\x21" * 150)
        file.take(unit)
        closed += cutter.write(file, [unit])
    closed += cutter.close()
    for chunk in closed:
        index_path(chunk.path).unlink()
    entry = file.entry()
    return entry.model_copy(update={"chunks": [c.entry for c in closed], "closed": True})


async def write_journal(
    storage: ObjectStore,
    file: FileEntry,
    segments: Sequence[Sequence[ChunkEntry]],
    attempt: str = "a",
) -> None:
    for number, chunks in enumerate(segments, 1):
        part = Journal(
            attempt=attempt,
            recording_uid=UID,
            started_at=START,
            files=[file.model_copy(update={"chunks": list(chunks)})],
        )
        key = keys.journal_segment_key(PREFIX, attempt, number)
        await storage.put(key, sealed(part))
    told = StoredRecording(uid=UID, name="rec", prefix=PREFIX, recorder_gone=True)
    await storage.put(keys.request_key(UID), told.to_json().encode())


async def flip(storage: ObjectStore, key: str, at: int) -> None:
    data = bytearray(await storage.get(key))
    data[at] ^= 1
    await storage.put(key, bytes(data))


async def taken_back(storage: ObjectStore) -> list[str]:
    view = await load_view(storage, UID)
    await take_back(storage, view, view.unfinished_files())
    return [chunk.entry.name for chunk in (await load_view(storage, UID)).files[0].chunks]


@pytest.mark.parametrize("first", [0, WRAP - 5 * 282 * STEP - 7, 3 * WRAP - 6 * 282 * STEP])
async def test_one_flipped_byte_in_a_segment_costs_nothing(
    storage: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    made: list[MergedFile] = []

    async def finalize(storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
        made.append(job.file)
        await storage.put(job.key, b"mp4")
        return RecordedFile(index=1, name=job.name, state="Ready", started_at=START)

    monkeypatch.setattr(worker, "finalize", finalize)
    file = recorded(tmp_path, first=first)
    await write_journal(storage, file, [file.chunks[:4], file.chunks[4:7], file.chunks[7:]])
    await flip(storage, keys.journal_segment_key(PREFIX, "a", 2), 600)
    finisher = Finisher(
        storage,
        tmp_path / "scratch",
        uri_base=str,
        on_change=lambda uid: None,
        on_busy=lambda uid: None,
    )
    task = asyncio.create_task(finisher.run())
    found: StoredResult | None = None
    async with asyncio.timeout(20):
        while (found := await load_finalized(storage, UID)) is None:
            await asyncio.sleep(0.01)
    task.cancel()
    (merged,) = made
    assert [c.entry.name for c in merged.chunks] == [c.name for c in file.chunks]
    assert merged.units == {1: 2820}
    assert [c.entry.tracks for c in merged.chunks] == [c.tracks for c in file.chunks]
    assert (merged.gaps, found.kept_chunks) == ([], 0)
    assert (found.incomplete_reason, found.incomplete_message) == (
        "JournalDamaged",
        "1 segment of the journal is damaged; chunks may be missing in the files. "
        "3 chunks are back in place.",
    )
    assert not list((tmp_path / "store").rglob("*.ts"))


async def test_a_chunk_that_a_dead_recorder_could_not_name_is_taken_back(
    storage: ObjectStore, tmp_path: Path
) -> None:
    file = recorded(tmp_path)
    await write_journal(storage, file, [file.chunks[:9]])
    assert len(await taken_back(storage)) == 10


async def test_the_chunks_of_a_last_segment_that_is_gone_are_taken_back(
    storage: ObjectStore, tmp_path: Path
) -> None:
    file = recorded(tmp_path)
    await write_journal(storage, file, [file.chunks[:4]])
    assert await taken_back(storage) == [chunk.name for chunk in file.chunks]


async def test_a_chunk_of_an_attempt_without_a_journal_is_taken_back_into_a_hole(
    storage: ObjectStore, tmp_path: Path
) -> None:
    file = recorded(tmp_path)
    lost = tmp_path / "store" / PREFIX / "b"
    lost.mkdir()
    for chunk in file.chunks[3:5]:
        (lost.parent / "a" / chunk.name).rename(lost / chunk.name)
    await write_journal(storage, file, [[*file.chunks[:3], *file.chunks[5:]]])
    view = await load_view(storage, UID)
    assert await take_back(storage, view, view.unfinished_files())
    (merged,) = (await load_view(storage, UID)).files
    assert merged.units == {1: 2820}
    assert merged.closed, "the newest attempt's word counts"
    assert not await take_back(storage, await load_view(storage, UID), [merged]), "it is named now"


async def damage_packet(storage: ObjectStore, key: str) -> None:
    data = await storage.get(key)
    await storage.put(key, data[: 188 * 100] + data[188 * 101 :])


async def cut(storage: ObjectStore, key: str) -> None:
    await storage.put(key, (await storage.get(key))[:-7])


async def garbage(storage: ObjectStore, key: str) -> None:
    await storage.put(key, bytes(1880))


@pytest.mark.parametrize("harm", [damage_packet, cut, garbage])
async def test_a_chunk_that_is_not_whole_is_not_taken(
    storage: ObjectStore, tmp_path: Path, harm: Callable[[ObjectStore, str], Awaitable[None]]
) -> None:
    file = recorded(tmp_path)
    await harm(storage, keys.chunk_key(PREFIX, "a", file.chunks[4].name))
    await write_journal(storage, file, [[*file.chunks[:4], *file.chunks[5:]]])
    assert len(await taken_back(storage)) == 9


async def test_a_chunk_that_fits_nowhere_is_not_taken(storage: ObjectStore, tmp_path: Path) -> None:
    file = recorded(tmp_path)
    recorded(tmp_path, attempt="copy")
    recorded(tmp_path, attempt="later", count=1, first=60 * 60 * 90_000)
    await write_journal(storage, file, [file.chunks])
    assert len(await taken_back(storage)) == 10


async def test_a_chunk_whose_index_two_files_have_is_not_taken(
    storage: ObjectStore, tmp_path: Path
) -> None:
    file = recorded(tmp_path)
    await write_journal(storage, file, [file.chunks[:9]])
    other = file.model_copy(
        update={"timeline": "t2", "started_at": START + timedelta(hours=1), "chunks": []}
    )
    await write_journal(storage, other, [[]], attempt="b")
    assert len(await taken_back(storage)) == 9
