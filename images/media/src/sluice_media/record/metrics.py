"""The recorder's Prometheus metrics. They count from the start of the process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from sluice_media.contract import RecorderPhase
from sluice_media.record.chunks import ChunkCutter
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.uploader import Uploader


class RecordMetrics:
    """The metrics of all attempts. Gauges call their functions at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._present: RecorderPhase | None = None

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_record_{name}", text, labels, registry=self.registry)

        self.written_bytes = counter("written_bytes", "Bytes of chunks closed in the spool.")
        self.chunks = counter("chunks", "Chunks closed in the spool.")
        self.stored_bytes = counter("stored_bytes", "Bytes of chunks that the store has.")
        self.store_errors = counter("store_errors", "Refusals of the store, by reason.", "reason")
        self.transitions = counter("transitions", "Files begun and ended, and gaps noted.")
        self._phase = Gauge(
            "sluice_record_phase", "1 for the present phase.", ["phase"], registry=self.registry
        )

    def phase(self, present: RecorderPhase) -> None:
        if present is self._present:
            return
        self._present = present
        for phase in RecorderPhase:
            self._phase.labels(phase.value).set(phase is present)

    def follow(self, machine: RecorderMachine, cutter: ChunkCutter, uploader: Uploader) -> None:
        """Read the gauges from this attempt instead of the former one."""
        gauge = self._gauge
        gauge("duration_seconds", "Media time in all files.", lambda: machine.duration_seconds)
        gauge("pending_bytes", "Bytes of closed chunks not stored.", lambda: uploader.pending_bytes)
        gauge("pending_chunks", "Closed chunks not stored.", lambda: uploader.pending_chunks)
        gauge("unusable_units", "Units that were no media.", lambda: cutter.unusable_units)

    def _gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        if name not in self._gauges:
            self._gauges[name] = Gauge(f"sluice_record_{name}", text, registry=self.registry)
        self._gauges[name].set_function(value)
