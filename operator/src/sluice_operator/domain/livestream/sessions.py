"""The last ten sessions of a LiveStream: the stored ones, updated from the hub's status.

The hub begins and ends sessions. The operator closes a session only when its hub does not exist any
more and the next hub did not adopt it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sluice_media.contract import IngestStatus, Session
from sluice_operator.domain.livestream.failovers import new_failovers
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.times import parse_time, utc_text

_MAX_SESSIONS = 10


def session_is_on(stored: Stored) -> bool:
    """Return whether the latest session has not ended.

    Its start may lie before the end of a session on another node. A status of an earlier version
    may have no sessions; then the times decide."""
    sessions = stored.get("sessions")
    if sessions:
        return "finishedAt" not in sessions[0]
    started, finished = stored.time("startedAt"), stored.time("finishedAt")
    return started is not None and (finished is None or started > finished)


def session_records(stored: Stored, status: IngestStatus) -> list[dict[str, Any]]:
    """Return the stored sessions, updated from the hub's status; newest first.

    A session is new if the hub lists it before every stored one. The stored order is kept: start
    times of two nodes cannot be compared."""
    by_start: dict[datetime, dict[str, Any]] = {}
    for entry in stored.get("sessions") or ():
        started = parse_time(entry["startedAt"])
        if started is not None:
            by_start[started] = dict(entry)
    reported: dict[datetime, Session] = {}
    for session in (*([status.session] if status.session else []), *status.past_sessions):
        moment = parse_time(utc_text(session.started_at))
        if moment is not None:
            reported.setdefault(moment, session)
    # In a session that the hub took over, its count starts at zero.
    in_new_sessions = sum(s.failovers for moment, s in reported.items() if moment not in by_start)
    more = max(0, new_failovers(stored, status) - in_new_sessions)
    new = takewhile(lambda moment: moment not in by_start, reported)
    newest_first = [*new, *by_start]
    for moment, session in reported.items():
        before = by_start.get(moment)
        if before is None:
            count = session.failovers
        else:
            count = before.get("failovers", 0) + (0 if "finishedAt" in before else more)
        by_start[moment] = _session(session) | ({"failovers": count} if count else {})
    return [by_start[moment] for moment in newest_first[:_MAX_SESSIONS]]


def _session(session: Session) -> dict[str, Any]:
    entry: dict[str, Any] = {"startedAt": utc_text(session.started_at)}
    if session.finished_at is not None:
        entry["finishedAt"] = utc_text(session.finished_at)
    if session.protocol:
        entry["protocol"] = session.protocol
    if session.media:
        entry["media"] = session.media
    if session.end_reason:
        entry["endReason"] = session.end_reason
    return entry


def close_session(stored: Stored, at: datetime) -> dict[str, Any]:
    """Return the fields of the stored session, ended at ``at`` but not before its start."""
    started = stored.time("startedAt")
    end = max(at, started + timedelta(milliseconds=1)) if started is not None else at
    text = utc_text(end)
    sessions = [dict(entry) for entry in stored.get("sessions") or ()]
    if sessions and "finishedAt" not in sessions[0]:
        sessions[0] |= {"finishedAt": text, "endReason": "HubLost"}
    return {"finishedAt": text, "sessions": sessions}
