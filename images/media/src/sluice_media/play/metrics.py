"""The play pod's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class PlayMetrics:
    """Registry with the counters of the origin, and gauges that are read at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_play_requests",
            "Requests of the edge, by the status of the answer.",
            ["status"],
            registry=self.registry,
        )
        self._sent_bytes = Counter(
            "sluice_play_sent_bytes", "Bytes of answers to the edge.", registry=self.registry
        )
        self.copied_segments = Counter(
            "sluice_play_copied_segments",
            "Segments that were copied from another play pod.",
            registry=self.registry,
        )

    def answered(self, status: int, size_bytes: int) -> None:
        """Count an answer."""
        self._requests.labels(str(status)).inc()
        self._sent_bytes.inc(size_bytes)

    def watch(
        self, *, window_seconds: Callable[[], float], age_seconds: Callable[[], float]
    ) -> None:
        """Read the gauges from these functions at each scrape."""
        for name, text, read in (
            ("sluice_play_window_seconds", "Media that viewers can rewind.", window_seconds),
            ("sluice_play_playlist_age_seconds", "Age of the newest part.", age_seconds),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)
