"""The part of a LiveStream's status about its media.

In: the hub's answer, or None. Out: fields and conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import IngestStatus
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.reasons import BackupLiveReason, LiveReason, NoRandomAccessReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.livestream.failovers import failover_fields, last_format_change
from sluice_operator.domain.livestream.sessions import close_session, session_is_on, session_records
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.observed import ObservedLiveStream
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.ticks import OBSERVED_AT
from sluice_operator.domain.times import parse_time, seconds_until, utc_text

_ADOPTION_SECONDS = 10.0
"""A hub in a new pod may still adopt the session from its gateway or a reader. Hubs of this version
report that as ``adopting``."""
_REJECTIONS_APART_SECONDS = 10.0
"""Shortest time between two writes of the same refusal. An encoder with a wrong key tries all the
time."""
_HYSTERESIS = {"bitrateKbps": 0.25, "frameRate": 0.02}
"""Measured values that vary all the time: a change by less than this share is not written."""

_MAX_MESSAGE = 1_024
_PULL_MESSAGES_APART_SECONDS = 30.0
"""Shortest time between two messages about sources that fail for several reasons in turn."""

_KEPT_FIELDS = (
    OBSERVED_AT,
    "live",
    "backupLive",
    "activeSource",
    "startedAt",
    "startedAtBackup",
    "finishedAt",
    "failovers",
    "failoverCounter",
    "lastFailover",
    "lastFormatChange",
    "pull",
    "media",
    "sessions",
    "lastRejection",
)
_INTERRUPTED = (
    "The source was lost. The session continues if it returns within resumeWindowSeconds."
)
_SWITCHED_OFF = "The stream is switched off. Set spec.active to true to switch it on."
_OFF_AIR = {"live": False, "activeSource": None, "media": None}


@dataclass(slots=True, frozen=True)
class SourceKind:
    """The parts of the spec that the broadcast's status depends on."""

    active: bool
    pulled: bool
    backup: bool
    """True when the spec allows a backup publisher."""
    window: int
    """The resume window in seconds."""

    @classmethod
    def of(cls, spec: LiveStreamSpec) -> SourceKind:
        push = spec.source.push
        return cls(
            active=spec.active,
            pulled=spec.source.pull is not None,
            backup=push is not None and push.backup.enabled,
            window=spec.resume_window_seconds,
        )

    @property
    def off_air(self) -> dict[str, Any]:
        return _OFF_AIR | {"backupLive": False if self.backup else None, "pull": None}


@dataclass(slots=True, frozen=True)
class Broadcast:
    """The part of a LiveStream's status about its media."""

    fields: dict[str, Any]
    """The fields of `_KEPT_FIELDS`."""
    conditions: tuple[Condition, ...]
    """Live, BackupLive where there may be a backup, and NoRandomAccess while it is true."""
    look_again_seconds: float | None = None
    measured_on_air: bool = False
    """True when a fresh answer of the hub reports that the stream is on air."""


def on_air(
    observed: ObservedLiveStream, stored: Stored, source: SourceKind, now: datetime
) -> Broadcast:
    """Return the present broadcast."""
    status = fresh(observed.sample)
    if status is None:
        return _without_answer(observed, stored, source)
    if status.session is None and session_is_on(stored):
        return _hub_without_memory(observed, stored, status, source, now)
    return _measured(stored, status, source)


# --------------------------------------------------------------------------- no answer


def _without_answer(observed: ObservedLiveStream, stored: Stored, source: SourceKind) -> Broadcast:
    known = stored.as_condition("Live")
    kept = {key: stored.get(key) for key in _KEPT_FIELDS}
    if known is not None and in_start_grace(observed.sample, observed.operator_uptime_seconds):
        return Broadcast(kept, _as_stored(stored, source))
    kept |= source.off_air
    if observed.sample is None and (known is None or known.reason == LiveReason.STARTING):
        condition = LiveReason.STARTING, "The ingest pod is starting."
    else:
        message = "The ingest pod has not answered for more than 10 s; it may still be on air."
        condition = LiveReason.STALE, message
    types = ("Live", "BackupLive") if source.backup else ("Live",)
    return Broadcast(kept, tuple(Condition(type_, "Unknown", *condition) for type_ in types))


