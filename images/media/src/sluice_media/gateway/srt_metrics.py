"""The state of the SRT connections, as metrics.

Sums and histograms are for the whole gateway. Gauges of a connection carry its namespace and
stream, and are removed with it. Their number is bounded, because a hub has accepted each of them.
Two connections of one stream (primary and backup) share a gauge; it shows the worse value.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice_media.contract import LegReason
from sluice_media.protocols.srt import RejectCode, SrtConnection, SrtListener, SrtStats
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.reasons import PublishReason

_SAMPLE_SECONDS = 1.0
_RTT_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_REASONS = {
    RejectCode.BAD_REQUEST: PublishReason.BAD_PATH,
    RejectCode.UNAUTHORIZED: LegReason.BAD_KEY,
    RejectCode.OVERLOAD: PublishReason.OVERLOADED,
    RejectCode.FORBIDDEN: LegReason.DISABLED,
    RejectCode.NOT_FOUND: LegReason.UNKNOWN_STREAM,
    RejectCode.BAD_MODE: PublishReason.BAD_MODE,
    RejectCode.UNACCEPTABLE: LegReason.PROTOCOL_NOT_ALLOWED,
    RejectCode.CONFLICT: LegReason.BUSY,
    RejectCode.NOT_SUPPORTED_MEDIA: LegReason.UNSUPPORTED_CODEC,
    RejectCode.UNAVAILABLE: PublishReason.HUB_UNAVAILABLE,
    RejectCode.TOO_MANY_FAILURES: PublishReason.TOO_MANY_FAILURES,
}
_COUNTED = (
    ("packets_received", "packets_received", "Data packets received."),
    ("receive_losses", "packets_lost", "Packets that were missing at first."),
    ("receive_retransmitted", "packets_retransmitted", "Packets that came again."),
    ("receive_dropped", "packets_dropped", "Packets that came too late, or never: holes."),
    ("undecrypted", "packets_undecrypted", "Packets that could not be decrypted."),
)


class SrtMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections: dict[SrtConnection, SrtStats | None] = {}
        self._counters = {
            field: Counter(f"sluice_gateway_srt_{name}", text, registry=registry)
            for field, name, text in _COUNTED
        }
        self._rtt = Histogram(
            "sluice_gateway_srt_rtt_seconds",
            "Round trip time of connections, sampled every second.",
            buckets=_RTT_SECONDS,
            registry=registry,
        )
        self._listener: SrtListener | None = None
        self._refused: GatewayMetrics | None = None
        self._counted: Tally[str] = Tally()
        registry.register(self)

    def watch_listener(self, listener: SrtListener, metrics: GatewayMetrics) -> None:
        """Count the listener's refusals together with those of the other protocols."""
        self._listener, self._refused = listener, metrics

    @contextmanager
    def watching(self, connection: SrtConnection) -> Iterator[None]:
        """Show a connection in the metrics while the context lasts."""
        self._connections[connection] = None
        try:
            yield
        finally:
            self._sample(connection)
            del self._connections[connection]

    async def sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            for connection in tuple(self._connections):
                stats = self._sample(connection)
                if stats is not None:
                    self._rtt.observe(stats.rtt_ms / 1_000)
            self.count_refusals()

    def count_refusals(self) -> None:
        if self._listener is None or self._refused is None:
            return
        known: Tally[str] = Tally(
            {PublishReason.HANDSHAKE_FAILED: self._listener.broken_handshakes}
        )
        for code, count in tuple(self._listener.rejections.items()):
            known[_REASONS.get(code, "Other")] += count
        for reason, count in known.items():
            for _ in range(count - self._counted[reason]):
                self._refused.refused(reason)
        self._counted = known

    def collect(self) -> Iterator[Metric]:
        self.count_refusals()
        worst: dict[tuple[str, str], tuple[float, float, float]] = {}
        for connection, stats in tuple(self._connections.items()):
            request = connection.request
            names = (request.namespace, request.stream)
            values = (
                stats.rtt_ms / 1_000 if stats else 0.0,
                connection.latency_ms / 1_000,
                _loss_ratio(stats),
            )
            before = worst.get(names, values)
            rtt, latency, loss = (max(pair) for pair in zip(before, values, strict=True))
            worst[names] = (rtt, latency, loss)
        families = [
            GaugeMetricFamily(f"sluice_gateway_srt_connection_{name}", text, labels=labels)
            for labels in (("namespace", "stream"),)
            for name, text in (
                ("rtt_seconds", "Round trip time."),
                ("latency_seconds", "Latency as negotiated."),
                ("loss_ratio", "Share of the packets that were missing at first."),
            )
        ]
        for names, shown in worst.items():
            for family, value in zip(families, shown, strict=True):
                family.add_metric(names, value)
        yield from families

    def _sample(self, connection: SrtConnection) -> SrtStats | None:
        """Add the counts since the last sample."""
        stats = connection.stats()
        if stats is None:
            return None
        before = self._connections[connection]
        for field, counter in self._counters.items():
            grown = getattr(stats, field) - (getattr(before, field) if before else 0)
            counter.inc(max(0, grown))
        self._connections[connection] = stats
        return stats


def _loss_ratio(stats: SrtStats | None) -> float:
    if stats is None or not stats.packets_received:
        return 0.0
    return stats.receive_losses / (stats.packets_received + stats.receive_losses)
