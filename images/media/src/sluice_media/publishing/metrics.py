"""The metrics of publishing. No label holds a name that a peer could choose."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from sluice_media.contract import LegReason
from sluice_media.publishing.reasons import PublishReason

_REASONS = frozenset(
    {
        LegReason.BAD_KEY,
        PublishReason.BAD_MODE,
        PublishReason.BAD_PATH,
        LegReason.BUSY,
        LegReason.DISABLED,
        PublishReason.HANDSHAKE_FAILED,
        PublishReason.HUB_UNAVAILABLE,
        PublishReason.OVERLOADED,
        LegReason.PROTOCOL_NOT_ALLOWED,
        PublishReason.TOO_MANY_FAILURES,
        LegReason.UNKNOWN_STREAM,
        LegReason.UNSUPPORTED_CODEC,
    }
)


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_gateway_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sluice_gateway_{name}", text, registry=registry)

        self.connections = gauge("connections", "Open connections of publishers.")
        self.publishers = gauge("publishers", "Publishers that were accepted and are connected.")
        self.legs = gauge("legs", "Legs that a hub has accepted and answers.")
        self.retained_bytes = gauge("retained_bytes", "Bytes kept until hubs acknowledge them.")
        self.received_bytes = counter("received_bytes", "Bytes received from publishers.")
        self.accepted = counter("publishes_accepted", "Publishers accepted.")
        self._refused = counter("publishes_refused", "Publishers refused, by reason.", "reason")
        self.connections_refused = counter(
            "connections_refused", "Connections over the limits, closed at once."
        )
        self.protocol_errors = counter(
            "protocol_errors", "Connections that broke the protocol or its time limits."
        )
        self.tls_handshake_failures = counter(
            "tls_handshake_failures", "Connections to RTMPS without a TLS handshake in time."
        )
        self.tls_reloads = counter("tls_certificate_loads", "Certificates taken into use.")
        self.tls_certificate_broken = gauge(
            "tls_certificate_broken", "1 while the newest certificate cannot be used."
        )
        self.legs_lost = counter("legs_lost", "Legs that a hub did not end itself.")
        self.legs_resumed = counter("legs_resumed", "Legs posted again with success.")
        self.given_up = counter(
            "publishes_given_up", "Publishers closed because no hub came in time."
        )
        self.dropped_groups = counter(
            "dropped_groups", "Groups of pictures dropped while no hub took them."
        )
        self._shed = counter(
            "shed_groups",
            "Groups of pictures that the budget of all publishers took, by whether a recorder "
            "needed them.",
            "recorded",
        )
        for recorded in ("yes", "no"):
            self._shed.labels(recorded)

    def shed(self, recorded: bool) -> None:
        self._shed.labels("yes" if recorded else "no").inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason if reason in _REASONS else "Other").inc()
