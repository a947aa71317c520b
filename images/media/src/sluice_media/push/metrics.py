"""The pusher's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from sluice_media.contract import PushState


class PushMetrics:
    """Counters are incremented, gauges ask when they are read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sent_bytes = Counter(
            "sluice_push_sent_bytes", "Bytes given to the target's socket.", registry=self.registry
        )
        self.attempts = Counter(
            "sluice_push_attempts", "Connections that were tried.", registry=self.registry
        )
        self.failures = Counter(
            "sluice_push_failures",
            "Connections that ended by a failure, by its class.",
            ["class"],
            registry=self.registry,
        )
        self._state = Gauge(
            "sluice_push_state", "1 for the present state.", ["state"], registry=self.registry
        )

    def state(self, present: PushState) -> None:
        for state in PushState:
            self._state.labels(state.value).set(state is present)

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for at each scrape."""
        Gauge(name, documentation, registry=self.registry).set_function(value)
