"""What keeps a pod on air where it is: no eviction, and no scale-down of its node.

Annotations stop the cluster autoscaler and Karpenter; they are put on the running pod, never into
its template, so that nothing is replaced for them. A PodDisruptionBudget stops evictions through
the API, so that a drain waits. Both go when the stream goes off air. While the pod does not answer,
both stay as they are.
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


def budget(owner: Owner) -> Child:
    """Return the budget that lets no pod of the owner be evicted.

    A pod that is not ready carries no media and may be evicted all the same. Where the budget may
    not be made, by a quota or a policy, the stream goes on without it."""
    api_version, kind = BUDGET
    manifest = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata(owner, owner.workload_name),
        "spec": {
            "maxUnavailable": 0,
            "selector": {"matchLabels": selector(owner)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    return Child(manifest, optional=True)


def budget_deletion(existing: Raw) -> Deletion:
    api_version, kind = BUDGET
    return Deletion(api_version, kind, existing["metadata"]["name"], existing["metadata"]["uid"])


def find_others_budget(conflicts: Sequence[Conflict]) -> Conflict | None:
    """Return what has the name of our budget; without a budget a stream goes on all the same."""
    return next((conflict for conflict in conflicts if conflict.kind == BUDGET[1]), None)


def less_protected(
    changes: Sequence[PodAnnotations], others: Conflict | None
) -> tuple[Notice, ...]:
    """Return what is to be told once, when a pod begins to be kept and has no budget."""
    if (
        others is None
        or others.leaving
        or not any(all(change.values.values()) for change in changes)
    ):
        return ()
    words = (
        f"The {others.kind} {others.name} exists already and is not this stream's: nothing keeps a "
        "drain from evicting the pod on air. Delete or rename it."
    )
    return (Notice("Warning", EventReason.NOT_PROTECTED, words),)


def pod_protection(
    pods: Sequence[PodView], status: PodStatus | None, *, busy: bool
) -> tuple[PodAnnotations, ...]:
    """Return the annotations to be changed.

    Args:
        pods: pods of one owner.
        status: what one of them answers; None: nothing is known, nothing is changed.
        busy: replacing that pod would be seen by somebody.
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
