"""The protection of a pod on air from eviction, and from the removal of its node.

Annotations stop the cluster autoscaler and Karpenter. They are set on the running pod and not in
its template, because a change of the template would replace the pod. A PodDisruptionBudget stops
evictions through the API, so that a drain waits. Both are removed when the stream goes off air.
While the pod does not answer, both stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.contract import PodStatus
from sluice_operator.api.v1alpha1.reasons import EventReason
from sluice_operator.domain.decision import Child, Deletion, Notice, PodAnnotations
from sluice_operator.domain.manifests.meta import metadata, selector
from sluice_operator.domain.names import KEEP_POD_ANNOTATIONS
from sluice_operator.domain.observed import Conflict
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import PodView, Raw

BUDGET = ("policy/v1", "PodDisruptionBudget")


def budget(owner: Owner, *, may_be_unavailable: int = 0) -> Child:
    """Return the budget that lets no pod of the owner be evicted, or one of several at a time.

    A pod that is not ready carries no media, so it may be evicted. If a quota or a policy refuses
    the budget, the stream continues without it."""
    api_version, kind = BUDGET
    manifest = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata(owner, owner.workload_name),
        "spec": {
            "maxUnavailable": may_be_unavailable,
            "selector": {"matchLabels": selector(owner)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    return Child(manifest, optional=True)


def budget_deletion(existing: Raw) -> Deletion:
    api_version, kind = BUDGET
    return Deletion(api_version, kind, existing["metadata"]["name"], existing["metadata"]["uid"])


def find_foreign_budget(owner: Owner, conflicts: Sequence[Conflict]) -> Conflict | None:
    """Return the foreign object that has the name of the owner's budget."""
    key = BUDGET[1], owner.workload_name
    return next((found for found in conflicts if (found.kind, found.name) == key), None)


def less_protected(
    changes: Sequence[PodAnnotations], foreign: Conflict | None
) -> tuple[Notice, ...]:
    """Return one notice when a pod is annotated and cannot have a budget."""
    if (
        foreign is None
        or foreign.leaving
        or not any(all(change.values.values()) for change in changes)
    ):
        return ()
    message = (
        f"The {foreign.kind} {foreign.name} already exists and is not this stream's, so a drain "
        "can evict the pod that is on air. Delete or rename it."
    )
    return (Notice("Warning", EventReason.NOT_PROTECTED, message),)


def pod_protection(
    pods: Sequence[PodView], status: PodStatus | None, *, busy: bool
) -> tuple[PodAnnotations, ...]:
    """Return the annotations to be changed.

    Args:
        pods: pods of one owner.
        status: the answer of one of them. If it is None, no annotation is changed.
        busy: the replacement of that pod would interrupt or lose something.
    """
    if status is None:
        return ()
    found = []
    for pod in pods:
        keep = busy and pod.uid == status.pod_uid
        if pod.terminating or pod.kept == keep:
            continue
        values = {name: value if keep else None for name, value in KEEP_POD_ANNOTATIONS.items()}
        found.append(PodAnnotations(pod.name, pod.uid, values))
    return tuple(found)
