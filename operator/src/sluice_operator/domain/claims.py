"""One target, one Restream: who of those that push to the same target with the same key may.

Two publishers with one key push each other off, at most platforms again and again. Only pushers
know their targets (URIs and keys are in Secrets that the operator does not read); they show a keyed
digest and dial nothing until the operator has cleared that very digest:

* The older Restream (creation time, then name) has the target, the others are duplicates of it.
* Who has the target is cleared once no other pusher is connected to it, so that there is a moment
  without any rather than one with two.
* What is cleared stays in the pusher's configuration: it needs no operator to dial again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from sluice_media.contract import PusherConfig, target_clearance
from sluice_operator.domain.manifests.config import CONFIG_KEY
from sluice_operator.domain.observed import ObservedRestream, Raw
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.samples import START_GRACE_SECONDS

__all__ = ["Claim", "stored_claim", "target_claim"]

_BUSY_SECONDS = 5.0
"""Who holds a target says when it lets go; this is for one that has fallen silent."""


@dataclass(slots=True, frozen=True)
class Claim:
    """What the pusher's configuration says about its target; see PusherConfig."""

    duplicate_of: str | None = None
    cleared_target: str | None = ""
    look_again_seconds: float | None = None


def target_claim(observed: ObservedRestream, owner: Owner, *, active: bool) -> Claim:
    """``active``: it is to push at all; without that it claims nothing, and begins anew."""
    if not active:
        return Claim()
    stored = stored_claim(observed.children.get(("ConfigMap", owner.workload_name)))
    if observed.sample is None or observed.hub_token is None:
        return stored
    left = START_GRACE_SECONDS - observed.operator_uptime_seconds
    if left > 0:
        # Others have perhaps not been heard of yet, since the operator started.
        return Claim(stored.duplicate_of, stored.cleared_target, left + 0.1)
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
    try:
        config = PusherConfig.model_validate_json((config_map or {})["data"][CONFIG_KEY])
    except (KeyError, ValidationError):
        return Claim()  # never made, or by somebody else: it is decided anew
    return Claim(config.duplicate_of, config.cleared_target)
