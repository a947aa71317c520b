"""The count of failovers over the life of a LiveStream.

A hub counts from the start of its process, and from zero in a session that it took over. So the
status keeps the last value and the pod that counted it, and the operator adds the differences, as a
monitoring system does with a counter. A smaller value, or another pod, means that the count began
at zero. The sum never decreases, and the count of a session never decreases. A sum over
``sessions[]`` would lose the failovers before the last ten sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice_media.contract import Failover, FormatChange, IngestStatus
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.times import utc_text

_MAX_FORMAT_CHARS = 256


def new_failovers(stored: Stored, status: IngestStatus) -> int:
    """Return the failovers that the hub has counted since the stored value."""
    counter: Mapping[str, Any] = stored.get("failoverCounter") or {}
    restarted = counter.get("podUid") != status.pod_uid
    before = 0 if restarted else int(counter["value"])
    return status.failovers - before if status.failovers >= before else status.failovers


def failover_fields(stored: Stored, status: IngestStatus) -> dict[str, Any]:
    """Return the status fields failovers, failoverCounter and lastFailover."""
    return {
        "failovers": (stored.get("failovers") or 0) + new_failovers(stored, status),
        "failoverCounter": {"podUid": status.pod_uid, "value": status.failovers}
        if status.failovers
        else None,
        "lastFailover": _last(stored.get("lastFailover"), status.last_failover),
    }


def last_format_change(stored: Stored, status: IngestStatus) -> Any:
    return _last(stored.get("lastFormatChange"), status.last_format_change)


def _last(known: Any, reported: Failover | FormatChange | None) -> Any:
    """Return the hub's event, or the stored one of an earlier hub. Times of two hubs are not
    compared: their clocks may differ, and an event of the present hub is always later."""
    return known if reported is None else _entry(reported)


def _entry(event: Failover | FormatChange) -> dict[str, Any]:
    if isinstance(event, Failover):
        return {
            "at": utc_text(event.at),
            "from": event.from_,
            "to": event.to,
            "gapMilliseconds": max(0, event.gap_milliseconds),
        }
    return {
        "at": utc_text(event.at),
        "before": event.before[:_MAX_FORMAT_CHARS],
        "after": event.after[:_MAX_FORMAT_CHARS],
    }
