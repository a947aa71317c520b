"""A bucket that takes a second for each request: the way into it keeps up with the stream."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sluice_media.contract import TrackInfo
from sluice_media.record.chunks import ClosedChunk
from sluice_media.record.recover import recover
from sluice_media.record.uploader import FileClosed, Uploader
from sluice_media.recording.journal import ChunkEntry, FileEntry, TrackSpan
from sluice_media.recording.segments import SegmentedJournal
from tests.support.s3 import S3Server
from tests.support.s3_proxy import S3Proxy

START = datetime(2026, 5, 1, tzinfo=UTC)
PREFIX = "recordings/r"
CHUNK_SECONDS = 1.5
CHUNKS = 30
"""45 s of media. One request after the other, it took 186 s."""
FILE = FileEntry(
    index=1,
    timeline="t1",
    first_dts=0,
    started_at=START,
    session_started_at=START,
    tracks=[TrackInfo(track=1, kind="audio", codec="aac", config="EZA=")],
)


def chunk(folder: Path, number: int) -> ClosedChunk:
    path = folder / f"001-{number:06d}.ts"
    path.write_bytes(os.urandom(200_000))
    first, end = (round(n * CHUNK_SECONDS * 90_000) for n in (number, number + 1))
    span = TrackSpan(units=1, first_dts=first, last_dts=first, end_dts=end)
    entry = ChunkEntry(
        name=path.name,
        first_dts=first,
        end_dts=end,
        size_bytes=200_000,
        sha256="",
        independent=True,
        last_utc=START + timedelta(seconds=number * CHUNK_SECONDS),
        tracks={1: span},
    )
    return ClosedChunk(path, FILE, entry)


async def test_short_chunks_reach_a_bucket_with_a_second_of_latency_faster_than_they_come(
    tmp_path: Path, server: S3Server, proxy: S3Proxy
) -> None:
    durable: list[int] = []

    async def note(chunk: ClosedChunk) -> None:
        durable.append(chunk.entry.first_dts)

    proxy.latency_seconds = 1.0
    uploader = Uploader(
        server.storage(proxy.listens_at),
        PREFIX,
        SegmentedJournal(attempt="a", recording_uid="r", started_at=START),
        spool_limit_bytes=1 << 30,
        on_durable=note,
    )
    chunks = [chunk(tmp_path, number) for number in range(CHUNKS)]
    running = asyncio.create_task(uploader.run())
    try:
        began = time.monotonic()
        uploader.put(*chunks, FileClosed(FILE.model_copy(update={"closed": True})))
        async with asyncio.timeout(120):
            await uploader.drained()
        took = time.monotonic() - began
    finally:
        running.cancel()
    assert took < CHUNKS * CHUNK_SECONDS, "it catches up"
    assert durable == [c.entry.first_dts for c in chunks]
    assert proxy.requests["PUT"] < 2 * CHUNKS, "the journal is written for several at a time"
    assert not proxy.requests.keys() & {"GET", "HEAD"}
    (tmp_path / "spool").mkdir()
    found = await recover(server.storage(), PREFIX, tmp_path / "spool", "b")
    assert [c.entry.name for c in found.merged[0].chunks] == [c.entry.name for c in chunks]
