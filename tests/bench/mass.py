"""A hundred LiveStreams at once: seconds until all are Ready, and the operator's API writes."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import Figure
from tests.support.cluster import find_cluster
from tests.support.kubectl import Kubectl
from tests.support.many_streams import WRITES_LIMIT, apply_many

STREAMS = 100
LIMIT_SECONDS = 540.0


def hundred_streams(kube: Kubectl, _clip: Path) -> list[Figure]:
    """Measure one round of a hundred streams; their pods must fit on the cluster."""
    found = apply_many(kube, STREAMS, find_cluster().audit_log, seconds=LIMIT_SECONDS)
    name = f"{STREAMS} LiveStreams applied -> all Ready"
    figures = [Figure(name, "s", (found.ready_seconds,), LIMIT_SECONDS)]
    if found.writes_each is not None:
        writes = (found.writes_each,)
        figures.append(Figure("API writes for each LiveStream", "writes", writes, WRITES_LIMIT))
    return figures
