"""The pull's Prometheus metrics, in the ingest pod's registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class PullMetrics:
    """Counters of the pull. Its present state is in the status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tries = Counter(
            "sluice_pull_tries",
            "Tries of sources that have ended, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.switches = Counter(
            "sluice_pull_switches",
            "Changes of the source on air.",
            registry=registry,
        )
        self.received_bytes = Counter(
            "sluice_pull_received_bytes",
            "Bytes of MPEG-TS handed to the hub, including those of a standby.",
            registry=registry,
        )
