"""How much an answer of a media pod is worth at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sluice_media.contract import PodStatus
from sluice_operator.domain.decision import PodConfigHash
from sluice_operator.domain.observed import Sample
from sluice_operator.domain.pod_view import PodView

STALE_SECONDS = 10.0
"""A pod that gave no sign of life for longer says nothing any more (LIFECYCLE, Words)."""
START_GRACE_SECONDS = 10.0
"""After its own start the operator believes what it once wrote for so long, and in any case until
it has asked each pod once."""
_NOT_QUITE_FRESH_SECONDS = 2.5
"""A pod in touch sends a heartbeat every 2 s; only beyond that a time to look again is needed."""

S = TypeVar("S", bound=PodStatus)


def fresh(sample: Sample[S] | None) -> S | None:
    """What the pod says, unless that is stale."""
    if sample is None or sample.age_seconds > STALE_SECONDS:
        return None
    return sample.status


def in_start_grace(sample: Sample[S] | None, operator_uptime_seconds: float) -> bool:
    """Nobody has been heard since the operator started, which was only a moment ago."""
    return sample is None and operator_uptime_seconds < START_GRACE_SECONDS


def seconds_to_stale(sample: Sample[S] | None, operator_uptime_seconds: float) -> float | None:
    """When to look again because silence will have become staleness by then."""
    if sample is None:
        left = START_GRACE_SECONDS - operator_uptime_seconds
        return left + 0.1 if left > 0 else None
    if _NOT_QUITE_FRESH_SECONDS < sample.age_seconds <= STALE_SECONDS:
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
    """Pods whose mounts must be refreshed now, because they run with another configuration.

    A pod that has just started mounted what was there, so it gets no annotation (one write less a
    pod) unless its echo says that it has missed something. ``keys_version`` changes when a mounted
    key does, of which the echo knows nothing.
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
