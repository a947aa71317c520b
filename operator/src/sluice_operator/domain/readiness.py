"""Ready, Reconciling and Stalled, as kstatus reads them, computed once for every kind.

* Ready=True: set up as specified (waiting for media counts).
* Ready=Unknown with Reconciling=True: in progress; the user need not act.
* Ready=False with Stalled=True: the user must act; the message has the cause and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sluice_media.contract import PodStatus
from sluice_operator.api.v1alpha1.common import SecretKeyRef
from sluice_operator.api.v1alpha1.reasons import ReconcilingReason, StalledReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.observed import Conflict, Sample
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import PodView, Raw
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.times import parse_time, seconds_until

CONFLICT_RETRY_SECONDS = 10.0
"""Time between two checks of a foreign object, because foreign objects are not watched."""
REFERENCE_GRACE_SECONDS = 60.0
"""Time for which a missing reference is no error, because manifests are applied in any order."""

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
_KUBELET_PREFIX = re.compile(
    r"""
    Back-off \ pulling \ image \ "[^"]*" (?: : \s* | $ )
    | Err(?:ImagePull|ImageNeverPull) : \s*
    | (?: rpc \ error: \s )? code \ = \ \w+ \ desc \ = \s*
    """,
    re.VERBOSE,
)
"""Prefix that the kubelet puts before the cause in every second try. Without its removal, each
change of the message would be a write."""
_PREEMPTION = re.compile(r" (?:no new claims to deallocate,? ?)?preemption: .*", re.DOTALL)
"""The scheduler's report on preemption, which does not help to find a node."""
_CONFIG_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


