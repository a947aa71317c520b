"""The finaliser's calls of FFmpeg, and its reaction to failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StoredRecording
from sluice_media.ffmpeg.probe import MediaProbe, ProbedFormat, ProbedStream
from sluice_media.formats.units import Codec
from sluice_media.record.space import RESERVE_BYTES
from sluice_media.recording import keys
from sluice_media.recording.journal import FileEntry, Journal
from sluice_media.recording.merge import MergedFile, merge
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import finalize as finalize_module
from sluice_media.store import worker
from sluice_media.store.catalog import load_finalized, load_view
from sluice_media.store.finalize import FinalizeJob, mp4_spec, recording_title, scratch_bytes
from sluice_media.store.verify import FinalizeError
from sluice_media.store.worker import Finisher
from tests.support.store_records import PREFIX, UID, chunk, file_entry, leave, span


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


def merged(*files: FileEntry) -> MergedFile:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    journal = Journal(attempt="a", recording_uid=UID, started_at=start, files=list(files))
    return merge([journal])[0]


def job(file: MergedFile) -> FinalizeJob:
    return FinalizeJob(UID, PREFIX, "News at 9", "pvc://claim/", file)


def test_the_title_tells_the_end_in_utc() -> None:
    end = datetime(2026, 5, 1, 14, 0, 12, tzinfo=timezone(timedelta(hours=2)))
    assert recording_title("News", end) == "Stream Record: News, 2026-05-01 12:00:12 UTC"


def test_ffmpeg_probes_up_to_the_first_unit_of_the_track_that_came_last() -> None:
    video = {0: span(0, 500_000)}
    both = {0: span(540_000, 1_000_000), 1: span(900_000, 1_000_000)}
    spec = mp4_spec(job(merged(file_entry(chunk(1, video), chunk(2, both)))), Path("x"))
    assert (spec.probe_bytes, spec.probe_us) == (3760, 10_000_000)
    assert spec.tracks == {0x100: Codec.H264, 0x101: Codec.AAC}


def test_a_declared_track_without_units_is_left_out() -> None:
    spec = mp4_spec(job(merged(file_entry(chunk(1, {1: span(0, 9)})))), Path("x"))
    assert spec.tracks == {0x101: Codec.AAC}


MIB = 1 << 20


class Disk:
    """The free space that the finaliser sees on a claim of so many bytes."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._folder = folder
        self._size = size_bytes

    def __call__(self, scratch: Path) -> int:
        scratch.mkdir(exist_ok=True)
        return self._size - sum(p.stat().st_size for p in self._folder.rglob("*") if p.is_file())


async def test_an_mp4_that_would_not_fit_is_not_begun_and_what_is_missing_is_said(
    storage: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalize_module, "_available", Disk(tmp_path, 10 * MIB))
    file = merged(file_entry(chunk(1, {0: span(0, 9)}, size=4 * MIB)))
    words = "needs 20 MiB of free space, and 10 MiB are free: 10 MiB are missing"
    with pytest.raises(StorageError, match=words):
        await finalize_module.finalize(storage, job(file), tmp_path / "scratch")


