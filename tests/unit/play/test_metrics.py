"""What a play pod counts: delay and sizes of its parts, and its window."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice_media.contract import PlayConfig, StreamRef, TimelineFormat, TimelineSegment
from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    Codec,
    TrackFormat,
    TrackKind,
    UnitFlags,
)
from sluice_media.play.disk import SegmentDisk
from sluice_media.play.metrics import PlayMetrics
from sluice_media.play.session import PlaySession
from sluice_media.timeline.framing import Record, track_infos

SESSION = "0123456789abcdef"
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"avcc", width=320, height=180)
FRAME_TICKS = TICKS_PER_SECOND // 25
SEGMENT_FRAMES = 50
TRACK = {"track": "video"}


def now_us() -> int:
    return time.time_ns() // 1_000


def make_session(folder: Path, metrics: PlayMetrics) -> PlaySession:
    config = PlayConfig(
        namespace="show",
        name="a",
        uid="uid-a",
        generation=1,
        hash="",
        stream=StreamRef(name="a", uid="uid-a", host="a-ingest.show.svc.cluster.local."),
        dvr_seconds=60,
    )
    session = PlaySession(SESSION, 0, config, SegmentDisk(folder), metrics)
    tracks = track_infos([VIDEO])
    session.feed(
        [
            TimelineFormat(
                timeline=SESSION,
                epoch=1,
                stream_uid="uid-a",
                session_started_at=STARTED,
                tracks=tracks,
            )
        ]
    )
    return session


def segment(number: int, arrived_us: int) -> list[Record]:
    """The records of 2 s of video whose units arrived at the same time."""
    start = number * SEGMENT_FRAMES * FRAME_TICKS
    record = TimelineSegment(
        run="run", number=number, dts=start, pts=start, target_seconds=3, anchor_dts=0,
        anchor_utc=STARTED,
    )  # fmt: skip
    records: list[Record] = [record]
    for index in range(SEGMENT_FRAMES):
        dts = start + index * FRAME_TICKS
        flags = UnitFlags.NONE if index else UnitFlags.RANDOM_ACCESS
        records.append(AccessUnit(0, dts, dts, flags, arrived_us, b"picture" * 100))
    return records


@pytest.fixture
def metrics() -> PlayMetrics:
    return PlayMetrics()


def delay(metrics: PlayMetrics, suffix: str) -> float:
    name = f"sluice_play_part_delay_seconds_{suffix}"
    return metrics.registry.get_sample_value(name, TRACK) or 0.0


def test_the_delay_is_from_the_arrival_of_the_last_unit(
    tmp_path: Path, metrics: PlayMetrics
) -> None:
    session = make_session(tmp_path, metrics)
    time.sleep(0.2)
    session.feed(segment(0, now_us() - 100_000))
    parts = len(session.table.segments[0].tracks[0].parts)
    assert delay(metrics, "count") == parts > 1
    assert 0.1 * parts <= delay(metrics, "sum") < 0.2 * parts


def test_a_clock_that_is_ahead_makes_no_negative_delay(
    tmp_path: Path, metrics: PlayMetrics
) -> None:
    session = make_session(tmp_path, metrics)
    session.feed(segment(0, now_us() + 60_000_000))
    assert delay(metrics, "count") > 1
    assert delay(metrics, "sum") == 0


def test_what_arrived_before_the_pod_started_says_nothing_about_delay(
    tmp_path: Path, metrics: PlayMetrics
) -> None:
    """The hub sends its last minute first."""
    session = make_session(tmp_path, metrics)
    session.feed(segment(0, now_us() - 50_000_000))
    assert delay(metrics, "count") == 0
    assert metrics.registry.get_sample_value("sluice_play_part_bytes_count", TRACK)


def test_sizes_are_those_of_the_table(tmp_path: Path, metrics: PlayMetrics) -> None:
    session = make_session(tmp_path, metrics)
    session.feed(segment(0, now_us()) + segment(1, now_us()))
    first, second = (each.tracks[0] for each in session.table.segments)
    read = metrics.registry.get_sample_value
    assert first.is_closed
    assert read("sluice_play_segment_bytes_count", TRACK) == 1
    assert read("sluice_play_segment_bytes_sum", TRACK) == first.size
    assert read("sluice_play_part_bytes_count", TRACK) == len(first.parts) + len(second.parts)
    assert read("sluice_play_part_bytes_sum", TRACK) == first.size + second.size


def test_gauges_are_read_at_each_scrape(metrics: PlayMetrics) -> None:
    values = {"disk": 0.0}
    metrics.watch(
        window_seconds=lambda: 60.0,
        window_disk_bytes=lambda: values["disk"],
        age_seconds=lambda: 0.5,
    )
    values["disk"] = 1_000.0
    read = metrics.registry.get_sample_value
    assert read("sluice_play_window_disk_bytes") == 1_000
    assert read("sluice_play_window_seconds") == 60
    assert read("sluice_play_playlist_age_seconds") == 0.5


def test_every_name_has_the_role_and_a_help_text(metrics: PlayMetrics) -> None:
    for family in metrics.registry.collect():
        assert family.name.startswith("sluice_play_")
        assert family.documentation.endswith(".")