@dataclass(slots=True, frozen=True)
class Readiness:
    """The readiness of an object, from which Ready, Reconciling and Stalled follow."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    stalled: bool = False
    reconciling: str = ""
    """Message of Reconciling; empty when nothing is in progress."""
    look_again_seconds: float | None = None

    def conditions(self) -> tuple[Condition, ...]:
        found = [Condition("Ready", self.status, self.reason, self.message)]
        if self.reconciling:
            reason = ReconcilingReason.PROGRESSING if self.status == "True" else self.reason
            found.append(Condition("Reconciling", "True", reason, self.reconciling))
        if self.stalled:
            found.append(Condition("Stalled", "True", self.reason, self.message))
        return tuple(found)


def ready(reason: str, message: str, look_again_seconds: float | None = None) -> Readiness:
    return Readiness("True", reason, message, look_again_seconds=look_again_seconds)


def stalled(reason: str, message: str, look_again_seconds: float | None = None) -> Readiness:
    return Readiness("False", reason, message, stalled=True, look_again_seconds=look_again_seconds)


def reconciling(reason: str, message: str, look_again_seconds: float | None = None) -> Readiness:
    return Readiness(
        "Unknown", reason, message, reconciling=message, look_again_seconds=look_again_seconds
    )


# --------------------------------------------------------------------------- causes


def with_secret_keys(missing: Readiness, refs: Sequence[SecretKeyRef]) -> Readiness:
    """Add the Secrets and keys to a SecretKeyMissing. The pod sees only mounted files; the operator
    knows their Secrets."""
    if missing.reason != StalledReason.SECRET_KEY_MISSING or not refs:
        return missing
    places = " and ".join(dict.fromkeys(f"key {ref.key} of Secret {ref.name}" for ref in refs))
    return replace(missing, message=f"{missing.message} Looked for: {places}.")


def name_conflict(message: str) -> Readiness:
    """Return Stalled, to be checked again every ten seconds: foreign objects are not watched."""
    return stalled(StalledReason.NAME_CONFLICT, message, look_again_seconds=CONFLICT_RETRY_SECONDS)


def conflict_readiness(owner: Owner, conflicts: Sequence[Conflict]) -> Readiness | None:
    """Return the readiness when a child's name belongs to a foreign object; None without
    conflicts."""
    for conflict in conflicts:
        if not conflict.leaving:
            whose = (
                f"belongs to {conflict.held_by}" if conflict.held_by else "was not made by Sluice"
            )
            return name_conflict(
                f"The {conflict.kind} {conflict.name} already exists and {whose}. Delete or rename "
                f"it, or give this {owner.kind} another name.",
            )
    for conflict in conflicts:
        return reconciling(
            ReconcilingReason.REPLACING,
            f"The {conflict.kind} {conflict.name} of an earlier object of this name is "
            "still being deleted; the new one follows.",
            look_again_seconds=1.0,
        )
    return None


def missing_reference(
    owner: Owner, stored: Stored, reason: str, what: str, now: datetime
) -> Readiness:
    """Return Reconciling for a minute, then Stalled: the object that is referred to is missing."""
    message = (
        f"There is no {what} in namespace {owner.namespace}. Create it; "
        f"this {owner.kind} then continues by itself."
    )
    if stored.since("Stalled", "True", reason):
        return stalled(reason, message)
    waiting_since = stored.since("Reconciling", "True", reason)
    if waiting_since is None and stored.condition("Ready") is None:
        waiting_since = owner.created_at
    left = seconds_until(waiting_since or now, REFERENCE_GRACE_SECONDS, now)
    if left <= 0:
        return stalled(reason, message)
    return reconciling(reason, message, look_again_seconds=left)


def pod_readiness(
    owner: Owner,
    stored: Stored,
    *,
    what: str,
    pods: Sequence[PodView],
    sample: Sample[PodStatus] | None,
    workload: Raw | None,
    operator_uptime_seconds: float,
    trouble_seconds: float,
    now: datetime,
    when_ready: Readiness,
) -> Readiness:
    """Return whether the pod exists and works with the present configuration.

    ``what`` names the pod in messages ("ingest pod"); ``workload`` is its Deployment or Job;
    ``trouble_seconds`` is the time for which a pod may fail to start before it is Stalled.
    """
    status = fresh(sample)
    if status is not None:
        return _answering(owner, stored, what, status, when_ready)
    if in_start_grace(sample, operator_uptime_seconds):
        kept = _kept(stored)
        if kept is not None:
            return kept
    trouble = pod_trouble(what, pods, workload, trouble_seconds, now) or _still_crashing(
        stored, what, pods
    )
    if trouble is not None:
        return trouble
    if sample is None:
        return reconciling(ReconcilingReason.STARTING, f"The {what} is starting.")
    return reconciling(
        ReconcilingReason.NOT_ANSWERING, f"The {what} has not answered for more than 10 s."
    )


def _answering(
    owner: Owner, stored: Stored, what: str, status: PodStatus, when_ready: Readiness
) -> Readiness:
    if status.config_error:
        return stalled(
            status.config_error_reason or StalledReason.INVALID_CONFIGURATION, status.config_error
        )
    if status.config_generation >= owner.generation:
        return when_ready
    message = f"The {what} has not applied generation {owner.generation} yet."
    if stored.is_true("Ready"):
        return Readiness("True", when_ready.reason, when_ready.message, reconciling=message)
    return reconciling(ReconcilingReason.STARTING, message)


def _kept(stored: Stored) -> Readiness | None:
    condition = stored.as_condition("Ready")
    if condition is None:
        return None
    going_on = stored.as_condition("Reconciling")
    return Readiness(
        condition.status,
        condition.reason,
        condition.message,
        stalled=stored.is_true("Stalled"),
        reconciling=going_on.message if going_on else "",
    )


def pod_trouble(
    what: str,
    pods: Sequence[PodView],
    workload: Raw | None,
    trouble_seconds: float,
    now: datetime,
) -> Readiness | None:
    """Return the cause for which a pod does not run; Reconciling until it has lasted for
    ``trouble_seconds``, then Stalled. None when there is no known cause."""
    return _pod_trouble(what, pods, trouble_seconds, now) or _creation_trouble(
        what, pods, workload, trouble_seconds, now
    )


def _pod_trouble(
    what: str, pods: Sequence[PodView], trouble_seconds: float, now: datetime
) -> Readiness | None:
    for pod in pods:
        if pod.terminating or pod.since is None:
            continue
        cause = _cause(what, pod)
        if cause is not None:
            reason, message = cause
            left = seconds_until(pod.since, trouble_seconds, now)
            if left <= 0:
                return stalled(reason, message)
            return reconciling(ReconcilingReason.STARTING, message, look_again_seconds=left)
    return None


def _cause(what: str, pod: PodView) -> tuple[str, str] | None:
    if pod.unschedulable_message is not None:
        cause = _PREEMPTION.sub("", pod.unschedulable_message)
        return StalledReason.UNSCHEDULABLE, f"No node can run the {what}: {cause}"
    detail = _KUBELET_PREFIX.sub("", pod.waiting_message or "").strip() or pod.waiting_reason
    if pod.waiting_reason in _IMAGE_REASONS:
        return (
            StalledReason.IMAGE_PULL_FAILED,
            f"The image of the {what} cannot be pulled: {detail}",
        )
    if pod.waiting_reason in _CONFIG_REASONS:
        return StalledReason.POD_NOT_STARTING, f"The {what} cannot be started: {detail}"
    if pod.waiting_reason == "CrashLoopBackOff":
        return StalledReason.POD_CRASHING, _crash_message(what, pod)
    return None


def _crash_message(what: str, pod: PodView) -> str:
    """Return a message without the kubelet's text, because its delay changes with each crash."""
    last = f" (last time: {pod.last_exit})" if pod.last_exit else ""
    return f"The {what} exits again and again{last}. Its log has the cause."


def _still_crashing(stored: Stored, what: str, pods: Sequence[PodView]) -> Readiness | None:
    """Return the trouble of a pod that runs between two crashes, until it answers."""
    if stored.since("Stalled", "True", StalledReason.POD_CRASHING) is None:
        return None
    for pod in pods:
        if not (pod.terminating or pod.ready) and pod.last_exit is not None:
            return stalled(StalledReason.POD_CRASHING, _crash_message(what, pod))
    return None


def _creation_trouble(
    what: str,
    pods: Sequence[PodView],
    workload: Raw | None,
    trouble_seconds: float,
    now: datetime,
) -> Readiness | None:
    """Return the trouble when a quota or an admission policy prevents the creation of the pod."""
    if any(not pod.terminating for pod in pods):
        return None
    for condition in ((workload or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] != "ReplicaFailure" or condition["status"] != "True":
            continue
        message = f"The {what} cannot be created: {condition.get('message', '')}"
        since = parse_time(condition.get("lastTransitionTime")) or now
        left = seconds_until(since, trouble_seconds, now)
        if left <= 0:
            return stalled(StalledReason.POD_FORBIDDEN, message)
        return reconciling(ReconcilingReason.STARTING, message, look_again_seconds=left)
    return None
