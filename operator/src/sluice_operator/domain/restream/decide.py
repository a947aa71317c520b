"""Restream: its pusher, and its right to dial the target."""

from __future__ import annotations

from datetime import datetime

from sluice_media.contract import PusherConfig, PushState
from sluice_operator.api.v1alpha1.reasons import ReadyReason, ReconcilingReason, StalledReason
from sluice_operator.domain.decision import Child, Decision, PodAnnotations
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
from sluice_operator.domain.owner import Owner, keep_everything
from sluice_operator.domain.protection import pod_protection
from sluice_operator.domain.readiness import (
    Readiness,
    conflict_readiness,
    missing_reference,
    pod_readiness,
    ready,
    reconciling,
    stalled,
    with_secret_keys,
)
from sluice_operator.domain.restream.clearance import Clearance, decide_clearance
from sluice_operator.domain.restream.facts import RestreamFacts
from sluice_operator.domain.restream.status import (
    conditions_of,
    event_types,
    live_condition,
    status_of,
    unless_refused,
)
from sluice_operator.domain.rollout import Rollout, Use, lacks_users_keys, plan_rollout
from sluice_operator.domain.samples import nudges, seconds_to_stale
from sluice_operator.domain.streams import is_there, stream_ref, stream_spec, stream_workload
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import soonest
from sluice_operator.domain.transitions import events_for

_TOKEN_WAIT_SECONDS = 1.0
_CONNECTED = frozenset({PushState.LIVE, PushState.WAITING, PushState.STALLED})
_AT_REST = frozenset({PushState.IDLE, PushState.BACKOFF, PushState.REJECTED, PushState.GAVE_UP})


def decide(observed: ObservedRestream, now: datetime) -> Decision:
    """Return the complete desired state of one Restream. Pure."""
    if Owner.of(observed.raw).deleted_at is not None:
        return keep_everything(observed.raw)
    facts = RestreamFacts.of(observed, now)
    stored = facts.stored
    conflict = conflict_readiness(facts.owner, observed.conflicts)
    obstacle = conflict or _stream_missing(facts)
    wanted = obstacle is None and facts.spec.active
    workload = stream_workload(observed.stream)
    template = pusher_template(facts.owner, facts.spec, observed.settings, workload)
    clearance = decide_clearance(facts, active=wanted)
    rollout = _rollout(facts, template_hash(template))
    waits = rollout.pending and lacks_users_keys(observed.pods, template)
    config = _configuration(facts, clearance, keys_wait=waits)
    readiness = obstacle or _token_missing(facts, wanted=wanted)
    token_is_there = readiness is obstacle
    if readiness is None:
        readiness = _readiness(facts)
    if clearance.duplicate_of and (
        not readiness.stalled or readiness.reason == StalledReason.DUPLICATE_TARGET
    ):
        readiness = _duplicate(clearance.duplicate_of)
    children: tuple[Child, ...] = ()
    if conflict is None and token_is_there and (wanted or facts.deployment):
        # Keep the pod until the pusher has disconnected: at a sudden SIGTERM the pusher could not
        # distinguish a switch-off from a drain.
        replicas = int(wanted or (obstacle is None and _is_connected(facts)))
        pods = Child(deployment(facts.owner, template, replicas=replicas, paused=rollout.paused))
        children = (*_secrets(facts), Child(config.manifest), pods)
    live = live_condition(facts, readiness)
    conditions = conditions_of(unless_refused(facts, readiness, live), live, rollout)
    status, held = hold_ticks(status_of(facts, readiness), stored.status)
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
        pod_annotations=_protection(facts),
        requeue_after_seconds=soonest(
            readiness.look_again_seconds,
            clearance.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
            held,
        ),
        event_reasons=events_for(stored, conditions, event_types(live, status, stored)),
    )


def _is_connected(facts: RestreamFacts) -> bool:
    """Return whether the pusher has not ended its connection to the target yet."""
    return facts.sampled is not None and facts.sampled.connected


def _protection(facts: RestreamFacts) -> tuple[PodAnnotations, ...]:
    status = facts.sampled
    busy = status is not None and status.state in _CONNECTED
    return pod_protection(facts.observed.pods, status, busy=busy)


# --------------------------------------------------------------------------- readiness


def _stream_missing(facts: RestreamFacts) -> Readiness | None:
    if is_there(facts.observed.stream):
        return None
    what = f"LiveStream {facts.spec.stream_ref.name}"
    return missing_reference(
        facts.owner, facts.stored, StalledReason.STREAM_NOT_FOUND, what, facts.now
    )


def _token_missing(facts: RestreamFacts, *, wanted: bool) -> Readiness | None:
    observed = facts.observed
    known = observed.hub_token or ("Secret", facts.owner.workload_name) in observed.children
    if known or not wanted:
        return None
    message = "The stream is being set up."
    return reconciling(ReconcilingReason.STARTING, message, look_again_seconds=_TOKEN_WAIT_SECONDS)


def _readiness(facts: RestreamFacts) -> Readiness:
    observed = facts.observed
    if not facts.spec.active and facts.has_no_pod:
        return ready(ReadyReason.DISABLED, "Switched off. Set spec.active to true to switch it on.")
    found = pod_readiness(
        facts.owner,
        facts.stored,
        what="pusher",
        pods=observed.pods,
        sample=observed.sample,
        workload=facts.deployment,
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=facts.now,
        when_ready=ready(ReadyReason.CONFIGURED, "Set up as specified."),
    )
    return with_secret_keys(found, users_secrets(facts.spec))


def _duplicate(older: str) -> Readiness:
    return stalled(
        StalledReason.DUPLICATE_TARGET,
        f"Restream {older} pushes to the same target with the same stream key, and two publishers "
        "would disconnect each other. Use another key, or switch off or delete one of the two.",
    )


# --------------------------------------------------------------------------- children


def _configuration(facts: RestreamFacts, clearance: Clearance, *, keys_wait: bool) -> Configuration:
    """Render the configuration. ``keys_wait``: the pod still mounts the former target's keys."""
    observed, owner = facts.observed, facts.owner
    stream = None
    if is_there(observed.stream) and observed.stream is not None:
        stream = stream_ref(observed.stream, observed.settings)
    config = pusher_config(owner, facts.spec, observed.settings, stream, clearance)
    if keys_wait:
        config = with_mounted_keys(config, stored_config(PusherConfig, facts.config_map))
    return configuration(owner, config)


def _rollout(facts: RestreamFacts, template: str) -> Rollout:
    observed, status = facts.observed, facts.sampled
    immediate = observed.stream is not None and (
        stream_spec(observed.stream).update_policy == "Immediate"
    )
    busy = status is not None and status.state not in _AT_REST
    return plan_rollout(
        deployment=facts.deployment,
        pods=observed.pods,
        template_hash=template,
        immediate=immediate,
        use=Use(known=status is not None, busy=busy),
    )


def _secrets(facts: RestreamFacts) -> tuple[Child, ...]:
    token = facts.observed.hub_token
    if not token:
        return ()
    return (Child(token_secret(facts.owner, STATUS_SECRET["Restream"], token)),)
