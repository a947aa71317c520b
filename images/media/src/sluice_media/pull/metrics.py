"""The pull's Prometheus metrics, in the ingest pod's registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class PullMetrics:
    """Counters alone: what is going on is in the status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tries = Counter(
            "sluice_pull_tries",
            "Sources that were tried, by how the try ended.",
            ["outcome"],
            registry=registry,
        )
        self.switches = Counter(
            "sluice_pull_switches",
            "Changes of the source that is on air.",
            registry=registry,
        )
        self.received_bytes = Counter(
            "sluice_pull_received_bytes",
            "Bytes of MPEG-TS handed on, those of a standby included.",
            registry=registry,
        )
