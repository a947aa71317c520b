"""What is on air: from the ingest pod's answer (or its silence) to the words of a status.

Sessions are the hub's. The operator keeps the last ten, and closes one by itself only when the hub
that held it is gone for good and its successor knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sluice_media.contract import IngestStatus, Session
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.observed import ObservedLiveStream
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.times import parse_time, seconds_until, utc_text

__all__ = ["Broadcast", "on_air", "session_is_on"]

_ADOPTION_SECONDS = 10.0
"""A hub that came up empty may still adopt the session from its gateway or a reader."""
_MAX_SESSIONS = 10
_REJECTIONS_APART_SECONDS = 10.0
"""An encoder with a wrong key tries again all the time; the same refusal is told so often."""
_HYSTERESIS = {"bitrateKbps": 0.25, "frameRate": 0.02}
"""Measured values that wobble: a change by less than this share is not worth a write."""

_SESSION_FIELDS = ("live", "activeSource", "startedAt", "finishedAt", "media", "sessions")


@dataclass(slots=True, frozen=True)
class Broadcast:
    """The media half of a LiveStream's status."""

    fields: dict[str, Any]
    """live, activeSource, startedAt, finishedAt, media, sessions, lastRejection."""
    conditions: tuple[Condition, ...]
    """Live, and NoRandomAccess while it is true."""
    look_again_seconds: float | None = None


def on_air(
    observed: ObservedLiveStream, stored: Stored, *, active: bool, window: int, now: datetime
) -> Broadcast:
    """The present broadcast; ``window`` is the resume window in seconds."""
    status = fresh(observed.sample)
    if status is None:
        return _unheard(observed, stored)
    if status.session is None and session_is_on(stored):
        return _hub_without_memory(observed, stored, status, window, now)
    return _measured(stored, status, active=active)


def session_is_on(stored: Stored) -> bool:
    """``startedAt`` > ``finishedAt`` if and only if a session is on."""
    started, finished = stored.time("startedAt"), stored.time("finishedAt")
    return started is not None and (finished is None or started > finished)


# --------------------------------------------------------------------------- nobody answers


def _unheard(observed: ObservedLiveStream, stored: Stored) -> Broadcast:
    known = stored.as_condition("Live")
    kept = {key: stored.get(key) for key in (*_SESSION_FIELDS, "lastRejection")}
    if known is not None and in_start_grace(observed.sample, observed.operator_uptime_seconds):
        return Broadcast(kept, (known,))
    kept |= {"live": False, "activeSource": None, "media": None}
    if observed.sample is None and (known is None or known.reason == "Starting"):
        condition = Condition("Live", "Unknown", "Starting", "The ingest pod is starting.")
    else:
        condition = Condition(
            "Live", "Unknown", "Stale", "The ingest pod has not been heard of for more than 10 s."
        )
    return Broadcast(kept, (condition,))


# --------------------------------------------------------------------------- a new hub


def _hub_without_memory(
    observed: ObservedLiveStream,
    stored: Stored,
    status: IngestStatus,
    window: int,
    now: datetime,
) -> Broadcast:
    """A session was on, and the hub that answers now has none (yet)."""
    kept = {key: stored.get(key) for key in (*_SESSION_FIELDS, "lastRejection")}
    known = stored.as_condition("Live")
    pod = next((p for p in observed.pods if p.uid == status.pod_uid), None)
    if known is not None and pod is not None:
        left = seconds_until(pod.created_at, _ADOPTION_SECONDS, now)
        if left > 0:
            return Broadcast(kept, (known,), look_again_seconds=left)
    kept |= {"live": False, "activeSource": None, "media": None}
    interrupted_at = stored.since("Live", "False")
    left = seconds_until(interrupted_at or now, max(_ADOPTION_SECONDS, window), now)
    if interrupted_at is None or left > 0:
        condition = Condition("Live", "False", "Interrupted", "The source is gone; it may return.")
        return Broadcast(kept, (condition,), look_again_seconds=left)
    return Broadcast(
        kept | _closed(stored, interrupted_at),
        (Condition("Live", "False", "WaitingForPublisher", "Nobody publishes."),),
    )


