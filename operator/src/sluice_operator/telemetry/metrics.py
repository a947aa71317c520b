"""Prometheus metrics of the operator. No label is the name of an object, because the number of
objects is not limited."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

_PASS_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


class Metrics:
    """All metrics of the operator. The process has one instance; tests make their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self.reconciles = Counter(
            "sluice_reconcile_total",
            "Passes over one object, by kind and outcome",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "sluice_reconcile_seconds",
            "Duration of a pass",
            ("kind",),
            buckets=_PASS_SECONDS,
            registry=self.registry,
        )
        self.reconcile_errors = Counter(
            "sluice_reconcile_errors_total",
            "Passes that failed, by kind and error",
            ("kind", "error"),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "sluice_queue_depth", "Objects that wait for a pass", registry=self.registry
        )
        self.cached_objects = Gauge(
            "sluice_cached_objects", "Objects in the cache", registry=self.registry
        )
        self.api_requests = Counter(
            "sluice_api_requests_total",
            "Requests to the API server that were answered, by verb and kind",
            ("verb", "kind"),
            registry=self.registry,
        )
        self.polled_pods = Gauge(
            "sluice_polled_pods",
            "Media pods whose status is polled, by state (fresh, stale)",
            ("state",),
            registry=self.registry,
        )
        self.poll_answers = Counter(
            "sluice_poll_answers_total",
            "Finished status polls, by result",
            ("result",),
            registry=self.registry,
        )
        self.events_dropped = Counter(
            "sluice_events_dropped_total",
            "Kubernetes events that could not be posted",
            registry=self.registry,
        )
        self.leading = Gauge(
            "sluice_leading", "1 while this process holds the lease", registry=self.registry
        )

    def count_request(self, verb: str, kind: str) -> None:
        """Count a request to the API server."""
        self.api_requests.labels(verb, kind).inc()
