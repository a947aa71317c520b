"""Chunks that are lost cost what they held, and nothing else is ever deleted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.journal import ChunkEntry, FileEntry, Journal, sealed
from sluice_media.recording.merge import MergedFile, merge
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import worker
from sluice_media.store.catalog import load_finalized, load_view
from sluice_media.store.chunk_source import ChunkError, Loss
from sluice_media.store.finalize import FinalizeJob
from sluice_media.store.kept import KeptChunks
from sluice_media.store.losses import without
from sluice_media.store.results import load_result
from sluice_media.store.verify import UnitsDifferError
from sluice_media.store.worker import Finisher
from tests.support.store_records import PREFIX, START, UID, chunk, file_entry, leave, span

SECOND = 90_000
TOLD = StoredRecording(uid=UID, name="rec", prefix=PREFIX)


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


def six_seconds(number: int) -> ChunkEntry:
    """Chunk ``number`` (from 1): pictures every 40 ms."""
    first, last = (number - 1) * 6 * SECOND, number * 6 * SECOND - 3600
    size = 188 * number
    entry = chunk(number, {0: span(first, last, units=150)}, size)
    return entry.model_copy(update={"sha256": hashlib.sha256(bytes(size)).hexdigest()})


def chunks(*numbers: int) -> list[ChunkEntry]:
    return [six_seconds(number) for number in numbers]


def journal(attempt: str, file: FileEntry, second: int = 0) -> Journal:
    began = START + timedelta(seconds=second)
    return Journal(attempt=attempt, recording_uid=UID, started_at=began, files=[file])


def name(number: int) -> str:
    return keys.chunk_name(1, number)


# ---------------------------------------------------------------------- the file of what is there


@pytest.mark.parametrize(
    ("lost", "want_gaps", "want_first_dts"),
    [
        pytest.param([3], [(12, 6)], 0, id="in the middle"),
        pytest.param([2, 3], [(6, 12)], 0, id="two in a row are one gap"),
        pytest.param([2, 4], [(6, 6), (12, 6)], 0, id="two apart: media follows on media"),
        pytest.param([5], [(24, 6)], 0, id="at the end"),
        pytest.param([1], [(0, 6)], 6 * SECOND, id="at the beginning: the MP4 begins behind it"),
        pytest.param([1, 3], [(0, 6), (6, 6)], 6 * SECOND, id="what follows moves to the front"),
    ],
)
def test_where_a_chunk_is_lost_there_is_a_gap(
    lost: list[int], want_gaps: list[tuple[int, int]], want_first_dts: int
) -> None:
    journals = [journal("a", file_entry(*chunks(1, 2, 3, 4, 5)))]
    rest = without(merge(journals)[0], journals, {("a", name(n)) for n in lost})
    assert [(g.at_seconds, g.wall_seconds) for g in rest.gaps] == want_gaps
    assert rest.first_dts == want_first_dts
    assert rest.units == {0: 150 * (5 - len(lost))}


@given(st.sets(st.integers(1, 12), min_size=1, max_size=11))
def test_every_lost_second_is_in_exactly_one_gap(lost: set[int]) -> None:
    journals = [journal("a", file_entry(*chunks(*range(1, 13))))]
    rest = without(merge(journals)[0], journals, {("a", name(n)) for n in lost})
    runs = [number for number in lost if number - 1 not in lost]
    assert len(rest.gaps) == len(runs)
    assert sum(gap.wall_seconds for gap in rest.gaps) == 6 * len(lost)
    assert rest.units == {0: 150 * (12 - len(lost))}


def test_another_attempts_copy_takes_the_place_of_a_lost_chunk() -> None:
    overlapping = file_entry(*chunks(2, 3), closed=True)
    journals = [journal("a", file_entry(*chunks(1, 2, 3, 4))), journal("b", overlapping, 1)]
    whole = merge(journals)[0]
    lost = next(c.id for c in whole.chunks if c.entry.name == name(3))
    rest = without(whole, journals, {lost})
    assert (rest.units, rest.gaps) == ({0: 600}, [])


# ---------------------------------------------------------------------- the worker


class Kitchen:
    """Stands in for :func:`finalize`; ``damaged`` chunks are found out while an MP4 is made."""

    def __init__(self) -> None:
        self.jobs: list[MergedFile] = []
        self.damaged: set[tuple[str, str]] = set()
        self.differs = False

    async def __call__(self, storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
        self.jobs.append(job.file)
        if found := [c.id for c in job.file.chunks if c.id in self.damaged]:
            raise ChunkError(dict.fromkeys(found, Loss.DAMAGED))
        if self.differs:
            raise UnitsDifferError("the MP4 holds 899 of 900 video frames")
        await storage.put(job.key, b"mp4")
        return RecordedFile(
            index=job.file.index,
            name=job.name,
            state="Ready",
            started_at=job.file.started_at,
            gaps=[gap.public() for gap in job.file.gaps],
        )


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    made = Kitchen()
    monkeypatch.setattr(worker, "finalize", made)
    return made


@asynccontextmanager
async def finishing(storage: ObjectStore, tmp_path: Path) -> AsyncIterator[Finisher]:
    finisher = Finisher(
        storage,
        tmp_path / "scratch",
        uri_base=str,
        on_change=lambda uid: None,
        on_busy=lambda uid: None,
        scan_seconds=0.05,
        retry_seconds=0.02,
    )
    task = asyncio.create_task(finisher.run())
    try:
        yield finisher
    finally:
        task.cancel()


async def settled(storage: ObjectStore, tmp_path: Path) -> StoredResult:
    async with finishing(storage, tmp_path), asyncio.timeout(20):
        while (found := await load_finalized(storage, UID)) is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # several scans: nothing is tried again
    return found


async def left(storage: ObjectStore) -> list[str]:
    names = [entry.key.rpartition("/")[2] async for entry in storage.list(PREFIX)]
    return sorted(name for name in names if name.endswith(".ts"))


async def test_a_missing_chunk_is_a_gap_and_nothing_is_tried_again(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1, 2, 3)))
    await storage.delete(keys.chunk_key(PREFIX, "attempt1", name(2)))
    found = await settled(storage, tmp_path)
    (file,) = found.files
    assert (file.state, file.lost_chunks) == ("Ready", 1)
    assert [(gap.at_seconds, gap.wall_seconds) for gap in file.gaps] == [(6, 6)]
    assert file.message == (
        "1 of 3 chunks is lost: 001-000002.ts is missing in the store; gaps says where"
    )
    assert (found.state, found.incomplete_reason) == ("Done", "ChunksLost")
    assert len(kitchen.jobs) == 1
    assert await left(storage) == []


async def test_a_damaged_chunk_is_kept_and_the_others_become_an_mp4(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    kitchen.damaged = {("attempt1", name(2))}
    await leave(storage, file_entry(*chunks(1, 2, 3)))
    found = await settled(storage, tmp_path)
    assert found.files[0].message == (
        "1 of 3 chunks is lost: 001-000002.ts is damaged in the store; gaps says where"
    )
    assert [len(job.chunks) for job in kitchen.jobs] == [3, 2]
    assert await left(storage) == [name(2)]
    assert (found.kept_chunks, found.incomplete_reason) == (1, "ChunksLost")


async def test_a_truncated_chunk_is_damaged(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1, 2)))
    await storage.put(keys.chunk_key(PREFIX, "attempt1", name(1)), bytes(100))
    found = await settled(storage, tmp_path)
    assert (found.files[0].state, found.files[0].lost_chunks) == ("Ready", 1)
    assert await left(storage) == [name(1)]


async def test_a_file_of_which_nothing_can_be_read_is_failed_once_and_for_all(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1, 2)))
    for number in (1, 2):
        await storage.delete(keys.chunk_key(PREFIX, "attempt1", name(number)))
    found = await settled(storage, tmp_path)
    (file,) = found.files
    assert (file.state, file.final, kitchen.jobs) == ("Failed", True, [])
    assert (found.incomplete_reason, found.lost_chunks) == ("ChunksLost", 2)
    assert file.message == (
        "none of its 2 chunks can be read: "
        "chunk 001-000001.ts of it is missing in the store, and 1 more is lost; "
        "it is not tried again"
    )


async def test_an_mp4_that_differs_twice_is_not_made_a_third_time(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    kitchen.differs = True
    await leave(storage, file_entry(*chunks(1, 2)))
    found = await settled(storage, tmp_path)
    assert (found.files[0].state, found.files[0].final) == ("Failed", True)
    assert len(kitchen.jobs) == 2
    assert await left(storage) == [name(1), name(2)]


async def test_an_mp4_whose_result_is_lost_is_not_made_again_of_what_is_left(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    first = file_entry(*chunks(1, 2, 3))
    await leave(storage, first, done=None)
    async with finishing(storage, tmp_path), asyncio.timeout(20):
        while await left(storage):
            await asyncio.sleep(0.01)
    before = (await load_view(storage, UID)).results[1]
    await storage.put(keys.result_key(PREFIX, 1), b"{half")
    await leave(storage, first)
    await storage.delete(keys.chunk_key(PREFIX, "attempt1", name(2)))
    found = await settled(storage, tmp_path)
    assert found.files == [before]
    assert len(kitchen.jobs) == 1


async def test_what_only_a_damaged_segment_names_is_kept_and_told(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    """Five attempts with three chunks each; one byte of one journal is flipped."""
    for attempt in range(5):
        numbers = range(3 * attempt + 1, 3 * attempt + 4)
        entry = file_entry(*chunks(*numbers), closed=attempt == 4)
        await leave(storage, entry, attempt=f"a{attempt}", done=None)
        await storage.delete(keys.journal_key(PREFIX, f"a{attempt}"))
        data = bytearray(sealed(journal(f"a{attempt}", entry, attempt)))
        if attempt == 2:
            at = data.index(b'"units":150') + 8
            data[at] ^= 1  # 050 is another number, and no error of JSON
        await storage.put(keys.journal_segment_key(PREFIX, f"a{attempt}", 1), bytes(data))
    await storage.put(keys.request_key(UID), gone().to_json().encode())
    found = await settled(storage, tmp_path)
    assert [len(job.chunks) for job in kitchen.jobs] == [12]
    assert await left(storage) == [name(7), name(8), name(9)]
    assert (found.faulty_segments, found.kept_chunks) == (1, 3)
    assert found.incomplete_reason == "JournalDamaged"
    assert found.incomplete_message == (
        "1 segment of the journal is damaged; chunks may be missing in the files. "
        "3 chunks are named by no journal, and in no file."
    )
    (file,) = found.files
    assert [(gap.at_seconds, gap.wall_seconds) for gap in file.gaps] == [(36, 18)]


def gone() -> StoredRecording:
    return TOLD.model_copy(update={"recorder_gone": True})


async def test_a_segment_that_is_gone_hides_no_other_one(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1, 2, 3)), done=None)
    await storage.delete(keys.journal_key(PREFIX, "attempt1"))
    for number in (1, 3):
        part = journal("attempt1", file_entry(six_seconds(number)))
        await storage.put(keys.journal_segment_key(PREFIX, "attempt1", number), sealed(part))
    view = await load_view(storage, UID)
    assert [(f.attempt, f.number, f.is_missing) for f in view.journal_faults] == [
        ("attempt1", 2, True)
    ]
    assert [c.entry.name for c in view.files[0].chunks] == [name(1), name(3)]
    assert view.result().incomplete_reason == "SegmentMissing"


async def test_a_copy_that_a_dying_recorder_could_not_name_is_kept_without_alarm(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1, 2)))
    await storage.put(keys.chunk_key(PREFIX, "attempt0", name(9)), bytes(188 * 2))
    found = await settled(storage, tmp_path)
    assert (found.kept_chunks, found.incomplete_reason) == (1, None)
    assert await left(storage) == [name(9)]


@pytest.mark.parametrize(("original_seconds", "days"), [(3_600, 7), (20 * 86_400, 20)])
async def test_what_is_kept_goes_after_its_time(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen, original_seconds: int, days: int
) -> None:
    told = TOLD.model_copy(update={"original_seconds": original_seconds})
    await storage.put(keys.request_key(UID), told.to_json().encode())
    await leave(storage, file_entry(*chunks(1)))
    stray = keys.chunk_key(PREFIX, "attempt0", name(9))
    await storage.put(stray, b"x")
    found = await settled(storage, tmp_path)
    assert found.kept_since is not None
    until = (await load_result(storage, UID)).kept_until
    assert until == found.kept_since + timedelta(days=days)
    for age, want in ((timedelta(days=days, minutes=-5), 1), (timedelta(days=days), 0)):
        since = datetime.now(UTC) - age
        result = found.model_copy(update={"kept_since": since})
        await storage.put(keys.finalized_key(UID), result.to_json().encode())
        async with finishing(storage, tmp_path), asyncio.timeout(20):
            while want == 0 and await left(storage):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
        assert len(await left(storage)) == want
    after = await load_finalized(storage, UID)
    assert after is not None
    assert (after.kept_chunks, after.kept_since) == (0, None)
    assert after.incomplete_reason == "ChunksUnnamed", "that it was lost stays true"


async def test_the_marker_of_kept_chunks_names_them_from_the_first_day(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, file_entry(*chunks(1)))
    await storage.put(keys.chunk_key(PREFIX, "attempt0", name(9)), b"x")
    first = KeptChunks(since=START, chunks=[("attempt0", name(9))], unnamed=1)
    await storage.put(keys.kept_key(PREFIX), first.to_json().encode())
    assert (await settled(storage, tmp_path)).kept_since == START
