"""Builders of the objects that recorders put into a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sluice_media.contract import TrackInfo
from sluice_media.recording import keys
from sluice_media.recording.journal import (
    ChunkEntry,
    Completion,
    FileEntry,
    Journal,
    RecordingHead,
    TrackSpan,
)
from sluice_media.storage.object_store import ObjectStore

UID = "rec-uid-1"
PREFIX = f"recordings/{UID}"
START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
VIDEO = TrackInfo(track=0, kind="video", codec="h264", config="", width=640, height=360)
AUDIO = TrackInfo(track=1, kind="audio", codec="aac", config="EZA=", sample_rate=48_000)


def span(first: int, last: int, units: int = 10) -> TrackSpan:
    return TrackSpan(units=units, first_dts=first, last_dts=last, end_dts=last + 3600)


def chunk(number: int, tracks: dict[int, TrackSpan], size: int = 1880) -> ChunkEntry:
    return ChunkEntry(
        name=keys.chunk_name(1, number),
        first_dts=min(s.first_dts for s in tracks.values()),
        end_dts=max(s.end_dts for s in tracks.values()),
        size_bytes=size,
        sha256="",
        independent=True,
        last_utc=START + timedelta(seconds=6 * number),
        tracks=tracks,
    )


def file_entry(*chunks: ChunkEntry, index: int = 1, closed: bool = True) -> FileEntry:
    return FileEntry(
        index=index,
        timeline=f"t{index}",
        first_dts=0,
        started_at=START + timedelta(minutes=index - 1),
        session_started_at=START,
        tracks=[VIDEO, AUDIO],
        chunks=list(chunks),
        closed=closed,
        ended_at=START + timedelta(seconds=12) if closed else None,
        end_reason="SessionEnded" if closed else None,
    )


async def leave(
    storage: ObjectStore,
    *files: FileEntry,
    done: str | None = "Stopped",
    attempt: str = "attempt1",
    uid: str = UID,
) -> None:
    """Put the objects of one attempt of a recorder. Its chunks contain no media."""
    prefix = f"recordings/{uid}"
    head = RecordingHead(
        uid=uid,
        name="rec",
        namespace="default",
        stream_title="News at 9",
        created_at=START,
        minimum_seconds=10,
        rearm_seconds=0,
        desired_state="Recording",
    )
    journal = Journal(attempt=attempt, recording_uid=uid, started_at=START, files=list(files))
    for file in files:
        for entry in file.chunks:
            key = keys.chunk_key(prefix, attempt, entry.name)
            await storage.put(key, b"\x00" * entry.size_bytes)
    await storage.put(keys.head_key(prefix), head.to_json().encode())
    await storage.put(keys.journal_key(prefix, attempt), journal.to_json().encode())
    if done is not None:
        completion = Completion(end_reason=done, at=START)
        await storage.put(keys.done_key(prefix), completion.to_json().encode())
