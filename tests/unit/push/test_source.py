"""What the source does, as the hub tells it and when the hub is gone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluice_media.contract import (
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineHeartbeat,
)
from sluice_media.push.machine import SourceChanged
from sluice_media.push.source import SourceTracker
from sluice_media.timeline.reader import HubBack, HubLost

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ON_AIR = SourceChanged(session=True, delivering=True)
INTERRUPTED = SourceChanged(session=True, delivering=False)
OVER = SourceChanged(session=False, delivering=False)
DELIVERS = TimelineHeartbeat(session=True, delivering=True)
SILENT = TimelineHeartbeat(session=True, delivering=False)
NO_SESSION = TimelineHeartbeat(session=False, delivering=False)
END = TimelineEnd(reason="WindowPassed", finished_at=NOW)


def format_of(timeline: str) -> TimelineFormat:
    return TimelineFormat(
        timeline=timeline, epoch=1, stream_uid="u", session_started_at=NOW, tracks=[]
    )


@pytest.fixture
def source() -> SourceTracker:
    made = SourceTracker()
    assert made.record(NO_SESSION, 0) == []
    assert made.record(format_of("a"), 0) == []
    assert made.record(DELIVERS, 0) == [ON_AIR]
    return made


def test_heartbeats_say_whether_media_arrives(source: SourceTracker) -> None:
    assert source.record(DELIVERS, 1) == []
    assert source.record(SILENT, 2) == [INTERRUPTED]
    assert source.record(DELIVERS, 3) == [ON_AIR]
    assert source.record(TimelineAnchor(dts=1, utc=NOW), 4) == []


def test_only_an_end_ends_a_session(source: SourceTracker) -> None:
    assert source.record(END, 1) == [OVER]
    assert source.record(NO_SESSION, 2) == []
    assert source.record(format_of("b"), 3) == []
    assert source.record(SILENT, 3) == [INTERRUPTED]


def test_a_new_hub_that_knows_of_no_session_yet_interrupts_it(source: SourceTracker) -> None:
    assert source.record(NO_SESSION, 1) == [INTERRUPTED]
    assert source.record(format_of("a"), 5) == []
    assert source.record(DELIVERS, 5) == [ON_AIR]
    assert source.deadline() is None


def test_a_quick_reconnect_is_no_event(source: SourceTracker) -> None:
    assert source.record(HubLost(1.0, "closed"), 1.0) == []
    assert source.deadline() == 2.0
    assert source.tick(1.9) == []
    assert source.record(HubBack(1.9), 1.9) == []
    assert source.record(format_of("a"), 1.9) == []
    assert source.record(DELIVERS, 1.9) == []
    assert source.deadline() is None


def test_a_hub_that_is_gone_interrupts_after_a_second_and_ends_after_a_minute_more(
    source: SourceTracker,
) -> None:
    source.resume_window_seconds = 10
    source.record(HubLost(1.0, "closed"), 1.0)
    assert source.tick(2.0) == [INTERRUPTED]
    assert source.deadline() == 71.0
    assert source.tick(70.9) == []
    assert source.tick(71.0) == [OVER]
    assert source.deadline() is None


def test_another_timeline_without_an_end_is_another_session(source: SourceTracker) -> None:
    assert source.record(format_of("b"), 1) == [OVER]
    assert source.record(DELIVERS, 1) == [ON_AIR]


def test_the_same_timeline_again_is_no_event(source: SourceTracker) -> None:
    assert source.record(format_of("a"), 1) == []


def test_stopping_ends_the_session(source: SourceTracker) -> None:
    assert source.stop() == [OVER]
    assert source.stop() == []
