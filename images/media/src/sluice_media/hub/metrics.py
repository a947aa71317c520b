"""The hub's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice_media.hub.hub import Hub
from sluice_media.hub.output.ring import Ring
from sluice_media.hub.output.timeline import OutputTimeline


class HubMetrics:
    """Counters that the endpoints increase. All other metrics are read from the hub at a scrape."""

    def __init__(self, registry: CollectorRegistry, hub: Hub) -> None:
        self.legs = Counter(
            "sluice_hub_legs", "Publishers admitted.", ["protocol"], registry=registry
        )
        self.rejections = Counter(
            "sluice_hub_rejections", "Publishers refused.", ["reason"], registry=registry
        )
        self.bytes_in = 0
        """Bytes received from publishers. An int, because a Counter takes a lock at each
        increment, and this one is increased at each read from a socket."""
        self.bytes_out = 0
        """Bytes sent to readers of the timeline."""
        registry.register(_HubCollector(hub, self))


class _HubCollector(Collector):
    def __init__(self, hub: Hub, counted: HubMetrics) -> None:
        self._hub = hub
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        hub, output = self._hub, self._hub.output
        ring = output.timeline.ring if output.timeline else None
        plan = output.spool_plan
        spooled = [t.spooled for t in output.timelines if t.spooled is not None]
        media = output.meter.measured()
        gauges: tuple[tuple[str, str, float], ...] = (
            ("on_air", "1 while the output timeline advances.", hub.delivering),
            ("connected_legs", "Publishers connected.", len(hub.legs)),
            ("readers", "Readers of the timeline connected.", len(hub.readers)),
            ("ring_seconds", "Media time in the ring, for readers to go back.", _seconds(ring)),
            ("ring_bytes", "Bytes in the ring.", ring.bytes_held if ring else 0),
            ("spool_bytes", "Bytes in the spool.", sum(s.bytes_held for s in spooled)),
            ("spooled_sessions", "Sessions in the spool.", len(spooled)),
            ("spool_failing", "1 while writes to the spool fail.", plan.failing),
            (
                "spool_behind_seconds",
                "Media time of the timeline on air that is not in the spool yet.",
                _unspooled_seconds(output.timeline),
            ),
            ("frame_rate", "Pictures per second over the last 5 s.", media.frame_rate or 0),
            (
                "media_bits_per_second",
                "Payload bit rate over the last 5 s.",
                (media.bitrate_kbps or 0) * 1_000,
            ),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"sluice_hub_{name}", text, value=value)
        counters: tuple[tuple[str, str, float], ...] = (
            ("received_bytes", "Bytes received from publishers.", self._counted.bytes_in),
            ("sent_bytes", "Bytes sent to readers of the timeline.", self._counted.bytes_out),
            ("gaps", "Gaps that were closed in the timeline.", output.gaps),
            ("failovers", "Switches of the output to another leg.", output.failovers.count),
            ("format_changes", "Changes of format in sessions.", output.format_changes.count),
            ("units", "Access units sent to the timeline.", output.units),
            ("reader_drops", "Readers dropped because they were too slow.", hub.readers.dropped),
            (
                "clamped_units",
                "Units moved because their DTS did not grow.",
                output.splicer.clamped,
            ),
            ("dropped_units", "Units dropped as older than their splice.", output.splicer.dropped),
            ("spool_written_bytes", "Bytes written to the spool.", plan.written_bytes),
            ("spool_failures", "Spool operations that failed.", plan.failures),
            (
                "spool_dropped_bytes",
                "Spooled content dropped for the byte limit or because its file is damaged.",
                plan.dropped_bytes,
            ),
            ("spool_holes", "Times that content left the ring before it was spooled.", plan.holes),
            (
                "broken_pins",
                "Times that the ring's byte limit dropped pinned content.",
                output.pins_broken,
            ),
        )
        for name, text, value in counters:
            yield CounterMetricFamily(f"sluice_hub_{name}", text, value=value)


def _seconds(ring: Ring | None) -> float:
    return ring.seconds_held if ring else 0.0


def _unspooled_seconds(timeline: OutputTimeline | None) -> float:
    if timeline is None or timeline.spooled is None:
        return 0.0
    return timeline.ring.seconds_behind(max(timeline.spooled.next_seq, timeline.ring.first))
