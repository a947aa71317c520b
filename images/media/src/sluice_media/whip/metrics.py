"""Metrics of the WHIP role. No label holds a value that a publisher can choose."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sluice_media.whip.problem import Reason

_REASONS = frozenset(Reason)
_FIRST_UNIT_SECONDS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
_TRANSCODE_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class WhipMetrics:
    """Metrics of all sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_whip_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"sluice_whip_{name}", text, buckets=buckets, registry=registry)

        self.sessions = Gauge("sluice_whip_sessions", "Sessions that are open.", registry=registry)
        self.accepted = counter("sessions_accepted", "Sessions that were answered.")
        self._refused = counter("sessions_refused", "Offers refused, by reason.", "reason")
        self.first_unit_seconds = histogram(
            "first_unit_seconds", "From the offer to the first output picture.", _FIRST_UNIT_SECONDS
        )
        self.transcode_seconds = histogram(
            "transcode_seconds", "From a picture's arrival to its output.", _TRANSCODE_SECONDS
        )
        self.keyframe_requests = counter("keyframe_requests", "Picture loss indications sent.")
        self.lost_packets = counter("lost_packets", "RTP packets that did not arrive.")
        self.dropped_pictures = counter(
            "dropped_pictures", "Pictures dropped because a transcoder is too slow."
        )
        self.transcoder_restarts = counter("transcoder_restarts", "Restarts of transcoders.")
        self.datagrams_dropped = counter(
            "datagrams_dropped", "Datagrams that belong to no session, or broke one's parser."
        )

    def refused(self, reason: str) -> None:
        """Count a refusal. An unknown reason is counted as ``Other``."""
        self._refused.labels(reason if reason in _REASONS else "Other").inc()
