"""MediaStore: its claim, its store pod, and its status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sluice_media.contract import STORE_PORT, StoreStatus
from sluice_operator.api.v1alpha1 import MediaStoreSpec
from sluice_operator.api.v1alpha1.reasons import ReadyReason, ReconcilingReason, StalledReason
from sluice_operator.domain.decision import Child, Condition, Decision
from sluice_operator.domain.headroom import headroom_condition, headroom_event
from sluice_operator.domain.manifests.config import configuration
from sluice_operator.domain.manifests.place import StorePlace, claim_name, store_place
from sluice_operator.domain.manifests.pod import deployment
from sluice_operator.domain.manifests.secret import token_secret
from sluice_operator.domain.manifests.service import service
from sluice_operator.domain.manifests.store import (
    claim_manifest,
    store_config,
    store_template,
)
from sluice_operator.domain.names import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    STATUS_SECRET,
)
from sluice_operator.domain.observed import ObservedMediaStore
from sluice_operator.domain.owner import Owner, Stored, keep_everything
from sluice_operator.domain.readiness import (
    CONFLICT_RETRY_SECONDS,
    Readiness,
    conflict_readiness,
    name_conflict,
    pod_readiness,
    ready,
    reconciling,
    stalled,
    with_secret_keys,
)
from sluice_operator.domain.samples import fresh, in_start_grace, nudges, seconds_to_stale
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.ticks import hold_ticks
from sluice_operator.domain.times import soonest, utc_text
from sluice_operator.domain.transitions import events_for

_AVAILABLE_STEP_BYTES = 64 * 1024 * 1024
"""Step of the free space in the status: other users of the volume change it all the time."""
_FULL_STEP_SECONDS = 60
_MEASURED = (
    "usedBytes",
    "limitBytes",
    "availableBytes",
    "secondsToFull",
    "observedAt",
)


def decide(observed: ObservedMediaStore, now: datetime) -> Decision:
    """Return the complete desired state of one MediaStore. Pure."""
    owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
    if owner.deleted_at is not None:
        return keep_everything(observed.raw)
    spec, place = read_spec(MediaStoreSpec, observed.raw), store_place(observed.raw)
    conflict = conflict_readiness(owner, observed.conflicts) or _foreign_claim(
        observed, owner, spec
    )
    obstacle = conflict or _claim_missing(observed, owner, spec)
    readiness = obstacle or _readiness(observed, owner, stored, place, now)
    config = configuration(owner, store_config(owner, spec, place, observed.settings))
    status, held = hold_ticks(_status(observed, owner, stored, place), stored.status)
    headroom = _headroom(observed, stored)
    first, *rest = readiness.conditions()
    conditions = (first, headroom, *rest)
    types = {"Ready": "Normal", "Stalled": "Warning"}
    return Decision(
        status=status,
        conditions=conditions,
        children=() if conflict else _children(observed, owner, spec, place, config.manifest),
        pod_config_hashes=() if conflict else nudges(observed.pods, observed.sample, config.hash),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_for(stored, conditions, types) | headroom_event(stored, headroom),
    )


# --------------------------------------------------------------------------- the claim


def _foreign_claim(
    observed: ObservedMediaStore, owner: Owner, spec: MediaStoreSpec
) -> Readiness | None:
    """Return the conflict when a foreign claim has the name of the claim to create."""
    claim = spec.persistent_volume_claim
    if claim is None or claim.template is None or observed.claim is None:
        return None
    labels = observed.claim["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY_LABEL) == MANAGED_BY and labels.get(NAME_LABEL) == owner.name:
        return None
    name = observed.claim["metadata"]["name"]
    return name_conflict(
        f"The PersistentVolumeClaim {name} already exists and was not made for this MediaStore. To "
        f"use it, name it in claimName.",
    )


def _claim_missing(
    observed: ObservedMediaStore, owner: Owner, spec: MediaStoreSpec
) -> Readiness | None:
    if spec.persistent_volume_claim is None:
        return None
    claim = claim_name(observed.raw)
    if observed.claim is None and spec.persistent_volume_claim.template is None:
        return stalled(
            StalledReason.CLAIM_NOT_FOUND,
            f"There is no PersistentVolumeClaim {claim} in namespace {owner.namespace}. Create it, "
            "or have a MediaStore make one with persistentVolumeClaim.template.",
            look_again_seconds=CONFLICT_RETRY_SECONDS,
        )
    if observed.claim is not None:
        phase = (observed.claim.get("status") or {}).get("phase")
        if phase == "Lost":
            message = (
                f"The volume of PersistentVolumeClaim {claim} is lost. Make a new MediaStore with "
                "another claim."
            )
            return stalled(StalledReason.CLAIM_LOST, message)
    return None


# --------------------------------------------------------------------------- the rest


def _children(
    observed: ObservedMediaStore,
    owner: Owner,
    spec: MediaStoreSpec,
    place: StorePlace,
    config_map: dict[str, Any],
) -> tuple[Child, ...]:
    """Return the children. They are created even while the claim is missing: the pod waits for
    it."""
    template = store_template(owner, observed.settings, place)
    suffix = STATUS_SECRET["MediaStore"]
    children = [
        Child(token_secret(owner, suffix, observed.fresh_token), create_only=True),
        Child(config_map),
        Child(service(owner, "store", STORE_PORT)),
        Child(deployment(owner, template)),
    ]
    claim = spec.persistent_volume_claim
    made = claim.template if claim is not None else None
    if made is not None:
        claim_child = Child(claim_manifest(owner, made), create_only=True, owned=False)
        children.insert(0, claim_child)
    return tuple(children)


def _readiness(
    observed: ObservedMediaStore,
    owner: Owner,
    stored: Stored,
    place: StorePlace,
    now: datetime,
) -> Readiness:
    found = pod_readiness(
        owner,
        stored,
        what="store pod",
        pods=observed.pods,
        sample=observed.sample,
        workload=observed.children.get(("Deployment", owner.workload_name)),
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=now,
        when_ready=ready(ReadyReason.CONFIGURED, "Recordings can be written."),
    )
    status = fresh(observed.sample)
    if found.status == "True" and status is not None and not status.writable:
        if status.reason is None and status.message is None:
            what = "volume" if place.s3 is None else "bucket"
            return reconciling(ReconcilingReason.STARTING, f"The store pod is testing the {what}.")
        message = status.message or "The store pod cannot write into the store."
        return stalled(status.reason or StalledReason.NOT_WRITABLE, message)
    return with_secret_keys(found, place.secrets)


def _headroom(observed: ObservedMediaStore, stored: Stored) -> Condition:
    known = stored.as_condition("StorageHeadroom")
    if known is not None and in_start_grace(observed.sample, observed.operator_uptime_seconds):
        return known
    return headroom_condition(fresh(observed.sample), "the store")


def _status(
    observed: ObservedMediaStore, owner: Owner, stored: Stored, place: StorePlace
) -> dict[str, Any]:
    status = fresh(observed.sample)
    status_fields: dict[str, Any] = {
        "observedGeneration": owner.generation,
        "location": place.uri_base,
        "claimName": place.claim,
        **(_usage(status) if status is not None else {key: stored.get(key) for key in _MEASURED}),
    }
    return {key: value for key, value in status_fields.items() if value is not None}


def _usage(status: StoreStatus) -> dict[str, Any]:
    return {
        "usedBytes": status.used_bytes,
        "limitBytes": status.limit_bytes,
        "availableBytes": _step(status.available_bytes, _AVAILABLE_STEP_BYTES),
        "secondsToFull": _step(status.seconds_to_full, _FULL_STEP_SECONDS),
        "observedAt": utc_text(status.observed_at),
    }


def _step(value: int | None, step: int) -> int | None:
    return None if value is None else value // step * step
