"""How often another source went on air, counted over the life of a LiveStream.

A hub counts since its process started, and a session that a new hub took over goes on there from
zero. So the status keeps what was counted last, and by which pod, and only differences are added
up, as a monitoring system does with a counter: less than before, or another pod, means that the
counting began anew. Neither the sum nor a session's part of it ever jumps back. Adding up
``sessions[]`` instead would forget what happened before the last ten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice_media.contract import Failover, FormatChange, IngestStatus
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.times import utc_text

_MAX_WORDS = 256


def new_failovers(stored: Stored, status: IngestStatus) -> int:
    """How many failovers the hub has counted that are in no status yet."""
    counter: Mapping[str, Any] = stored.get("failoverCounter") or {}
    begun_anew = counter.get("podUid") != status.pod_uid
    before = 0 if begun_anew else int(counter["value"])
    return status.failovers - before if status.failovers >= before else status.failovers


def failover_fields(stored: Stored, status: IngestStatus) -> dict[str, Any]:
    """failovers, failoverCounter and lastFailover."""
    return {
        "failovers": (stored.get("failovers") or 0) + new_failovers(stored, status),
        "failoverCounter": {"podUid": status.pod_uid, "value": status.failovers}
        if status.failovers
        else None,
        "lastFailover": _last(stored.get("lastFailover"), status.last_failover),
    }


def last_format_change(stored: Stored, status: IngestStatus) -> Any:
    return _last(stored.get("lastFormatChange"), status.last_format_change)


def _last(known: Any, told: Failover | FormatChange | None) -> Any:
    """Return the hub's event, or the stored one of an earlier hub. Times of two hubs are not
    compared: their clocks may differ, and an event of the present hub is always later."""
    return known if told is None else _words(told)


def _words(told: Failover | FormatChange) -> dict[str, Any]:
    if isinstance(told, Failover):
        return {
            "at": utc_text(told.at),
            "from": told.from_,
            "to": told.to,
            "gapMilliseconds": max(0, told.gap_milliseconds),
        }
    return {
        "at": utc_text(told.at),
        "before": told.before[:_MAX_WORDS],
        "after": told.after[:_MAX_WORDS],
    }
