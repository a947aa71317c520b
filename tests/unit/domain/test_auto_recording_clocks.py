"""autoRecord when nodes' clocks differ: a session is recorded once, whatever its beginning says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice_media.contract import RecordableSession
from sluice_operator.api.v1alpha1.livestream import LISTED_SESSIONS
from tests.unit.domain.builders import RecordingCase, StreamCase, at, make_livestream
from tests.unit.domain.test_auto_recording import automatic, config, holds, made, on_air

HOUR = 3600.0
SKEWS = pytest.mark.parametrize(
    "skew", [-HOUR, -65.0, 0.0, 65.0, HOUR], ids=lambda skew: f"{skew:+.0f}s"
)


class Cluster:
    """A stream with the Recordings that were made for it."""

    def __init__(self) -> None:
        self.stream = on_air()
        self.recordings: list[RecordingCase] = []

    def passes(self, count: int = 5) -> int:
        """Lets the stream be looked at; returns how many Recordings that made."""
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
    [told] = config(cluster.stream)["autoRecorded"]
    assert datetime.fromisoformat(told) == at(skew), "the hub need not keep it"


@SKEWS
def test_the_next_session_is_recorded_on_whatever_node_it_begins(skew: float) -> None:
    """The first one is of a node whose clock is wrong, the next one of a right one; and back."""
    cluster = Cluster()
    for minutes in range(4):
        moment = at(60 * minutes + (skew if minutes % 2 == 0 else 0.0))
        cluster.stream.later(60)
        assert cluster.session(moment).passes() == 1


def test_many_sessions_are_remembered_in_little_room() -> None:
    cluster = Cluster()
    count = LISTED_SESSIONS + 7
    cluster.session(*(at(60 * n) for n in range(count)))
    assert cluster.passes() == count
    status = cluster.stream.status
    assert len(status["autoRecorded"]) == LISTED_SESSIONS
    assert status["autoRecordedUntil"] == "2026-05-04T10:06:00.000000Z"
    cluster.recordings.clear()
    assert cluster.passes() == 0


def test_a_status_of_an_earlier_version_goes_on() -> None:
    case: StreamCase = make_livestream("a").key("k" * 32)
    case.raw["spec"] |= {"autoRecord": True}
    case.settled()
    case.raw["status"]["autoRecordedUntil"] = "2026-05-04T09:59:58.123456Z"
    last = at(-2) + timedelta(microseconds=123_456)
    holds(case, at(-60), last, at(5)).decide()
    assert [m["metadata"]["name"] for m in automatic(case)] == ["a-20260504-100005"]
    told: Any = config(case)
    assert told["autoRecordedUntil"] == "2026-05-04T09:59:58.123456Z"


def test_a_hub_of_an_earlier_version_may_be_replaced_once_nothing_waits_for_a_recorder() -> None:
    """It knows the moment only, and goes on listing what has had its Recording."""
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
