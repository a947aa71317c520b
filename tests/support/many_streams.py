"""Many LiveStreams applied at once: the time until they are Ready, and the operator's writes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.audit_log import AuditLog
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream

__all__ = ["WRITES_LIMIT", "ManyStreams", "apply_many"]

WRITES_LIMIT = 15
"""Maximum API writes of the operator per LiveStream. The minimum is 5 children and 2 statuses."""
_SMALL = {"requests": {"cpu": "1m", "memory": "8Mi"}}


@dataclass(slots=True, frozen=True)
class ManyStreams:
    """The cost of LiveStreams that were applied at once."""

    ready_seconds: float
    """Seconds until all of them were Ready."""
    writes_each: float | None
    """API writes of the operator for each of them; None where the cluster shows no audit log."""


def apply_many(kube: Kubectl, count: int, audit_log: Path | None, *, seconds: float) -> ManyStreams:
    """Apply ``count`` LiveStreams at once and wait until all are Ready, then delete them."""
    audit = AuditLog(audit_log) if audit_log else None
    began = time.monotonic()
    names = [f"mass-{number:03d}" for number in range(count)]
    kube.apply(*(livestream(name, workload={"resources": _SMALL}) for name in names))
    while (ready := _ready(kube)) < count:
        assert time.monotonic() - began < seconds, f"{ready} of {count} are Ready"
        time.sleep(1)
    took = time.monotonic() - began
    writes = len(audit.writes(kube.namespace)) / count if audit else None
    kube("delete", "livestreams", "--all", "--wait=false")
    return ManyStreams(took, writes)


def _ready(kube: Kubectl) -> int:
    streams = kube.list("livestreams")
    return sum(condition(stream, "Ready").get("status") == "True" for stream in streams)
