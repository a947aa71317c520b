"""autoRecord when nodes' clocks differ: a session is recorded once, whatever its start time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice_media.contract import RecordableSession, RecorderPhase
from sluice_operator.api.v1alpha1.livestream import LISTED_SESSIONS
from tests.unit.domain.builders import RecordingCase, StreamCase, at, make_livestream, text
from tests.unit.domain.test_auto_recording import automatic, config, holds, made, on_air

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
SKEWS = pytest.mark.parametrize(
    "skew", [-HOUR, -65.0, 0.0, 65.0, HOUR], ids=lambda skew: f"{skew:+.0f}s"
)


FAR_SKEWS = pytest.mark.parametrize(
    "skew",
    [-10 * YEAR, -HOUR, HOUR, YEAR, 10 * YEAR],
    ids=["-10y", "-1h", "+1h", "+1y", "+10y"],
)
COUNT = LISTED_SESSIONS + 7


class Cluster:
    """A stream, and the Recordings that were made for it."""

    def __init__(self) -> None:
        self.stream = on_air()
        self.recordings: list[RecordingCase] = []

    def passes(self, count: int = 5) -> int:
        """Make a pass; return the number of Recordings that it made."""
        before = len(self.recordings)
        for _ in range(count):
            self.stream.related(*self.recordings).decide()
            self.recordings += [made(self.stream, m) for m in automatic(self.stream)]
            self.stream.facts["recording_names"] = frozenset(r.name for r in self.recordings)
        return len(self.recordings) - before

    def session(self, *moments: datetime) -> Cluster:
        holds(self.stream, *moments)
        return self


@SKEWS
def test_a_session_of_a_node_with_another_clock_gets_one_recording(skew: float) -> None:
    cluster = Cluster().session(at(skew))
    assert cluster.passes() == 1
    cluster.stream.later(2 * HOUR).on_air(
        recordable=[RecordableSession(started_at=at(skew), on=True)]
    )
    assert cluster.passes() == 0, "also later"


@SKEWS
def test_deleting_it_does_not_bring_it_back(skew: float) -> None:
    cluster = Cluster().session(at(skew))
    cluster.passes()
    [recording] = cluster.recordings
    assert not recording.of(cluster.stream).deleted().decide().finalizer, "nothing holds it"
    cluster.recordings.clear()
    assert cluster.passes() == 0
    [listed] = config(cluster.stream)["autoRecorded"]
    assert datetime.fromisoformat(listed) == at(skew), "the hub need not keep it"


@SKEWS
def test_the_next_session_is_recorded_on_whatever_node_it_begins(skew: float) -> None:
    """The clock of the first session's node is wrong, that of the next one's correct, and so on."""
    cluster = Cluster()
    for minutes in range(4):
        moment = at(60 * minutes + (skew if minutes % 2 == 0 else 0.0))
        cluster.stream.later(60)
        assert cluster.session(moment).passes() == 1


def test_many_sessions_are_remembered_in_little_room() -> None:
    cluster = Cluster()
    count = LISTED_SESSIONS + 7
    cluster.stream.later(2 * HOUR)
    cluster.session(*(at(60 * n) for n in range(count)))
    assert cluster.passes() == count
    status = cluster.stream.status
    assert len(status["autoRecorded"]) == LISTED_SESSIONS
    assert status["autoRecordedUntil"] == "2026-05-04T10:06:00.000000Z"
    cluster.recordings.clear()
    assert cluster.passes() == 0


# --------------------------------------------------------------------------- many of a wrong clock


@FAR_SKEWS
def test_after_many_sessions_of_a_wrong_clock_those_of_right_ones_are_recorded(skew: float) -> None:
    """The last of these sessions once was the time up to which all sessions counted as recorded."""
    cluster = Cluster().session(*(at(skew + n) for n in range(COUNT)))
    assert cluster.passes() == COUNT
    cluster.recordings.clear()
    for minute in range(1, COUNT):
        cluster.stream.later(60)
        assert cluster.session(at(60 * minute)).passes() == 1
        assert cluster.stream.status.get("autoRecordedUntil", "") < text(60 * minute)
    cluster.recordings.clear()
    assert cluster.passes() == 0


@FAR_SKEWS
def test_sessions_of_a_wrong_clock_make_no_recordings_without_end(skew: float) -> None:
    """More of them have a Recording than the list has room for."""
    cluster = Cluster().session(*(at(skew + n) for n in range(COUNT)))
    assert cluster.passes() == COUNT
    status, settings = cluster.stream.status, config(cluster.stream)
    assert len(status["autoRecorded"]) <= LISTED_SESSIONS
    assert cluster.passes(20) == 0
    assert (cluster.stream.status, config(cluster.stream)) == (status, settings), (
        "the list is stable"
    )
    cluster.stream.later(2 * HOUR)
    assert cluster.passes(20) == 0


@FAR_SKEWS
def test_one_after_the_other_each_is_recorded_once_and_the_last_are_remembered(skew: float) -> None:
    cluster = Cluster()
    for n in range(COUNT):
        assert cluster.session(at(skew + n)).passes() == 1
        cluster.recordings.clear()
        assert cluster.passes() == 0, "deleting it does not bring it back"
        assert len(cluster.stream.status["autoRecorded"]) <= LISTED_SESSIONS
    assert cluster.session(*(at(skew + n) for n in range(COUNT - 20, COUNT))).passes() == 0


def test_one_that_is_being_deleted_is_always_remembered() -> None:
    cluster = Cluster().session(*(at(YEAR + n) for n in range(COUNT)))
    cluster.passes()
    first = cluster.recordings[0]
    assert first.of(cluster.stream).deleted().decide().finalizer
    cluster.passes()
    assert not first.of(cluster.stream).decide().finalizer


def test_one_that_was_let_go_is_not_held_again_when_its_session_is_forgotten() -> None:
    cluster = Cluster().session(at(YEAR))
    cluster.passes()
    [recording] = cluster.recordings
    recording.of(cluster.stream).settled()
    recording.recorder(RecorderPhase.DONE, end_reason="StreamEnded").decide()
    assert not recording.decide().finalizer
    recording.raw["metadata"]["finalizers"] = []
    del cluster.stream.raw["status"]["autoRecorded"]
    decision = recording.of(cluster.stream).decide()
    assert (decision.finalizer, decision.requeue_after_seconds) == (False, None)


def test_a_time_ahead_that_an_earlier_version_stored_stops_no_session() -> None:
    cluster = Cluster()
    cluster.stream.raw["status"]["autoRecordedUntil"] = "2027-05-04T10:00:00.000000Z"
    cluster.passes()
    for minute in (1, 2):
        cluster.stream.later(60)
        assert cluster.session(at(60 * minute)).passes() == 1
    assert cluster.stream.status["autoRecordedUntil"] == "2026-05-04T10:00:00.000000Z"


# --------------------------------------------------------------------------- earlier versions


def test_a_status_of_an_earlier_version_is_continued() -> None:
    case: StreamCase = make_livestream("a").key("k" * 32)
    case.raw["spec"] |= {"autoRecord": True}
    case.settled()
    case.raw["status"]["autoRecordedUntil"] = "2026-05-04T09:59:58.123456Z"
    last = at(-2) + timedelta(microseconds=123_456)
    holds(case, at(-60), last, at(5)).decide()
    assert [m["metadata"]["name"] for m in automatic(case)] == ["a-20260504-100005"]
    settings: Any = config(case)
    assert settings["autoRecordedUntil"] == "2026-05-04T09:59:58.123456Z"


def test_a_hub_of_an_earlier_version_may_be_replaced_once_nothing_waits_for_a_recorder() -> None:
    """That hub knows only the time, and still lists sessions that have their Recording."""
    cluster = Cluster().session(at(-60))
    cluster.passes()
    cluster.recordings[0].raw["status"] = {"endReason": "StreamEnded"}
    held = [RecordableSession(started_at=at(-60), on=False)]
    cluster.stream.related(*cluster.recordings).idle(recordable=held)
    cluster.stream.settings(media_image="sluice-media:next").decide()
    assert config(cluster.stream)["drain"] is True
    cluster.recordings[0].raw["status"] = {}
    cluster.stream.idle(recordable=held).decide()
    assert config(cluster.stream)["drain"] is False, "its recorder may need it"
