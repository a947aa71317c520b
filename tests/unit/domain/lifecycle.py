"""A row of the lifecycle table: an event, and a LiveStream's status after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sluice_media.contract import Failover
from tests.unit.domain.builders import StreamCase, at, make_livestream

__all__ = ["Row", "check", "failover", "settled"]


def settled(name: str = "a") -> StreamCase:
    """Return a stream whose pod is up, configured and idle."""
    case = make_livestream(name).key("k" * 32)
    case.settled().idle().decide()
    return case


@dataclass(slots=True, frozen=True)
class Row:
    """One event of the table, and the status after it."""

    case: StreamCase
    want_live: bool
    want_condition: str
    want_source: str | None = None
    want: dict[str, Any] = field(default_factory=dict)
    want_absent: tuple[str, ...] = ()
    want_backup: str | None = None
    """The condition BackupLive; None when it is not checked."""


def failover(seconds: float, from_: str = "Primary", to: str = "Backup") -> Failover:
    words = {"at": at(seconds), "from": from_, "to": to, "gapMilliseconds": 840}
    return Failover.model_validate(words)


def check(row: Row) -> None:
    row.case.decide()
    status = row.case.status
    assert row.case.word("Live") == row.want_condition
    assert status["live"] is row.want_live
    if row.want_backup is not None:
        assert row.case.word("BackupLive") == row.want_backup
    assert status.get("activeSource") == row.want_source
    assert {key: status.get(key) for key in row.want} == row.want
    assert not [key for key in row.want_absent if key in status]
