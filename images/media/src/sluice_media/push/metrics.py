"""The pusher's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from sluice_media.contract import PushState
from sluice_media.push.connection import Connection
from sluice_media.push.feeder import Feeder


class PushMetrics:
    """Registry with the pusher's counters, and gauges that are read at each scrape."""

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
            "Connections that failed, by the class of the failure.",
            ["class"],
            registry=self.registry,
        )
        self._state = Gauge(
            "sluice_push_state", "1 for the present state.", ["state"], registry=self.registry
        )

    def state(self, present: PushState) -> None:
        """Set the gauge of the state ``present`` to 1 and all others to 0."""
        for state in PushState:
            self._state.labels(state.value).set(state is present)

    def watch_feeder(self, feeder: Feeder) -> None:
        """Add the gauges of the queue between the timeline and the connection."""
        self._gauge(
            "sluice_push_queue_seconds",
            "Seconds of media in the pusher's queue.",
            lambda: feeder.queued_seconds,
        )
        self._gauge(
            "sluice_push_dropped_units",
            "Access units that the target did not get because it was too slow.",
            lambda: feeder.dropped_units,
        )
        self._gauge(
            "sluice_push_dropped_frames",
            "Pictures (audio frames of a stream without video) among sluice_push_dropped_units.",
            lambda: feeder.dropped_frames,
        )

    def watch_connection(self, connection: Callable[[], Connection | None]) -> None:
        """Add the gauges of the present connection, which ``connection`` returns."""

        def of_present(value: Callable[[Connection], float]) -> Callable[[], float]:
            return lambda: value(present) if (present := connection()) is not None else 0

        self._gauge(
            "sluice_push_queue_bytes",
            "Bytes on their way to the target, in the pusher's queue and in the kernel.",
            of_present(lambda present: present.waiting_bytes),
        )
        self._gauge(
            "sluice_push_lost_bytes",
            "Bytes of the present connection that SRT gave up, because they would be too late.",
            of_present(lambda present: present.lost_bytes),
        )

    def _gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        Gauge(name, documentation, registry=self.registry).set_function(value)
