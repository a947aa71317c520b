"""A new hub may adopt the session that was on. Until it has decided, the status is kept
(LIFECYCLE, row 14)."""

from __future__ import annotations

from tests.unit.domain.builders import StreamCase
from tests.unit.domain.lifecycle import settled


def restarted() -> StreamCase:
    """The process of an old pod died on air; its successor answers."""
    case = settled().on_air(since=3)
    case.decide()
    return case.later(3_600).on_air(since=3)


def test_while_it_may_adopt_the_session_nothing_changes() -> None:
    case = restarted()
    case.decide()
    before = case.raw["status"]
    case.later(3).idle(adopting=True).decide()
    assert case.raw["status"] == before
    assert (case.word("Live"), case.status["live"]) == ("True/OnAir", True)
    case.later(1).on_air(since=3).decide()
    assert case.word("Live") == "True/OnAir"
    assert len(case.status["sessions"]) == 1


def test_the_backup_condition_is_kept_as_well() -> None:
    case = settled().on_backup()
    case.decide()
    case.later(3_600).idle(adopting=True).decide()
    assert case.word("BackupLive") == "True/Delivering"
    assert (case.status["backupLive"], case.status["activeSource"]) == (True, "Backup")


def test_once_it_knows_of_none_the_source_is_gone() -> None:
    case = restarted()
    case.idle(adopting=True).decide()
    case.later(10).idle().decide()
    assert (case.word("Live"), case.status["live"]) == ("False/Interrupted", False)
    case.later(11).idle().decide()
    assert case.word("Live") == "False/WaitingForPublisher"
    assert case.status["sessions"][0]["endReason"] == "HubLost"


def test_a_stream_off_air_stays_off_air() -> None:
    case = settled().idle(adopting=True)
    case.decide()
    assert (case.word("Live"), case.status["live"]) == ("False/WaitingForPublisher", False)


def test_a_pod_that_may_adopt_a_session_is_not_replaced() -> None:
    case = restarted()
    case.settings(media_image="sluice-media:next").decide()
    case.later(3).idle(adopting=True).decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert case.child("Deployment")["spec"]["paused"] is True
    assert '"drain":true' not in case.child("ConfigMap")["data"]["config.json"]
