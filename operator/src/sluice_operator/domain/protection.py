"""What keeps a pod on air where it is: no eviction, and no scale-down of its node.

Annotations stop the cluster autoscaler and Karpenter; they are put on the running pod, never into
its template, so that nothing is replaced for them. A PodDisruptionBudget stops evictions through
the API, so that a drain waits. Both go when the stream goes off air. While the pod does not answer,
both stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.contract import PodStatus
from sluice_operator.domain.decision import Child, Deletion, PodAnnotations
from sluice_operator.domain.manifests.meta import metadata, selector
from sluice_operator.domain.names import KEEP_POD_ANNOTATIONS
from sluice_operator.domain.observed import Raw
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import PodView

__all__ = ["BUDGET", "budget", "budget_deletion", "pod_protection"]

BUDGET = ("policy/v1", "PodDisruptionBudget")


def budget(owner: Owner) -> Child:
    """Return the budget that lets no pod of the owner be evicted.

    A pod that is not ready carries no media and may be evicted all the same."""
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
    return Child(manifest)


def budget_deletion(existing: Raw) -> Deletion:
    api_version, kind = BUDGET
    return Deletion(api_version, kind, existing["metadata"]["name"], existing["metadata"]["uid"])


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