async def test_an_mp4_that_was_made_and_never_noted_makes_room_for_itself(
    storage: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def remux(*_: object) -> None:
        raise FinalizeError("it is begun")

    monkeypatch.setattr(finalize_module, "_remux", remux)
    file = merged(file_entry(chunk(1, {0: span(0, 9)}, size=4 * MIB)))
    await storage.put(keys.mp4_key(PREFIX, UID, 1), bytes(4 * MIB))
    monkeypatch.setattr(finalize_module, "_available", Disk(tmp_path, 21 * MIB))
    with pytest.raises(FinalizeError, match="it is begun"):
        await finalize_module.finalize(storage, job(file), tmp_path / "scratch")


def test_what_recorders_leave_of_a_claim_is_enough_for_the_last_mp4() -> None:
    file = merged(file_entry(chunk(1, {0: span(0, 9)}, size=1 << 30)))
    assert file.size_bytes < scratch_bytes(file) <= file.size_bytes + RESERVE_BYTES // 2


@pytest.mark.parametrize(
    ("frames", "length", "words"),
    [
        (900, 36.0, "holds 900 of 1000 video frames"),
        (999, 40.0, "holds 999 of 1000 video frames"),
        (1001, 40.0, "holds 1001 of 1000 video frames"),
        (1000, 40.0, "the MP4 is cut off"),
        (1000, 30.0, "holds 30 of 40 seconds"),
    ],
)
async def test_an_mp4_that_holds_less_than_its_chunks_is_no_mp4(
    storage: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    length: float,
    words: str,
) -> None:
    async def remux(*_: object) -> None:
        (tmp_path / "scratch" / keys.mp4_name(UID, 1)).write_bytes(b"\x00\x00\x00\x10ftyp")

    async def probe(_: Path) -> MediaProbe:
        video = ProbedStream(codec_type="video", nb_frames=frames)
        return MediaProbe(format=ProbedFormat(format_name="mp4", duration=length), streams=[video])

    monkeypatch.setattr(finalize_module, "_remux", remux)
    monkeypatch.setattr(finalize_module, "probe", probe)
    file = merged(file_entry(chunk(1, {0: span(0, 40 * 90_000 - 3600, units=1000)})))
    await storage.put(keys.chunk_key(PREFIX, "a", "001-000001.ts"), bytes(1880))
    with pytest.raises(FinalizeError, match=words):
        await finalize_module.finalize(storage, job(file), tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


async def test_a_scratch_folder_that_cannot_be_made_is_said(
    storage: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "scratch").write_text("in the way")
    file = merged(file_entry(chunk(1, {0: span(0, 9)})))
    with pytest.raises(FinalizeError, match="scratch folder cannot be used: File exists"):
        await finalize_module.finalize(storage, job(file), tmp_path / "scratch")


# ---------------------------------------------------------------------- the worker


def is_chunk(key: str) -> bool:
    return key.endswith(".ts")


class Kitchen:
    """Stands in for :func:`finalize`: makes an 'MP4', or fails as often as told."""

    def __init__(self) -> None:
        self.fails = 0
        self.made: list[int] = []

    async def __call__(self, storage: ObjectStore, job: FinalizeJob, scratch: Path) -> RecordedFile:
        if self.fails:
            self.fails -= 1
            raise FinalizeError("ffmpeg ended with code 1: no such thing")
        self.made.append(job.file.index)
        name = keys.mp4_name(job.recording_uid, job.file.index)
        await storage.put(f"{job.prefix}/{name}", b"mp4")
        return RecordedFile(
            index=job.file.index, name=name, state="Ready", started_at=job.file.started_at
        )


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    made = Kitchen()
    monkeypatch.setattr(worker, "finalize", made)
    return made


@asynccontextmanager
async def finishing(
    storage: ObjectStore, tmp_path: Path
) -> AsyncIterator[tuple[Finisher, list[str]]]:
    changes: list[str] = []
    finisher = Finisher(
        storage,
        tmp_path / "scratch",
        uri_base=str,
        on_change=changes.append,
        on_busy=lambda uid: None,
        retry_seconds=0.05,
    )
    task = asyncio.create_task(finisher.run())
    try:
        yield finisher, changes
    finally:
        task.cancel()


async def state(storage: ObjectStore, wanted: str) -> None:
    async with asyncio.timeout(20):
        while (await load_view(storage, UID)).state() != wanted:
            await asyncio.sleep(0.01)
        # The result is told first; only then the chunks go.
        while wanted == "Done" and await load_finalized(storage, UID) is None:
            await asyncio.sleep(0.01)


async def chunks_left(storage: ObjectStore) -> int:
    return len([e async for e in storage.list(PREFIX) if e.key.endswith(".ts")])


def two_files(*, second_closed: bool = True) -> tuple[FileEntry, FileEntry]:
    first = file_entry(chunk(1, {0: span(0, 9)}), index=1)
    second = file_entry(chunk(2, {0: span(0, 9)}), index=2, closed=second_closed)
    return first, second


async def test_a_recording_is_finished_although_nobody_asks(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, *two_files())
    async with finishing(storage, tmp_path) as (_, changes):
        await state(storage, "Done")
        assert changes[0] == UID
    assert kitchen.made == [1, 2]
    assert await chunks_left(storage) == 0


async def test_a_closed_file_is_finished_while_its_recording_goes_on(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, *two_files(second_closed=False), done=None)
    async with finishing(storage, tmp_path):
        async with asyncio.timeout(20):
            while not kitchen.made:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    result = (await load_view(storage, UID)).result()
    assert (result.state, [f.state for f in result.files]) == ("Open", ["Ready", "Recording"])
    assert await chunks_left(storage) == 1


async def test_what_a_vanished_recorder_left_is_finished_when_told(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, *two_files(second_closed=False), done=None)
    told = StoredRecording(uid=UID, name="rec", prefix=PREFIX, recorder_gone=True)
    await storage.put(keys.request_key(UID), told.to_json().encode())
    async with finishing(storage, tmp_path):
        await state(storage, "Done")
    assert kitchen.made == [1, 2]
    assert (await load_view(storage, UID)).result().end_reason == "RecorderLost"


async def test_a_failure_is_told_in_words_and_tried_again(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    kitchen.fails = 2
    await leave(storage, two_files()[0])
    async with finishing(storage, tmp_path):
        await state(storage, "Failed")
        assert (await load_view(storage, UID)).result().message == (
            "ffmpeg ended with code 1: no such thing"
        )
        assert await chunks_left(storage) == 1
        await state(storage, "Done")
    assert await chunks_left(storage) == 0


async def test_what_was_too_short_is_discarded_also_when_it_was_finished_before(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, two_files()[0], done=None)
    async with finishing(storage, tmp_path) as (finisher, _):
        async with asyncio.timeout(20):
            # Its chunks go once the MP4 is there; they must not be written again meanwhile.
            while not kitchen.made or [e async for e in storage.list(PREFIX) if is_chunk(e.key)]:
                await asyncio.sleep(0.01)
        await leave(storage, two_files()[0], done="TooShort")
        finisher.wake(UID)
        await state(storage, "Done")
    result = (await load_view(storage, UID)).result()
    assert (result.end_reason, [f.state for f in result.files]) == ("TooShort", ["Discarded"])
    left = [e.key async for e in storage.list(PREFIX)]
    assert not [key for key in left if key.endswith((".mp4", ".ts"))]


async def test_a_recording_without_content_is_done_at_once(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage)
    async with finishing(storage, tmp_path):
        await state(storage, "Done")
    assert kitchen.made == []
    assert (await load_view(storage, UID)).result().files == []


async def test_chunks_that_no_journal_names_are_kept_at_the_end(
    storage: ObjectStore, tmp_path: Path, kitchen: Kitchen
) -> None:
    await leave(storage, two_files()[0])
    await storage.put(keys.chunk_key(PREFIX, "attempt0", "001-000009.ts"), b"x")
    async with finishing(storage, tmp_path):
        await state(storage, "Done")
    assert await chunks_left(storage) == 1
    result = await load_finalized(storage, UID)
    assert result is not None
    assert (result.incomplete_reason, result.kept_chunks) == ("ChunksUnnamed", 1)
