"""Restream: its pusher, and what its status says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sluice_media.contract import PusherConfig, PusherStatus, PushState
from sluice_operator.api.v1alpha1 import RestreamSpec
from sluice_operator.domain.claims import Claim, target_claim
from sluice_operator.domain.decision import Child, Condition, Decision, PodAnnotations
from sluice_operator.domain.manifests.config import Configuration, configuration, stored_config
from sluice_operator.domain.manifests.pod import deployment, template_hash
from sluice_operator.domain.manifests.pusher import (
    pusher_config,
    pusher_template,
    users_secrets,
    with_mounted_keys,
)
from sluice_operator.domain.manifests.secret import token_secret
from sluice_operator.domain.names import STATUS_SECRET
from sluice_operator.domain.observed import ObservedRestream
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.protection import pod_protection
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    missing_reference,
    pod_readiness,
    ready,
    reconciling,
    stalled,
    with_places,
)
from sluice_operator.domain.rollout import Rollout, Use, lacks_users_keys, plan_rollout
from sluice_operator.domain.samples import fresh, in_start_grace, nudges, seconds_to_stale
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.streams import is_there, stream_ref, stream_spec, stream_workload
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import soonest, utc_text
from sluice_operator.domain.transitions import events_for

_TOKEN_WAIT_SECONDS = 1.0
_IDLE_WORDS = {
    "WaitingForStream": "Waiting for the stream to go on air.",
    "Disabled": "Switched off (spec.active).",
    "StreamNotFound": "There is no such stream.",
    "CodecMismatch": "The target cannot carry this codec.",
    "CheckingTarget": "Its target is compared with those of the other Restreams.",
}
_HANGS_UP = frozenset({"Closed", "Reset"})
_REFUSED = {
    "Forbidden": "The target's address may not be dialled from this cluster.",
    "Tls": "The target's certificate is not trusted.",
} | dict.fromkeys(
    _HANGS_UP, "The target ends each connection within seconds, and does not say why."
)
_POD_IS_AWAY = frozenset({"Starting", "NotAnswering"})
_UNTRIED = frozenset({PushState.IDLE, PushState.CONNECTING, PushState.WAITING})
"""A target that has refused is not known to have changed its mind."""
_CONNECTED = frozenset({PushState.LIVE, PushState.WAITING, PushState.STALLED})
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


def decide(observed: ObservedRestream, now: datetime) -> Decision:
    """The complete wish for one Restream. Pure."""
    owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
    if owner.deleted_at is not None:
        return keep_everything(observed.raw)
    spec = read_spec(RestreamSpec, observed.raw)
    conflict = conflict_readiness(owner, observed.conflicts)
    obstacle = conflict or _stream_missing(observed, owner, spec, stored, now)
    wanted = obstacle is None and spec.active
    template = pusher_template(owner, spec, observed.settings, stream_workload(observed.stream))
    claim = target_claim(observed, owner, now, active=wanted)
    rollout = _rollout(observed, owner, template_hash(template))
    waits = rollout.pending and lacks_users_keys(observed.pods, template)
    config = _configuration(observed, owner, spec, claim, keys_wait=waits)
    readiness = obstacle or _token_missing(observed, owner, wanted)
    token_is_there = readiness is obstacle
    if readiness is None:
        readiness = _readiness(observed, owner, stored, spec, now)
    if claim.duplicate_of and (not readiness.stalled or readiness.reason == "DuplicateTarget"):
        readiness = _duplicate(claim.duplicate_of)
    children: tuple[Child, ...] = ()
    if conflict is None and token_is_there and (wanted or _deployment(observed, owner)):
        # A pusher that goes at once could not tell a switch-off from a drain.
        replicas = int(wanted or (obstacle is None and _is_connected(observed)))
        children = _children(observed, owner, template, config, rollout, replicas=replicas)
    live = _live(observed, stored, spec, readiness)
    verdict = _unless_refused(observed, owner, stored, readiness, live)
    conditions = _conditions(verdict, live, rollout)
    status, held = hold_ticks(_status(observed, owner, stored, spec, readiness), stored.status)
    return Decision(
        status=status,
        conditions=conditions,
        children=children,
        pod_config_hashes=nudges(
            observed.pods,
            observed.sample,
            config.hash,
            skip_template_other_than=template_hash(template) if rollout.rolling else None,
        )
        if children
        else (),
        pod_annotations=_protection(observed),
        requeue_after_seconds=soonest(
            readiness.look_again_seconds,
            claim.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
            held,
        ),
        event_reasons=events_for(stored, conditions, _event_types(live, status, stored)),
    )


def _is_connected(observed: ObservedRestream) -> bool:
    """Whether the pusher has not ended its connection to the target yet."""
    told = fresh(observed.sample)
    return told is not None and told.connected


def _protection(observed: ObservedRestream) -> tuple[PodAnnotations, ...]:
    status = fresh(observed.sample)
    busy = status is not None and status.state in _CONNECTED
    return pod_protection(observed.pods, status, busy=busy)


# --------------------------------------------------------------------------- obstacles


def _stream_missing(
    observed: ObservedRestream, owner: Owner, spec: RestreamSpec, stored: Stored, now: datetime
) -> Readiness | None:
    if is_there(observed.stream):
        return None
    what = f"LiveStream {spec.stream_ref.name}"
    return missing_reference(owner, stored, "StreamNotFound", what, now)


def _token_missing(observed: ObservedRestream, owner: Owner, wanted: bool) -> Readiness | None:
    known = observed.hub_token or ("Secret", owner.workload_name) in observed.children
    if known or not wanted:
        return None
    words = "The stream is being set up."
    return reconciling("Starting", words, look_again_seconds=_TOKEN_WAIT_SECONDS)


def _readiness(
    observed: ObservedRestream,
    owner: Owner,
    stored: Stored,
    spec: RestreamSpec,
    now: datetime,
) -> Readiness:
    if not spec.active and _pusher_is_gone(observed):
        return ready("Disabled", "Switched off (spec.active).")
    found = pod_readiness(
        owner,
        stored,
        what="pusher",
        pods=observed.pods,
        sample=observed.sample,
        workload=_deployment(observed, owner),
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=now,
        when_ready=ready("Configured", "Set up as asked for."),
    )
    return with_places(found, users_secrets(spec))


def _duplicate(older: str) -> Readiness:
    return stalled(
        "DuplicateTarget",
        f"Restream {older} pushes to the same target with the same stream key already, and two "
        "publishers would push each other off; use another key, or switch one of them off or "
        "delete it.",
    )


# --------------------------------------------------------------------------- children


def _deployment(observed: ObservedRestream, owner: Owner) -> Raw | None:
    return observed.children.get(("Deployment", owner.workload_name))


def _configuration(
    observed: ObservedRestream, owner: Owner, spec: RestreamSpec, claim: Claim, *, keys_wait: bool
) -> Configuration:
    stream = None
    if is_there(observed.stream) and observed.stream is not None:
        stream = stream_ref(observed.stream, observed.settings)
    wanted = pusher_config(owner, spec, observed.settings, stream, claim)
    if keys_wait:
        config_map = observed.children.get(("ConfigMap", owner.workload_name))
        wanted = with_mounted_keys(wanted, stored_config(PusherConfig, config_map))
    return configuration(owner, wanted)


def _rollout(observed: ObservedRestream, owner: Owner, template: str) -> Rollout:
    status = fresh(observed.sample)
    at_rest = {PushState.IDLE, PushState.BACKOFF, PushState.REJECTED, PushState.GAVE_UP}
    immediate = observed.stream is not None and (
        stream_spec(observed.stream).update_policy == "Immediate"
    )
    return plan_rollout(
        deployment=_deployment(observed, owner),
        pods=observed.pods,
        template_hash=template,
        immediate=immediate,
        use=Use(known=status is not None, busy=status is not None and status.state not in at_rest),
    )


def _children(
    observed: ObservedRestream,
    owner: Owner,
    template: dict[str, Any],
    config: Configuration,
    rollout: Rollout,
    *,
    replicas: int,
) -> tuple[Child, ...]:
    """Switched off, or without a stream, the Deployment stays with no pod."""
    children = [
        Child(config.manifest),
        Child(deployment(owner, template, replicas=replicas, paused=rollout.paused)),
    ]
    if observed.hub_token:
        secret = token_secret(owner, STATUS_SECRET["Restream"], observed.hub_token)
        children.insert(0, Child(secret))
    return tuple(children)


# --------------------------------------------------------------------------- status


def _pusher_is_gone(observed: ObservedRestream) -> bool:
    return not observed.pods


def _told(observed: ObservedRestream) -> PusherStatus | None:
    """What the pusher says, while there is one."""
    return None if _pusher_is_gone(observed) else fresh(observed.sample)


def _believes_what_is_stored(observed: ObservedRestream, stored: Stored) -> bool:
    recent = in_start_grace(observed.sample, observed.operator_uptime_seconds)
    return recent and stored.condition("Live") is not None and not _pusher_is_gone(observed)


def _status(
    observed: ObservedRestream,
    owner: Owner,
    stored: Stored,
    spec: RestreamSpec,
    readiness: Readiness,
) -> dict[str, Any]:
    told = _told(observed)
    fields = {key: stored.get(key) for key in _PUSH_FIELDS}
    state, live = PushState.IDLE.value, False
    if told is not None and not readiness.stalled:
        state, live = told.state.value, told.state is PushState.LIVE
    elif _believes_what_is_stored(observed, stored):
        state, live = stored.get("state") or state, bool(stored.get("live"))
    if told is not None:
        fields |= _push_fields(told) | {"lastError": _last_error(told, stored)}
    elif state == PushState.IDLE:
        fields["startedAt"] = None
    fields["target"] = fields["target"] or spec.uri
    status: dict[str, Any] = {
        "observedGeneration": owner.generation,
        "live": live,
        "state": state,
        **fields,
    }
    return {key: value for key, value in status.items() if value is not None}


def _push_fields(told: PusherStatus) -> dict[str, Any]:
    return {
        "target": told.target or None,
        "startedAt": utc_text(told.started_at) if told.started_at else None,
        "attempts": told.attempts,
        "reconnects": told.reconnects,
        "bytesSent": told.bytes_sent,
        "droppedFrames": told.dropped_frames,
        "observedAt": utc_text(told.observed_at),
    }


def _last_error(told: PusherStatus | None, stored: Stored) -> Raw | None:
    """The last failure; a pusher whose first try is not over yet knows of none. It forgets one when
    its configuration or a Secret changes what is dialled, or how."""
    if told is not None and (error := told.last_error) is not None:
        return {"class": error.class_, "message": error.message, "at": utc_text(error.at)}
    knows = told is not None and told.attempts > (told.state is PushState.CONNECTING)
    return None if knows else stored.get("lastError")


def _live(
    observed: ObservedRestream, stored: Stored, spec: RestreamSpec, readiness: Readiness
) -> Condition:
    if readiness.stalled:
        return Condition("Live", "False", readiness.reason, readiness.message)
    told = _told(observed)
    if told is not None and told.idle_reason == "CheckingTarget":
        return Condition("Live", "Unknown", "Starting", _IDLE_WORDS["CheckingTarget"])
    if told is not None:
        return _from_state(told)
    known = stored.as_condition("Live")
    if known is not None and _believes_what_is_stored(observed, stored):
        return known
    if not spec.active and _pusher_is_gone(observed):
        return Condition("Live", "False", "Disabled", _IDLE_WORDS["Disabled"])
    if readiness.reason == "StreamNotFound":
        return Condition("Live", "False", "StreamNotFound", readiness.message)
    if observed.sample is None and (known is None or known.reason in {"Starting", "Disabled"}):
        return Condition("Live", "Unknown", "Starting", "The pusher is starting.")
    words = "The pusher has not been heard of for more than 10 s."
    return Condition("Live", "Unknown", "Stale", words)


def _from_state(told: PusherStatus) -> Condition:
    error = told.last_error
    cause = f" The cause: {error.message}." if error else ""
    words: tuple[Literal["True", "False"], str, str]
    match told.state:
        case PushState.IDLE:
            reason = told.idle_reason or "WaitingForStream"
            words = "False", reason, told.message or _IDLE_WORDS.get(reason, "Idle.")
        case PushState.CONNECTING:
            words = "False", "Connecting", "Dialling the target."
        case PushState.LIVE:
            words = "True", "Publishing", "The target takes the stream."
        case PushState.WAITING:
            words = "False", "SourceInterrupted", "The source is gone; the connection is held."
        case PushState.STALLED:
            words = "False", "TargetStalled", "The target takes too little; data piles up."
        case PushState.BACKOFF:
            words = "False", "Retrying", f"The target was lost and is dialled again.{cause}"
        case PushState.REJECTED:
            reason = error.class_ if error else "Rejected"
            words = "False", reason, f"{_REFUSED.get(reason, 'The target said no.')}{cause}"
        case PushState.GAVE_UP:
            words = "False", "GaveUp", f"No success for retry.giveUpSeconds.{cause}"
    return Condition("Live", *words)


def _unless_refused(
    observed: ObservedRestream,
    owner: Owner,
    stored: Stored,
    readiness: Readiness,
    live: Condition,
) -> Readiness:
    """Make it stalled while the target refuses, and until it is known not to refuse any more: only
    the user can correct the key, the certificate or the address. A target that closes connections
    without a refusal may be at fault itself."""
    told = _told(observed)
    if readiness.status != "True" and readiness.reason not in _POD_IS_AWAY:
        return readiness
    if told is not None and told.state is PushState.REJECTED and live.reason not in _HANGS_UP:
        return stalled(live.reason, live.message)
    known, error = stored.as_condition("Stalled"), _last_error(told, stored)
    unchanged = stored.get("observedGeneration") == owner.generation
    untried = told is None or told.state in _UNTRIED
    if unchanged and untried and known and error and known.reason == error["class"]:
        return stalled(known.reason, known.message)
    return readiness


def _conditions(readiness: Readiness, live: Condition, rollout: Rollout) -> tuple[Condition, ...]:
    first, *rest = readiness.conditions()
    pending = (rollout.condition(),) if rollout.pending else ()
    return (first, live, *pending, *rest)


def _event_types(live: Condition, status: dict[str, Any], stored: Stored) -> dict[str, str]:
    """A target that stays down is dialled again and again: that is told once, not at each try."""
    quiet = {"OnAir", "Publishing", "WaitingForStream", "Disabled"}
    types = {"Stalled": "Warning", "UpdatePending": "Normal"}
    if status["state"] == PushState.REJECTED:
        del types["Stalled"]  # Live says the same
    if live.reason != "Connecting" and not _failed_again(status, stored):
        types["Live"] = "Normal" if live.reason in quiet else "Warning"
    return types


def _failed_again(status: dict[str, Any], stored: Stored) -> bool:
    """A try has failed in the same way as the one before."""
    dialling = stored.since("Live", "False", "Connecting") is not None
    error, former = status.get("lastError"), stored.get("lastError")
    failed = status["state"] in (PushState.BACKOFF, PushState.REJECTED)
    return bool(dialling and failed and error and former and error["class"] == former["class"])