def _as_stored(stored: Stored, source: SourceKind) -> tuple[Condition, ...]:
    types = ("Live", "BackupLive") if source.backup else ("Live",)
    return tuple(c for type_ in types if (c := stored.as_condition(type_)) is not None)


# --------------------------------------------------------------------------- a new hub


def _hub_without_memory(
    observed: ObservedLiveStream,
    stored: Stored,
    status: IngestStatus,
    source: SourceKind,
    now: datetime,
) -> Broadcast:
    """Return the broadcast while the hub does not have the stored session, or has not adopted it
    yet."""
    kept = {key: stored.get(key) for key in _KEPT_FIELDS}
    known = stored.as_condition("Live")
    pod = next((p for p in observed.pods if p.uid == status.pod_uid), None)
    if known is not None and status.adopting:
        return Broadcast(kept, _as_stored(stored, source))
    if known is not None and pod is not None:
        left = seconds_until(pod.created_at, _ADOPTION_SECONDS, now)
        if left > 0:
            return Broadcast(kept, _as_stored(stored, source), look_again_seconds=left)
    kept |= source.off_air | {OBSERVED_AT: utc_text(status.observed_at)}
    backup = _backup_live(status, source)
    interrupted_at = stored.since("Live", "False")
    left = seconds_until(interrupted_at or now, max(_ADOPTION_SECONDS, source.window), now)
    if interrupted_at is None or left > 0:
        condition = Condition("Live", "False", LiveReason.INTERRUPTED, _INTERRUPTED)
        return Broadcast(kept, (condition, *backup), look_again_seconds=left)
    waiting = _off_air(status, source)
    return Broadcast(kept | close_session(stored, interrupted_at), (waiting, *backup))


# --------------------------------------------------------------------------- measured


def _measured(stored: Stored, status: IngestStatus, source: SourceKind) -> Broadcast:
    sessions = session_records(stored, status)
    finished = [s["finishedAt"] for s in sessions if s.get("finishedAt")]
    fields: dict[str, Any] = {
        OBSERVED_AT: utc_text(status.observed_at),
        "live": _delivers(status, source),
        "backupLive": status.backup_delivers if source.backup else None,
        "activeSource": _active_source(status, source),
        "startedAt": sessions[0]["startedAt"] if sessions else stored.get("startedAt"),
        "startedAtBackup": _backup_since(stored, status),
        "finishedAt": finished[0] if finished else stored.get("finishedAt"),
        **failover_fields(stored, status),
        "lastFormatChange": last_format_change(stored, status),
        "pull": _pull(stored, status) if source.pulled else None,
        "media": _media(stored, status) if status.on_air else None,
        "sessions": sessions or None,
        "lastRejection": _rejection(stored, status),
    }
    conditions = [_live(status, source), *_backup_live(status, source)]
    if status.no_random_access and status.on_air:
        conditions.append(
            Condition(
                "NoRandomAccess",
                "True",
                NoRandomAccessReason.NO_KEYFRAME,
                "Video arrives, but no keyframe for more than 10 s. Set the encoder's keyframe "
                "interval to 2 s.",
            )
        )
    return Broadcast(fields, tuple(conditions), measured_on_air=status.on_air)


def _delivers(status: IngestStatus, source: SourceKind) -> bool:
    """Return ``status.live``. A warm standby source does not count."""
    if source.pulled:
        return status.pull is not None and status.pull.delivers
    return status.primary_delivers


def _active_source(status: IngestStatus, source: SourceKind) -> str | None:
    """Return the source on air. A hub of the previous version reports none."""
    if not status.on_air:
        return None
    return status.active_source or ("Pull" if source.pulled else "Primary")


def _backup_since(stored: Stored, status: IngestStatus) -> Any:
    """Return the time since which the backup delivers. A gap without answers does not restart that
    time."""
    known = stored.get("startedAtBackup")
    if not status.backup_delivers:
        return known
    condition = stored.as_condition("BackupLive")
    continues = condition is not None and condition.status != "False"
    return known if known and continues else utc_text(status.observed_at)


