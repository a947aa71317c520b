"""The way into the store: in order, verified, and patient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice_media.contract import TrackInfo
from sluice_media.record import uploader as module
from sluice_media.record.chunks import ClosedChunk
from sluice_media.record.journal import ChunkEntry, Completion, FileEntry, TrackSpan
from sluice_media.record.recover import recover
from sluice_media.record.segments import SegmentedJournal
from sluice_media.record.uploader import FileClosed, StopRequested, Uploader
from sluice_media.store.target import Target, TargetError, open_claim

START = datetime(2026, 5, 1, tzinfo=UTC)
FILE = FileEntry(
    index=1,
    timeline="t1",
    first_dts=0,
    started_at=START,
    session_started_at=START,
    tracks=[TrackInfo(track=1, kind="audio", codec="aac", config="EZA=")],
)


class SickTarget(Target):
    """Refuses while ``ill``."""

    ill: TargetError | None = None

    async def put_file(self, key: str, path: Path) -> None:
        if self.ill is not None:
            raise self.ill
        await super().put_file(key, path)


@pytest.fixture
def target(tmp_path: Path) -> SickTarget:
    claim = open_claim(tmp_path / "store")
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
async def running(target: Target, **limits: int) -> AsyncIterator[tuple[Uploader, list[int]]]:
    durable: list[int] = []

    async def note(chunk: ClosedChunk) -> None:
        durable.append(chunk.entry.first_dts)

    uploader = Uploader(
        target,
        "recordings/r",
        SegmentedJournal(attempt="a", recording_uid="r", started_at=START),
        spool_limit_bytes=limits.get("spool_limit_bytes", 1 << 20),
        on_durable=note,
    )
    task = asyncio.create_task(uploader.run())
    try:
        yield uploader, durable
    finally:
        task.cancel()


async def test_everything_arrives_in_order_and_leaves_the_spool(
    tmp_path: Path, target: SickTarget
) -> None:
    async with running(target) as (uploader, durable):
        ended = FILE.model_copy(update={"closed": True, "end_reason": "Stopped"})
        done = Completion(end_reason="Stopped", at=START)
        uploader.put(chunk(tmp_path, 1), chunk(tmp_path, 2), StopRequested(START))
        uploader.put(FileClosed(ended), done)
        await uploader.drained()
        assert uploader.completed.is_set()
    assert durable == [1, 2]
    assert list(tmp_path.glob("*.ts")) == []
    (tmp_path / "spool").mkdir()
    found = await recover(target, "recordings/r", tmp_path / "spool", "b")
    (file,) = found.merged
    assert [c.entry.first_dts for c in file.chunks] == [1, 2]
    assert (file.closed, file.end_reason) == (True, "Stopped")
    assert (found.done, found.stop_requested_at) == (done, START)


async def test_a_store_that_refuses_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, target: SickTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_MAX_SECONDS", 0.02)
    target.ill = TargetError("NoSpace", "no space is left in the store")
    async with running(target, spool_limit_bytes=700) as (uploader, durable):
        uploader.put(chunk(tmp_path, 1), chunk(tmp_path, 2))
        await asyncio.sleep(0.1)
        assert uploader.error is target.ill
        assert uploader.pending_bytes == 752
        assert len(list(tmp_path.glob("*.ts"))) == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(uploader.room(), 0.05)
        target.ill = None
        await asyncio.wait_for(uploader.room(), 5)
        await uploader.drained()
        assert (uploader.pending_bytes, durable) == (0, [1, 2])


async def test_a_chunk_that_did_not_arrive_whole_stays_in_the_spool(
    tmp_path: Path, target: SickTarget
) -> None:
    item = chunk(tmp_path, 1)
    await target.put_file("k", item.path)
    with pytest.raises(TargetError, match="holds 376 bytes of a file of 377"):
        await target.verify("k", 377)