def _closed(stored: Stored, at: datetime) -> dict[str, Any]:
    """The stored session, ended at ``at``, which must lie behind its start."""
    started = stored.time("startedAt")
    end = max(at, started + timedelta(milliseconds=1)) if started is not None else at
    text = utc_text(end)
    sessions = [dict(entry) for entry in stored.get("sessions") or ()]
    if sessions and "finishedAt" not in sessions[0]:
        sessions[0] |= {"finishedAt": text, "endReason": "HubLost"}
    return {"finishedAt": text, "sessions": sessions}


# --------------------------------------------------------------------------- measured


def _measured(stored: Stored, status: IngestStatus, *, active: bool) -> Broadcast:
    sessions = _sessions(stored, status)
    finished = [s["finishedAt"] for s in sessions if s.get("finishedAt")]
    fields: dict[str, Any] = {
        "live": status.primary_delivers,
        "activeSource": "Primary" if status.on_air else None,
        "startedAt": sessions[0]["startedAt"] if sessions else stored.get("startedAt"),
        "finishedAt": finished[0] if finished else stored.get("finishedAt"),
        "media": _media(stored, status) if status.on_air else None,
        "sessions": sessions or None,
        "lastRejection": _rejection(stored, status),
    }
    conditions = [_live(status, active=active)]
    if status.no_random_access and status.on_air:
        conditions.append(
            Condition(
                "NoRandomAccess",
                "True",
                "NoKeyframe",
                "For more than 10 s there was no picture that decoding can start at; set the "
                "encoder's keyframe interval to 2 s.",
            )
        )
    return Broadcast(fields, tuple(conditions))


def _live(status: IngestStatus, *, active: bool) -> Condition:
    if status.on_air:
        return Condition("Live", "True", "OnAir", "On air.")
    if status.interrupted:
        return Condition("Live", "False", "Interrupted", "The source is gone; it may return.")
    if not active:
        return Condition("Live", "False", "Disabled", "The stream is switched off (spec.active).")
    if status.primary_connected:
        return Condition(
            "Live", "False", "WaitingForKeyframe", "A publisher is there, its first keyframe not."
        )
    return Condition("Live", "False", "WaitingForPublisher", "Nobody publishes.")


def _sessions(stored: Stored, status: IngestStatus) -> list[dict[str, Any]]:
    """What is stored, brought up to date by what the hub says; newest first."""
    by_start: dict[datetime, dict[str, Any]] = {}
    for entry in stored.get("sessions") or ():
        started = parse_time(entry["startedAt"])
        if started is not None:
            by_start[started] = dict(entry)
    told = [*status.past_sessions, *([status.session] if status.session else [])]
    for session in told:
        entry = _session(session)
        moment = parse_time(entry["startedAt"])
        if moment is not None:
            by_start[moment] = entry
    newest_first = sorted(by_start.items(), key=lambda item: item[0], reverse=True)
    return [entry for _, entry in newest_first[:_MAX_SESSIONS]]


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


def _media(stored: Stored, status: IngestStatus) -> dict[str, Any] | None:
    if status.media is None:
        return None
    media = status.media.model_dump(by_alias=True, exclude_none=True)
    if "frameRate" in media:
        media["frameRate"] = round(media["frameRate"], 2)
    before = stored.get("media") or {}
    for name, share in _HYSTERESIS.items():
        known, measured = before.get(name), media.get(name)
        if known and measured and abs(measured - known) <= known * share:
            media[name] = known
    return media


def _rejection(stored: Stored, status: IngestStatus) -> Any:
    """The later of what this hub refused and what is stored (by an earlier hub, perhaps)."""
    known = stored.get("lastRejection")
    if status.last_rejection is None:
        return known
    told = {"reason": status.last_rejection.reason, "at": utc_text(status.last_rejection.at)}
    if known is None:
        return told
    before = parse_time(known["at"])
    if before is None:
        return told
    apart = 0.0 if told["reason"] != known["reason"] else _REJECTIONS_APART_SECONDS
    return told if seconds_until(before, apart, status.last_rejection.at) <= 0 else known
