"""The status of a Restream: its fields, its conditions, and the events for their changes."""

from __future__ import annotations

from typing import Any, Literal

from sluice_media.contract import PusherStatus, PushIdleReason, PushState
from sluice_operator.api.v1alpha1.reasons import PushReason, ReconcilingReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness, stalled
from sluice_operator.domain.restream.facts import RestreamFacts
from sluice_operator.domain.rollout import Rollout
from sluice_operator.domain.times import utc_text

_IDLE_MESSAGES: dict[str, str] = {
    PushReason.WAITING_FOR_STREAM: "Waiting for the stream to go on air.",
    PushReason.DISABLED: "Switched off. Set spec.active to true to switch it on.",
    PushReason.STREAM_NOT_FOUND: "The LiveStream does not exist.",
    PushReason.CODEC_MISMATCH: "The target cannot carry this codec.",
    PushIdleReason.CHECKING_TARGET: "Checking whether another Restream pushes to the same target.",
}
_HANGS_UP = frozenset({PushReason.CLOSED, PushReason.RESET})
_HUNG_UP = (
    "The target closes each connection within seconds and gives no reason. Check uri and the key."
)
_REFUSED: dict[str, str] = {
    PushReason.FORBIDDEN: (
        "This installation does not allow the target's address. Ask the administrator to allow it "
        "(network.allowedNames or network.allowedRanges)."
    ),
    PushReason.TLS: "The target's certificate is not valid or not trusted.",
    PushReason.CLOSED: _HUNG_UP,
    PushReason.RESET: _HUNG_UP,
}
_GAVE_UP = (
    "The target was not reached within retry.giveUpSeconds, so it is not dialled any more. To try "
    f"again, set the annotation {RESTART_ANNOTATION}."
)
_POD_IS_AWAY = frozenset({ReconcilingReason.STARTING, ReconcilingReason.NOT_ANSWERING})
_UNTRIED = frozenset({PushState.IDLE, PushState.CONNECTING, PushState.WAITING})
"""States in which a target that refused has not been tried again."""
_PUSH_FIELDS = (
    "target",
    "startedAt",
    "attempts",
    "reconnects",
    "bytesSent",
    "droppedFrames",
    "observedAt",
    "lastError",
)


def status_of(facts: RestreamFacts, readiness: Readiness) -> dict[str, Any]:
    pusher, stored = facts.pusher, facts.stored
    fields = {key: stored.get(key) for key in _PUSH_FIELDS}
    state, live = PushState.IDLE.value, False
    if pusher is not None and not readiness.stalled:
        state, live = pusher.state.value, pusher.state is PushState.LIVE
    elif facts.keeps_stored_status:
        state, live = stored.get("state") or state, bool(stored.get("live"))
    if pusher is not None:
        fields |= _push_fields(pusher) | {"lastError": _last_error(pusher, stored)}
    elif state == PushState.IDLE:
        fields["startedAt"] = None
    fields["target"] = fields["target"] or facts.spec.uri
    status: dict[str, Any] = {
        "observedGeneration": facts.owner.generation,
        "live": live,
        "state": state,
        **fields,
    }
    return {key: value for key, value in status.items() if value is not None}


def _push_fields(pusher: PusherStatus) -> dict[str, Any]:
    return {
        "target": pusher.target or None,
        "startedAt": utc_text(pusher.started_at) if pusher.started_at else None,
        "attempts": pusher.attempts,
        "reconnects": pusher.reconnects,
        "bytesSent": pusher.bytes_sent,
        "droppedFrames": pusher.dropped_frames,
        "observedAt": utc_text(pusher.observed_at),
    }


def _last_error(pusher: PusherStatus | None, stored: Stored) -> Raw | None:
    """Return the last failure.

    A pusher reports none before its first try is over, so the stored one stays until then. It
    forgets its failure when its configuration or a Secret changes how the target is dialled."""
    if pusher is not None and (error := pusher.last_error) is not None:
        return {"class": error.class_, "message": error.message, "at": utc_text(error.at)}
    knows = pusher is not None and pusher.attempts > (pusher.state is PushState.CONNECTING)
    return None if knows else stored.get("lastError")


# --------------------------------------------------------------------------- conditions


