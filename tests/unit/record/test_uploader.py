"""The way into the store: in order, verified, and patient."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice_media.contract import StorageReason, TrackInfo
from sluice_media.record import uploader as module
from sluice_media.record.carrier import UPLOADS_AHEAD, UPLOADS_AT_ONCE
from sluice_media.record.chunks import ClosedChunk
from sluice_media.record.fence import Fence
from sluice_media.record.recover import recover
from sluice_media.record.uploader import FileClosed, StopRequested, Uploader
from sluice_media.recording.journal import ChunkEntry, Completion, FileEntry, Journal, TrackSpan
from sluice_media.recording.keys import done_key, journal_segment_key, playlist_key
from sluice_media.recording.segments import SegmentedJournal
from sluice_media.storage.errors import MissingObjectError, StorageError
from sluice_media.storage.object_store import ObjectStore, open_volume

START = datetime(2026, 5, 1, tzinfo=UTC)
FILE = FileEntry(
    index=1,
    timeline="t1",
    first_dts=0,
    started_at=START,
    session_started_at=START,
    tracks=[TrackInfo(track=1, kind="audio", codec="aac", config="EZA=")],
)


class SickTarget(ObjectStore):
    """Refuses while ``ill``."""

    ill: StorageError | None = None
    unreadable: Path | None = None

    async def put_file(
        self, key: str, path: Path, size_bytes: int | None = None, sha256: str = ""
    ) -> None:
        if path == self.unreadable:
            raise OSError(errno.EIO, "Input/output error")
        if self.ill is not None:
            raise self.ill
        await super().put_file(key, path, size_bytes, sha256)


@pytest.fixture
def storage(tmp_path: Path) -> SickTarget:
    claim = open_volume(tmp_path / "store")
    return SickTarget(claim._store, root=claim.root)


def chunk(folder: Path, number: int, size: int = 376) -> ClosedChunk:
    path = folder / f"001-{number:06d}.ts"
    path.write_bytes(b"\x47" * size)
    span = TrackSpan(units=1, first_dts=number, last_dts=number, end_dts=number + 1)
    entry = ChunkEntry(
        name=path.name,
        first_dts=number,
        end_dts=number + 1,
        size_bytes=size,
        sha256="",
        independent=True,
        last_utc=START,
        tracks={1: span},
    )
    return ClosedChunk(path, FILE, entry)


@asynccontextmanager
async def running(
    storage: ObjectStore,
    *,
    spool_limit_bytes: int = 1 << 20,
    fence: Fence | None = None,
    on_unreadable: Callable[[ClosedChunk], None] = lambda chunk: None,
) -> AsyncIterator[tuple[Uploader, list[int]]]:
    durable: list[int] = []

    async def note(chunk: ClosedChunk) -> None:
        durable.append(chunk.entry.first_dts)

    uploader = Uploader(
        storage,
        "recordings/r",
        SegmentedJournal(attempt="a", recording_uid="r", started_at=START),
        spool_limit_bytes=spool_limit_bytes,
        on_durable=note,
        on_unreadable=on_unreadable,
        fence=fence,
    )
    task = asyncio.create_task(uploader.run())
    try:
        yield uploader, durable
    finally:
        task.cancel()


async def test_everything_arrives_in_order_and_leaves_the_spool(
    tmp_path: Path, storage: SickTarget
) -> None:
    async with running(storage) as (uploader, durable):
        ended = FILE.model_copy(update={"closed": True, "end_reason": "Stopped"})
        done = Completion(end_reason="Stopped", at=START)
        uploader.put(chunk(tmp_path, 1), chunk(tmp_path, 2), StopRequested(START))
        uploader.put(FileClosed(ended), done)
        await uploader.drained()
        assert uploader.completed.is_set()
    assert durable == [1, 2]
    assert list(tmp_path.glob("*.ts")) == []
    (tmp_path / "spool").mkdir()
    found = await recover(storage, "recordings/r", tmp_path / "spool", "b")
    (file,) = found.merged
    assert [c.entry.first_dts for c in file.chunks] == [1, 2]
    assert (file.closed, file.end_reason) == (True, "Stopped")
    assert (found.done, found.stop_requested_at) == (done, START)


@pytest.mark.parametrize("key", ["recordings/r/done.json", "recordings/r/recording.json"])
async def test_a_damaged_word_in_the_store_keeps_no_recorder_from_bringing_its_media(
    tmp_path: Path, storage: SickTarget, key: str
) -> None:
    await storage.put(key, b'{"uid": "r", "na')
    (tmp_path / "spool" / "a").mkdir(parents=True)
    async with running(storage) as (uploader, _):
        uploader.put(chunk(tmp_path, 1))
        await uploader.drained()
    found = await recover(storage, "recordings/r", tmp_path / "spool", "b")
    assert [len(file.chunks) for file in found.merged] == [1]
    assert (found.done, found.head) == (None, None)


async def test_a_store_that_refuses_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, storage: SickTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_MAX_SECONDS", 0.02)
    storage.ill = StorageError(StorageReason.NO_SPACE, "no space is left in the store")
    async with running(storage, spool_limit_bytes=700) as (uploader, durable):
        uploader.put(chunk(tmp_path, 1), chunk(tmp_path, 2))
        await asyncio.sleep(0.1)
        assert uploader.error is storage.ill
        assert uploader.pending_bytes == 752
        assert len(list(tmp_path.glob("*.ts"))) == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(uploader.room(), 0.05)
        storage.ill = None
        await asyncio.wait_for(uploader.room(), 20)
        await uploader.drained()
        assert (uploader.pending_bytes, durable) == (0, [1, 2])


async def test_a_chunk_that_did_not_arrive_whole_stays_in_the_spool(
    tmp_path: Path, storage: SickTarget
) -> None:
    item = chunk(tmp_path, 1)
    await storage.put_file("k", item.path)
    with pytest.raises(StorageError, match="holds 376 bytes of a file of 377"):
        await storage.verify("k", 377)


class DistantTarget(SickTarget):
    """Answers late, and notes what is on its way at once."""

    names: list[str]
    under_way = most_under_way = journals = 0
    stuck: Path | None = None

    async def put_file(
        self, key: str, path: Path, size_bytes: int | None = None, sha256: str = ""
    ) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            # The later ones arrive first.
            await asyncio.sleep(0.05 - int(path.stem[-2:]) * 0.001)
            if path == self.stuck:
                raise StorageError(StorageReason.SLOW_DOWN, "the store asks to slow down")
            await super().put_file(key, path, size_bytes, sha256)
            self.names.append(path.name)
        finally:
            self.under_way -= 1

    async def put(self, key: str, data: bytes) -> None:
        await asyncio.sleep(0.05)
        if "journal" in key:
            self.journals += 1
            named = {c.name for f in Journal.model_validate_json(data).files for c in f.chunks}
            assert named <= set(self.names), "the journal names only what is there"
        await super().put(key, data)


@pytest.fixture
def distant(storage: SickTarget) -> DistantTarget:
    found = DistantTarget(storage._store, root=storage.root)
    found.names = []
    return found


async def test_several_chunks_are_on_their_way_at_once_and_the_journal_keeps_their_order(
    tmp_path: Path, distant: DistantTarget
) -> None:
    async with running(distant) as (uploader, durable):
        uploader.put(*(chunk(tmp_path, number) for number in range(1, 41)))
        async with asyncio.timeout(30):
            await uploader.drained()
    assert distant.most_under_way == UPLOADS_AT_ONCE
    assert distant.names != sorted(distant.names), "they did not arrive in their order"
    assert durable == list(range(1, 41))
    assert distant.journals <= 30, "several chunks are noted at a time"
    (tmp_path / "spool").mkdir()
    found = await recover(distant, "recordings/r", tmp_path / "spool", "b")
    assert [c.entry.first_dts for c in found.merged[0].chunks] == list(range(1, 41))


async def test_a_chunk_that_does_not_arrive_lets_only_a_few_others_ahead(
    tmp_path: Path, distant: DistantTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_MAX_SECONDS", 0.02)
    chunks = [chunk(tmp_path, number) for number in range(1, 31)]
    async with running(distant) as (uploader, durable):
        distant.stuck = chunks[0].path
        uploader.put(*chunks)
        await asyncio.sleep(1)
        assert len(distant.names) < UPLOADS_AHEAD, "what no journal names is lost with the process"
        assert (durable, uploader.pending_chunks) == ([], 30)
        assert uploader.error is not None
        distant.stuck = None
        async with asyncio.timeout(30):
            await uploader.drained()
    assert durable == list(range(1, 31))


async def test_large_chunks_are_not_all_in_memory_at_once(
    tmp_path: Path, distant: DistantTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.record.carrier.UPLOAD_BYTES", 1000)
    async with running(distant) as (uploader, _):
        uploader.put(*(chunk(tmp_path, number) for number in range(1, 9)))
        async with asyncio.timeout(30):
            await uploader.drained()
        assert distant.most_under_way == 2
        uploader.put(*(chunk(tmp_path, number, 1880) for number in range(9, 12)))
        async with asyncio.timeout(30):
            await uploader.drained()


async def test_an_attempt_that_was_overtaken_does_not_say_that_the_recording_is_over(
    tmp_path: Path, storage: SickTarget
) -> None:
    newer = SegmentedJournal(
        attempt="b", recording_uid="r", started_at=START + timedelta(seconds=1)
    )
    key = journal_segment_key("recordings/r", "b", 1)
    await storage.put(key, newer.segment(START).to_json().encode())
    async with running(storage, fence=Fence(storage, "recordings/r", "a", START)) as (uploader, _):
        uploader.put(chunk(tmp_path, 1), Completion(end_reason="Stopped", at=START))
        await asyncio.wait_for(uploader.overtaken.wait(), 20)
        await uploader.drained()
    assert not uploader.completed.is_set()
    with pytest.raises(MissingObjectError):
        await storage.size(done_key("recordings/r"))
    (tmp_path / "spool").mkdir()
    found = await recover(storage, "recordings/r", tmp_path / "spool", "c")
    assert len(found.merged[0].chunks) == 1, "what it had is there all the same"


async def test_a_chunk_that_the_disk_does_not_give_back_holds_up_nothing(
    tmp_path: Path, storage: SickTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_MAX_SECONDS", 0.02)
    monkeypatch.setattr(module, "_RETRY_MIN_SECONDS", 0.01)
    lost: list[ClosedChunk] = []
    async with running(storage, on_unreadable=lost.append) as (uploader, durable):
        bad, good = chunk(tmp_path, 1), chunk(tmp_path, 2)
        storage.unreadable = bad.path
        uploader.put(bad, good)
        await asyncio.wait_for(uploader.drained(), 20)
    assert (lost, durable, uploader.pending_bytes) == ([bad], [2], 0)
    assert bad.path.exists()


async def test_the_playlist_names_only_what_is_in_the_store(
    tmp_path: Path, storage: SickTarget
) -> None:
    async with running(storage) as (uploader, _):
        uploader.put(chunk(tmp_path, 1))
        await uploader.drained()
        storage.ill = StorageError(StorageReason.UNREACHABLE, "the store cannot be reached")
        uploader.put(chunk(tmp_path, 2))
        await asyncio.sleep(0.05)
        text = (await storage.get(playlist_key("recordings/r", "a", 1))).decode()
        assert "001-000002.ts" not in text
        storage.ill = None
        ended = FILE.model_copy(update={"closed": True, "end_reason": "Stopped"})
        uploader.put(FileClosed(ended))
        await asyncio.wait_for(uploader.drained(), 20)
        text = (await storage.get(playlist_key("recordings/r", "a", 1))).decode()
    assert text.count("#EXTINF") == 2
    assert text.endswith("#EXT-X-ENDLIST\n")
