"""The rule "one target, one Restream": if several pushers name a target, only one may dial it.

Two publishers with one key disconnect each other, on most platforms again and again. Only pushers
know their targets (URIs and keys are in Secrets that the operator does not read). A pusher reports
a keyed digest of its target, and dials nothing until the operator has cleared that digest.

* The older Restream (creation time, then name) has the target; the others are duplicates of it.
* A Restream is cleared when no other pusher is connected to the target or may still connect. A
  pusher whose clearance was withdrawn may still connect until it has read the withdrawal. So a
  target may have no publisher for a moment, but never has two.
* The clearance stays in the pusher's configuration, so the pusher needs no operator to dial again.
  A withdrawn clearance stays there too, until the pusher has read the withdrawal. So after its
  start, the operator reads in the configurations which pushers may be connected to a target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sluice_media.contract import PusherConfig, PusherStatus, PushState, target_clearance
from sluice_operator.domain.manifests.config import stored_config
from sluice_operator.domain.pod_view import PodView, Raw
from sluice_operator.domain.restream.facts import RestreamFacts
from sluice_operator.domain.samples import START_GRACE_SECONDS
from sluice_operator.domain.times import soonest

_BUSY_SECONDS = 5.0
"""Pause before an occupied target is checked again. A pusher reports when it disconnects from a
target. The pause is for a pusher that does not answer any more."""


@dataclass(slots=True, frozen=True)
class Clearance:
    """The right to dial, as it is written into the pusher's configuration; see PusherConfig."""

    duplicate_of: str | None = None
    cleared_target: str | None = ""
    withdrawn_targets: tuple[str, ...] = ()
    revision: int = 0
    look_again_seconds: float | None = None

    def differs_from(self, other: Clearance) -> bool:
        return (self.duplicate_of, self.cleared_target, self.withdrawn_targets) != (
            other.duplicate_of,
            other.cleared_target,
            other.withdrawn_targets,
        )


def decide_clearance(facts: RestreamFacts, *, active: bool) -> Clearance:
    """Return the clearance to write. A Restream that is not ``active`` gets none."""
    observed, stored = facts.observed, stored_clearance(facts.config_map)
    found = _decided(facts, stored) if active else Clearance()
    withdrawn = set(() if _has_let_go(facts) else stored.withdrawn_targets)
    if stored.cleared_target:
        withdrawn.add(stored.cleared_target)
    withdrawn.discard(found.cleared_target or "")
    # The end of a terminating pod's grace period causes no pass.
    waits = bool(withdrawn) and any(pod.terminating for pod in observed.pods)
    found = replace(
        found,
        withdrawn_targets=tuple(sorted(withdrawn)),
        look_again_seconds=soonest(found.look_again_seconds, _BUSY_SECONDS if waits else None),
    )
    return replace(found, revision=stored.revision + found.differs_from(stored))


def _has_let_go(facts: RestreamFacts) -> bool:
    """Return whether every pod that is connected, or may still dial, has the present clearance."""
    running = [pod for pod in facts.observed.pods if may_run(pod, facts.now)]
    if not running:
        return True
    status, config = facts.sampled, stored_config(PusherConfig, facts.config_map)
    if status is None or config is None or facts.observed.hub_token is None:
        return False
    if any(pod.uid != status.pod_uid for pod in running) or status.config_hash != config.hash:
        return False
    clearance = target_clearance(status.target_digest, facts.observed.hub_token)
    return not status.connected or config.cleared_target == clearance


def _decided(facts: RestreamFacts, stored: Clearance) -> Clearance:
    observed, owner = facts.observed, facts.owner
    if observed.sample is None or observed.hub_token is None:
        return stored
    left = START_GRACE_SECONDS - observed.operator_uptime_seconds
    if left > 0:
        # The operator has just started, and other pushers may not have answered yet.
        return replace(stored, look_again_seconds=left + 0.1)
    digest = observed.sample.status.target_digest
    if not digest:
        return Clearance()
    mine = (owner.created_at, owner.name)
    ahead = [r for r in observed.rivals if r.wants and (r.created_at, r.name) < mine]
    if ahead:
        first = min(ahead, key=lambda r: (r.created_at, r.name))
        return Clearance(duplicate_of=first.name)
    clearance = target_clearance(digest, observed.hub_token)
    if stored.cleared_target == clearance:
        return Clearance(cleared_target=clearance)
    if any(rival.busy for rival in observed.rivals):
        return Clearance(look_again_seconds=_BUSY_SECONDS)
    return Clearance(cleared_target=clearance)


def stored_clearance(config_map: Raw | None) -> Clearance:
    """Return the decision of the last pass, from the pusher's ConfigMap."""
    config = stored_config(PusherConfig, config_map)
    if config is None:
        return Clearance()
    withdrawn = tuple(config.withdrawn_targets)
    return Clearance(config.duplicate_of, config.cleared_target, withdrawn, config.claim_revision)


# --------------------------------------------------------------------------- other Restreams


def is_undecided(
    config_map: Raw | None, status: PusherStatus | None, hub_token: str | None
) -> bool:
    """Return whether a pusher names a target for which it is not cleared. Before it is cleared, the
    operator must know which other pushers may be connected there."""
    if status is None or not status.target_digest or hub_token is None:
        return False
    return stored_clearance(config_map).cleared_target != target_clearance(
        status.target_digest, hub_token
    )


def holds(config_map: Raw | None, target_digest: str, hub_token: str) -> bool:
    """Return whether a pusher that mounts this ConfigMap, or has not read it yet, may dial the
    target."""
    return target_clearance(target_digest, hub_token) in clearances(config_map)


def clearances(config_map: Raw | None) -> frozenset[str]:
    """Return the clearances in a ConfigMap, the present and the withdrawn ones."""
    stored = stored_clearance(config_map)
    return frozenset(filter(None, (stored.cleared_target, *stored.withdrawn_targets)))


def is_cleared(config_map: Raw | None) -> bool:
    """Return whether a pusher that mounts this ConfigMap may dial its target."""
    return stored_clearance(config_map).cleared_target != ""


def may_be_connected(config_map: Raw | None, status: PusherStatus) -> bool:
    """Return whether a pusher that answers may be connected. A pusher that has not read its present
    ConfigMap yet may still dial by the former one."""
    config = stored_config(PusherConfig, config_map)
    behind = config is not None and status.config_hash != config.hash
    return behind or status.connected or status.state is not PushState.IDLE


def may_run(pod: PodView, now: datetime) -> bool:
    """Return whether a pod's process may still run.

    A pod that was deleted may be connected although it is not ready: perhaps it has just started.
    It counts until its grace period is over, and no longer, because its node may never come
    back."""
    return pod.ready or pod.ends_by is None or now < pod.ends_by
