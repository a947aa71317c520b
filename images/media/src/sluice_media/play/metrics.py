"""The play pod's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sluice_media.play.segment import track_name

_DELAY_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5)
_PART_BYTES = tuple(1024 * 4**power for power in range(1, 7))
_SEGMENT_BYTES = tuple(4096 * 4**power for power in range(1, 8))


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

        self._part_delay = Histogram(
            "sluice_play_part_delay_seconds",
            "Time from the arrival of a part's last frame at Sluice until viewers can get the "
            "part. Two nodes measure it, so it contains the difference of their clocks. A negative "
            "time counts as 0.",
            ["track"],
            buckets=_DELAY_SECONDS,
            registry=self.registry,
        )
        self._part_bytes = Histogram(
            "sluice_play_part_bytes",
            "Size of the parts.",
            ["track"],
            buckets=_PART_BYTES,
            registry=self.registry,
        )
        self._segment_bytes = Histogram(
            "sluice_play_segment_bytes",
            "Size of the finished segments.",
            ["track"],
            buckets=_SEGMENT_BYTES,
            registry=self.registry,
        )

    def answered(self, status: int, size_bytes: int) -> None:
        """Count an answer."""
        self._requests.labels(str(status)).inc()
        self._sent_bytes.inc(size_bytes)

    def part_served(self, track: int, size_bytes: int, delay_us: int | None) -> None:
        """Count a part that viewers can get now. ``delay_us`` is None for a part that arrived
        before this pod read the session."""
        name = track_name(track)
        self._part_bytes.labels(name).observe(size_bytes)
        if delay_us is not None:
            self._part_delay.labels(name).observe(max(0, delay_us) / 1_000_000)

    def segment_closed(self, track: int, size_bytes: int) -> None:
        """Count a track's finished segment."""
        self._segment_bytes.labels(track_name(track)).observe(size_bytes)

    def watch(
        self,
        *,
        window_seconds: Callable[[], float],
        window_disk_bytes: Callable[[], float],
        age_seconds: Callable[[], float],
    ) -> None:
        """Read the gauges from these functions at each scrape."""
        for name, text, read in (
            ("sluice_play_window_seconds", "Media that viewers can rewind.", window_seconds),
            ("sluice_play_window_disk_bytes", "Media of the window on disk.", window_disk_bytes),
            ("sluice_play_playlist_age_seconds", "Age of the newest part.", age_seconds),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)
