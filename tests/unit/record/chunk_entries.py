"""Builders of what journals hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sluice_media.contract import TimelineAnchor, TrackInfo
from sluice_media.recording.journal import ChunkEntry, FileEntry, TrackSpan

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
VIDEO = TrackInfo(track=0, kind="video", codec="h264", config="AAAA", width=640, height=360)


def seconds(count: float) -> int:
    return round(count * 90_000)


def entry(number: int, first: float, last: float, *, independent: bool = True) -> ChunkEntry:
    """A chunk of pictures from ``first`` to ``last`` seconds."""
    span = TrackSpan(
        units=25, first_dts=seconds(first), last_dts=seconds(last) - 3_600, end_dts=seconds(last)
    )
    return ChunkEntry(
        name=f"001-{number:06d}.ts",
        first_dts=seconds(first),
        end_dts=seconds(last),
        size_bytes=1_000_000,
        sha256="0" * 64,
        independent=independent,
        last_utc=START + timedelta(seconds=last),
        tracks={0: span},
    )


def file_entry(**changes: object) -> FileEntry:
    file = FileEntry(
        index=1,
        timeline="t1",
        first_dts=0,
        started_at=START,
        session_started_at=START,
        tracks=[VIDEO],
        anchors=[TimelineAnchor(dts=0, utc=START)],
    )
    return file.model_copy(update=changes)
