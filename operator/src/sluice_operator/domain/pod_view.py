"""The fields of a pod that decisions depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice_operator.domain.names import (
    CONFIG_ANNOTATION,
    KEEP_POD_ANNOTATIONS,
    TEMPLATE_ANNOTATION,
)
from sluice_operator.domain.times import parse_time

Raw = Mapping[str, Any]
"""An API object as JSON."""


@dataclass(slots=True, frozen=True)
class PodView:
    """The fields of a pod that decisions depend on."""

    name: str
    uid: str
    created_at: datetime
    ip: str | None = None
    phase: str = "Pending"
    ready: bool = False
    ends_by: datetime | None = None
    """End of its grace period (`deletionTimestamp`); None when it was not deleted."""
    waiting_reason: str | None = None
    """Reason of its waiting container, e.g. ImagePullBackOff."""
    waiting_message: str | None = None
    unschedulable_message: str | None = None
    """The scheduler's message, while it finds no node."""
    last_exit: str | None = None
    """The last exit of its container as text; None when it has not exited yet."""
    since: datetime | None = None
    """Time since which it is unschedulable or waiting; None when it is neither."""
    config_annotation: str | None = None
    template_hash: str | None = None
    """Digest of the template that the pod was made from."""
    volumes: tuple[Raw, ...] = ()
    kept: bool = False
    """It has the annotations `names.KEEP_POD_ANNOTATIONS`."""

    @property
    def terminating(self) -> bool:
        return self.ends_by is not None


def pod_view(pod: Raw) -> PodView:
    """Return the view of a raw pod (v1)."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    annotations = metadata.get("annotations") or {}
    created = parse_time(metadata["creationTimestamp"])
    waiting = _waiting(status)
    scheduled = conditions.get("PodScheduled", {})
    unschedulable = scheduled.get("reason") == "Unschedulable"
    since: datetime | None = None
    if unschedulable:
        since = parse_time(scheduled.get("lastTransitionTime")) or created
    elif waiting:
        ready = conditions.get("ContainersReady", {})
        since = parse_time(ready.get("lastTransitionTime")) or created
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=created or datetime.min.replace(tzinfo=UTC),
        ip=status.get("podIP"),
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        ends_by=parse_time(metadata.get("deletionTimestamp")),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        unschedulable_message=scheduled.get("message") if unschedulable else None,
        last_exit=_last_exit(status),
        since=since,
        config_annotation=annotations.get(CONFIG_ANNOTATION),
        template_hash=annotations.get(TEMPLATE_ANNOTATION),
        volumes=tuple((pod.get("spec") or {}).get("volumes") or ()),
        kept=annotations.items() >= KEEP_POD_ANNOTATIONS.items(),
    )


def _waiting(status: Raw) -> Raw:
    for container in status.get("containerStatuses") or ():
        found: Raw | None = (container.get("state") or {}).get("waiting")
        if found:
            return found
    return {}


def _last_exit(status: Raw) -> str | None:
    for container in status.get("containerStatuses") or ():
        ended = (container.get("lastState") or {}).get("terminated")
        if ended and ended.get("reason") == "OOMKilled":
            return "it needed more memory than its limit"
        if ended:
            return f"exit code {ended.get('exitCode')}"
    return None
