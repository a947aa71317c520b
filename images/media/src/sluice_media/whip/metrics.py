"""Metrics of the WHIP role. No label holds a name that a stranger could choose."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_REASONS = frozenset(
    {
        "BadKey",
        "BadOffer",
        "BadPath",
        "Busy",
        "Disabled",
        "HubUnavailable",
        "NoBackup",
        "ProtocolNotAllowed",
        "TooManyConnections",
        "TooManyFailures",
        "UnknownStream",
        "UnsupportedCodec",
    }
)
_FIRST_UNIT_SECONDS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
_TRANSCODE_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class WhipMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_whip_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"sluice_whip_{name}", text, buckets=buckets, registry=registry)

        self.sessions = Gauge("sluice_whip_sessions", "Sessions that are open.", registry=registry)
        self.accepted = counter("sessions_accepted", "Sessions that were answered.")
        self._refused = counter("sessions_refused", "Offers refused, by reason.", "reason")
        self.first_unit_seconds = histogram(
            "first_unit_seconds", "From the offer to the first picture out.", _FIRST_UNIT_SECONDS
        )
        self.transcode_seconds = histogram(
            "transcode_seconds", "From a picture's arrival to its going out.", _TRANSCODE_SECONDS
        )
        self.keyframe_requests = counter("keyframe_requests", "Picture loss indications sent.")
        self.lost_packets = counter("lost_packets", "RTP packets that did not arrive.")
        self.dropped_pictures = counter(
            "dropped_pictures", "Pictures dropped because a transcoder is behind."
        )
        self.transcoder_restarts = counter("transcoder_restarts", "Transcoders started again.")
        self.datagrams_dropped = counter(
            "datagrams_dropped", "Datagrams that belong to no session, or broke one's parser."
        )

    def refused(self, reason: str) -> None:
        self._refused.labels(reason if reason in _REASONS else "Other").inc()