def _live(status: IngestStatus, source: SourceKind) -> Condition:
    if status.on_air:
        return Condition("Live", "True", LiveReason.ON_AIR, _on_air_message(status))
    if status.interrupted:
        return Condition("Live", "False", LiveReason.INTERRUPTED, _INTERRUPTED)
    return _off_air(status, source)


def _on_air_message(status: IngestStatus) -> str:
    left_out = status.media.left_out_audio_codec if status.media is not None else None
    if not left_out:
        return "On air."
    return (
        f"On air without sound: the source sends {left_out}, which Sluice does not carry. "
        "Set the encoder's audio codec to AAC."
    )


def _off_air(status: IngestStatus, source: SourceKind) -> Condition:
    if not source.active:
        return Condition("Live", "False", LiveReason.DISABLED, _SWITCHED_OFF)
    if source.pulled and status.pull is not None and status.pull.given_up is not None:
        return Condition(
            "Live",
            "False",
            LiveReason.INACTIVITY_TIMEOUT,
            "No source delivered media for pull.inactivitySeconds. The sources are not tried again "
            f"until the spec or the annotation {RESTART_ANNOTATION} changes.",
        )
    if source.pulled:
        return Condition(
            "Live",
            "False",
            LiveReason.WAITING_FOR_SOURCE,
            "No source delivers media; the sources are tried in turn.",
        )
    if status.primary_connected or status.backup_connected:
        return Condition(
            "Live",
            "False",
            LiveReason.WAITING_FOR_KEYFRAME,
            "Publisher connected; waiting for its first keyframe.",
        )
    return Condition(
        "Live", "False", LiveReason.WAITING_FOR_PUBLISHER, "No publisher is connected."
    )


def _backup_live(status: IngestStatus, source: SourceKind) -> tuple[Condition, ...]:
    """Return BackupLive; nothing when the stream can have no backup."""
    if not source.backup:
        return ()
    if status.backup_delivers:
        message = "The backup publisher delivers media."
        return (Condition("BackupLive", "True", BackupLiveReason.DELIVERING, message),)
    if not source.active:
        reason, message = BackupLiveReason.DISABLED, _SWITCHED_OFF
    elif status.backup_connected:
        reason, message = (
            BackupLiveReason.NOT_DELIVERING,
            "The backup publisher is connected, but sends no media.",
        )
    else:
        reason, message = (
            BackupLiveReason.WAITING_FOR_PUBLISHER,
            "No backup publisher is connected.",
        )
    return (Condition("BackupLive", "False", reason, message),)


def _pull(stored: Stored, status: IngestStatus) -> dict[str, Any] | None:
    """Return ``status.pull``. The source that is being tried is left out, because it would cost a
    write every few seconds."""
    reported = status.pull
    if reported is None:
        return None
    found: dict[str, Any] = {}
    if reported.delivers and reported.uri_index is not None:
        found["uriIndex"] = reported.uri_index
    if reported.standby_index is not None and reported.delivers:
        found["standbyIndex"] = reported.standby_index
    known = stored.get("pull") or {}
    noted = parse_time(known.get("observedAt"))
    if noted is not None and (
        reported.message in (None, known["message"])
        or 0 <= (status.observed_at - noted).total_seconds() < _PULL_MESSAGES_APART_SECONDS
    ):
        return found | {"message": known["message"], "observedAt": known["observedAt"]}
    if reported.message:
        message = reported.message[:_MAX_MESSAGE]
        found |= {"message": message, "observedAt": utc_text(status.observed_at)}
    return found


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
    """Return the hub's last rejection, or the stored one of an earlier hub. Times of two hubs are
    not compared: their clocks may differ."""
    known = stored.get("lastRejection")
    if status.last_rejection is None:
        return known
    reported = {"reason": status.last_rejection.reason, "at": utc_text(status.last_rejection.at)}
    if known is None:
        return reported
    before = parse_time(known["at"])
    if before is None:
        return reported
    passed = (status.last_rejection.at - before).total_seconds()
    again = reported["reason"] == known["reason"] and 0 <= passed < _REJECTIONS_APART_SECONDS
    return known if again else reported
