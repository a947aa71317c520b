"""The age of a media pod's answer: fresh, stale, or not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sluice_media.contract import PodStatus
from sluice_operator.domain.decision import PodConfigHash
from sluice_operator.domain.observed import Sample
from sluice_operator.domain.pod_view import PodView

STALE_SECONDS = 10.0
"""Age after which the last answer of a silent pod is stale (LIFECYCLE, Words)."""
START_GRACE_SECONDS = 10.0
"""Time after its start for which the operator trusts the stored status. The time is longer while a
pod has not been polled once."""
_FRESH_SECONDS = 2.5
"""Age up to which no extra pass is scheduled: a connected pod sends a heartbeat every 2 s."""

S = TypeVar("S", bound=PodStatus)


def fresh(sample: Sample[S] | None) -> S | None:
    """Return the pod's answer, unless it is stale."""
    if sample is None or sample.age_seconds > STALE_SECONDS:
        return None
    return sample.status


def in_start_grace(sample: Sample[S] | None, operator_uptime_seconds: float) -> bool:
    """Return whether the operator has just started and the pod has not answered since."""
    return sample is None and operator_uptime_seconds < START_GRACE_SECONDS


def seconds_to_stale(sample: Sample[S] | None, operator_uptime_seconds: float) -> float | None:
    """Return the time until the answer becomes stale, or the start grace ends."""
    if sample is None:
        left = START_GRACE_SECONDS - operator_uptime_seconds
        return left + 0.1 if left > 0 else None
    if _FRESH_SECONDS < sample.age_seconds <= STALE_SECONDS:
        return STALE_SECONDS - sample.age_seconds + 0.1
    return None


def nudges(
    pods: Sequence[PodView],
    sample: Sample[S] | None,
    config_hash: str,
    *,
    keys_version: str = "",
    skip_template_other_than: str | None = None,
) -> tuple[PodConfigHash, ...]:
    """Return the annotations for pods that work with an older configuration, to refresh their
    mounts.

    A new pod has mounted the present configuration, so it gets no annotation (one write less)
    unless it echoes another one. ``keys_version`` changes with a mounted key, which the echo does
    not cover.
    """
    value = f"{config_hash}-{keys_version}" if keys_version else config_hash
    status = fresh(sample)
    found = []
    for pod in pods:
        if pod.terminating or status is None or status.pod_uid != pod.uid:
            continue
        if skip_template_other_than not in (None, pod.template_hash):
            continue
        up_to_date = status.config_hash == config_hash and not keys_version
        if pod.config_annotation == value or (pod.config_annotation is None and up_to_date):
            continue
        found.append(PodConfigHash(pod_name=pod.name, pod_uid=pod.uid, value=value))
    return tuple(found)