def live_condition(facts: RestreamFacts, readiness: Readiness) -> Condition:
    if readiness.stalled:
        return Condition("Live", "False", readiness.reason, readiness.message)
    pusher = facts.pusher
    if pusher is not None and pusher.idle_reason == PushIdleReason.CHECKING_TARGET:
        return Condition(
            "Live", "Unknown", PushReason.STARTING, _IDLE_MESSAGES[PushIdleReason.CHECKING_TARGET]
        )
    if pusher is not None:
        return _live_in_state(pusher)
    known = facts.stored.as_condition("Live")
    if known is not None and facts.keeps_stored_status:
        return known
    if not facts.spec.active and facts.has_no_pod:
        return Condition("Live", "False", PushReason.DISABLED, _IDLE_MESSAGES[PushReason.DISABLED])
    if readiness.reason == ReconcilingReason.STREAM_NOT_FOUND:
        return Condition("Live", "False", PushReason.STREAM_NOT_FOUND, readiness.message)
    if facts.observed.sample is None and (
        known is None or known.reason in {PushReason.STARTING, PushReason.DISABLED}
    ):
        return Condition("Live", "Unknown", PushReason.STARTING, "The pusher is starting.")
    message = "The pusher has not answered for more than 10 s; it may still be publishing."
    return Condition("Live", "Unknown", PushReason.STALE, message)


def _live_in_state(pusher: PusherStatus) -> Condition:
    error = pusher.last_error
    cause = f" The cause: {error.message}." if error else ""
    live: tuple[Literal["True", "False"], str, str]
    match pusher.state:
        case PushState.IDLE:
            reason = pusher.idle_reason or PushReason.WAITING_FOR_STREAM
            live = "False", reason, pusher.message or _IDLE_MESSAGES.get(reason, "Idle.")
        case PushState.CONNECTING:
            live = "False", PushReason.CONNECTING, "Dialling the target."
        case PushState.LIVE:
            live = "True", PushReason.PUBLISHING, "The target accepts the stream."
        case PushState.WAITING:
            live = (
                "False",
                PushReason.SOURCE_INTERRUPTED,
                "The source was lost; the connection to the target is kept.",
            )
        case PushState.STALLED:
            live = (
                "False",
                PushReason.TARGET_STALLED,
                "The target takes the stream too slowly; media waits in the send queue.",
            )
        case PushState.BACKOFF:
            live = (
                "False",
                PushReason.RETRYING,
                f"The target is not connected. The pusher dials it again.{cause}",
            )
        case PushState.REJECTED:
            reason = error.class_ if error else PushReason.REJECTED
            live = (
                "False",
                reason,
                f"{_REFUSED.get(reason, 'The target refuses the stream.')}{cause}",
            )
        case PushState.GAVE_UP:
            live = "False", PushReason.GAVE_UP, f"{_GAVE_UP}{cause}"
    return Condition("Live", *live)


def unless_refused(facts: RestreamFacts, readiness: Readiness, live: Condition) -> Readiness:
    """Return ``readiness``, or Stalled from a target's refusal until the target accepts.

    Only the user can correct the key, the certificate or the address. A target that closes
    connections without a refusal may be at fault itself."""
    pusher, stored = facts.pusher, facts.stored
    if readiness.status != "True" and readiness.reason not in _POD_IS_AWAY:
        return readiness
    refused = pusher is not None and pusher.state is PushState.REJECTED
    if refused and live.reason not in _HANGS_UP:
        return stalled(live.reason, live.message)
    known, error = stored.as_condition("Stalled"), _last_error(pusher, stored)
    unchanged = stored.get("observedGeneration") == facts.owner.generation
    untried = pusher is None or pusher.state in _UNTRIED
    if unchanged and untried and known and error and known.reason == error["class"]:
        return stalled(known.reason, known.message)
    return readiness


def conditions_of(readiness: Readiness, live: Condition, rollout: Rollout) -> tuple[Condition, ...]:
    first, *rest = readiness.conditions()
    pending = (rollout.condition(),) if rollout.pending else ()
    return (first, live, *pending, *rest)


# --------------------------------------------------------------------------- events


def event_types(live: Condition, status: dict[str, Any], stored: Stored) -> dict[str, str]:
    """Return the conditions whose changes make events. A target that stays down is dialled again
    and again; only the first failure makes an event."""
    normal = {PushReason.PUBLISHING, PushReason.WAITING_FOR_STREAM, PushReason.DISABLED}
    types = {"Stalled": "Warning", "UpdatePending": "Normal"}
    if status["state"] == PushState.REJECTED:
        del types["Stalled"]  # the event of Live has the same message
    if live.reason != PushReason.CONNECTING and not _failed_again(status, stored):
        types["Live"] = "Normal" if live.reason in normal else "Warning"
    return types


def _failed_again(status: dict[str, Any], stored: Stored) -> bool:
    """Return whether the last try failed with the reason of the one before."""
    dialling = stored.since("Live", "False", PushReason.CONNECTING) is not None
    error, former = status.get("lastError"), stored.get("lastError")
    failed = status["state"] in (PushState.BACKOFF, PushState.REJECTED)
    return bool(dialling and failed and error and former and error["class"] == former["class"])
