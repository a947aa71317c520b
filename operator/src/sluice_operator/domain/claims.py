"""One target, one Restream: who of those that push to the same target with the same key may.

Two publishers with one key push each other off, at most platforms again and again. Only pushers
know their targets (URIs and keys are in Secrets that the operator does not read); they show a keyed
digest and dial nothing until the operator has cleared that very digest:

* The older Restream (creation time, then name) has the target, the others are duplicates of it.
* Who has the target is cleared once no other pusher is connected to it or could still be, by a
  clearance that it has not heard to be withdrawn: rather a moment without any than one with two.
* What is cleared stays in the pusher's configuration: it needs no operator to dial again. What is
  withdrawn stays there too, until the pusher has read of it: an operator that has just started
  knows from the configurations alone who may be connected where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sluice_media.contract import PusherConfig, PusherStatus, PushState, target_clearance
from sluice_operator.domain.manifests.config import stored_config
from sluice_operator.domain.observed import ObservedRestream
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import PodView, Raw
from sluice_operator.domain.samples import START_GRACE_SECONDS, fresh
from sluice_operator.domain.times import soonest

_BUSY_SECONDS = 5.0
"""Who holds a target says when it lets go; this is for one that has fallen silent."""


@dataclass(slots=True, frozen=True)
class Claim:
    """What the pusher's configuration says about its target; see PusherConfig."""

    duplicate_of: str | None = None
    cleared_target: str | None = ""
    withdrawn_targets: tuple[str, ...] = ()
    revision: int = 0
    look_again_seconds: float | None = None


def target_claim(observed: ObservedRestream, owner: Owner, now: datetime, *, active: bool) -> Claim:
    """``active``: it is to push at all; without that it claims nothing, and begins anew."""
    stored = stored_claim(_config_map(observed, owner))
    claim = _decided(observed, owner, stored) if active else Claim()
    withdrawn = set(() if _has_let_go(observed, owner, now) else stored.withdrawn_targets)
    if stored.cleared_target:
        withdrawn.add(stored.cleared_target)
    withdrawn.discard(claim.cleared_target or "")
    # Nobody tells when the time of a pod that ends is up.
    waits = bool(withdrawn) and any(pod.terminating for pod in observed.pods)
    claim = replace(
        claim,
        withdrawn_targets=tuple(sorted(withdrawn)),
        look_again_seconds=soonest(claim.look_again_seconds, _BUSY_SECONDS if waits else None),
    )
    changed = _said(claim) != _said(stored)
    return replace(claim, revision=stored.revision + changed)


def _said(claim: Claim) -> tuple[str | None, str | None, tuple[str, ...]]:
    return claim.duplicate_of, claim.cleared_target, claim.withdrawn_targets


def _has_let_go(observed: ObservedRestream, owner: Owner, now: datetime) -> bool:
    """No pod of it is connected, or may yet dial, by what its configuration does not clear."""
    running = [pod for pod in observed.pods if may_run(pod, now)]
    if not running:
        return True
    told, config = fresh(observed.sample), stored_config(PusherConfig, _config_map(observed, owner))
    if told is None or config is None or observed.hub_token is None:
        return False
    if any(pod.uid != told.pod_uid for pod in running) or told.config_hash != config.hash:
        return False
    where = target_clearance(told.target_digest, observed.hub_token)
    return not told.connected or config.cleared_target == where


def _decided(observed: ObservedRestream, owner: Owner, stored: Claim) -> Claim:
    if observed.sample is None or observed.hub_token is None:
        return stored
    left = START_GRACE_SECONDS - observed.operator_uptime_seconds
    if left > 0:
        # Others have perhaps not been heard of yet, since the operator started.
        return replace(stored, look_again_seconds=left + 0.1)
    digest = observed.sample.status.target_digest
    if not digest:
        return Claim()
    mine = (owner.created_at, owner.name)
    ahead = [r for r in observed.rivals if r.wants and (r.created_at, r.name) < mine]
    if ahead:
        first = min(ahead, key=lambda r: (r.created_at, r.name))
        return Claim(duplicate_of=first.name)
    clearance = target_clearance(digest, observed.hub_token)
    if stored.cleared_target == clearance:
        return Claim(cleared_target=clearance)
    if any(rival.busy for rival in observed.rivals):
        return Claim(look_again_seconds=_BUSY_SECONDS)
    return Claim(cleared_target=clearance)


def stored_claim(config_map: Raw | None) -> Claim:
    """What the last pass decided, out of the pusher's ConfigMap."""
    config = stored_config(PusherConfig, config_map)
    if config is None:
        return Claim()
    withdrawn = tuple(config.withdrawn_targets)
    return Claim(config.duplicate_of, config.cleared_target, withdrawn, config.claim_revision)


def is_undecided(config_map: Raw | None, told: PusherStatus | None, hub_token: str | None) -> bool:
    """Whether a pusher names a target that it has not got: who else may be connected there has to
    be known before it gets it."""
    if told is None or not told.target_digest or hub_token is None:
        return False
    return stored_claim(config_map).cleared_target != target_clearance(
        told.target_digest, hub_token
    )


def holds(config_map: Raw | None, target_digest: str, hub_token: str) -> bool:
    """Whether a pusher that mounts this ConfigMap, or has not read it yet, may dial that target."""
    stored = stored_claim(config_map)
    clearance = target_clearance(target_digest, hub_token)
    return clearance == stored.cleared_target or clearance in stored.withdrawn_targets


def is_cleared(config_map: Raw | None) -> bool:
    """Whether a pusher that mounts this ConfigMap may dial its target."""
    return stored_claim(config_map).cleared_target != ""


def may_be_connected(config_map: Raw | None, told: PusherStatus) -> bool:
    """Whether a pusher that answers is connected, or may be before it has read its ConfigMap."""
    config = stored_config(PusherConfig, config_map)
    behind = config is not None and told.config_hash != config.hash
    return behind or told.connected or told.state is not PushState.IDLE


def may_run(pod: PodView, now: datetime) -> bool:
    """Return whether a pod's process may still run.

    A pod that was deleted may be connected although it is not ready: perhaps it has just started.
    It counts until its time to end is up, and no longer, because its node may be gone for good."""
    return pod.ready or pod.ends_by is None or now < pod.ends_by


def _config_map(observed: ObservedRestream, owner: Owner) -> Raw | None:
    return observed.children.get(("ConfigMap", owner.workload_name))
