"""The addresses that publishers dial, from the settings and the Services of gateway and WHIP.

A setting takes precedence over the Service. A protocol is not offered when its Service has no port
for it. RTMP and RTMPS share one Service; SRT and WHIP have one each. Each Service has its own
address, and a missing one does not delay the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from sluice_operator.domain.observed import DomainSettings, PublicService

Protocol = Literal["RTMP", "RTMPS", "SRT", "WHIP"]


@dataclass(slots=True, frozen=True)
class Addresses:
    """Bases of the URLs, without namespace, stream and key."""

    bases: dict[Protocol, str] = field(default_factory=dict)
    """Base URL by protocol; a protocol that is missing here has no address."""
    pending: dict[Protocol, str] = field(default_factory=dict)
    """Protocol whose Service exists but has no address yet -> a sentence about the cause."""

    def only(self, protocols: list[Protocol]) -> Addresses:
        return Addresses(
            {p: base for p, base in self.bases.items() if p in protocols},
            {p: why for p, why in self.pending.items() if p in protocols},
        )

    def rtmp_server(self, protocol: Literal["RTMP", "RTMPS"], namespace: str) -> str | None:
        """Return the URL up to the application, which OBS calls "Server"."""
        base = self.bases.get(protocol)
        return f"{base}/{namespace}" if base else None

    def srt(self, stream_id: str) -> str | None:
        """Return the URL for a caller.

        ``/`` and ``?`` of the stream id are not percent-encoded: FFmpeg decodes it, OBS does not.
        The URL has no latency, because its unit differs from tool to tool."""
        base = self.bases.get("SRT")
        return f"{base}?streamid={quote(stream_id, safe='/?')}" if base else None

    def whip(self, namespace: str, name: str) -> str | None:
        base = self.bases.get("WHIP")
        return f"{base}/whip/{namespace}/{name}" if base else None

    def pending_text(self) -> str:
        """Return sentences about the protocols without an address; empty when all have one."""
        protocols_by_reason: dict[str, list[str]] = {}
        for protocol, why in self.pending.items():
            protocols_by_reason.setdefault(why, []).append(protocol)
        return " ".join(
            f"No address yet for {' and '.join(protocols)}: {why}"
            for why, protocols in protocols_by_reason.items()
        )


def publish_addresses(
    settings: DomainSettings,
    gateway: PublicService | None,
    gateway_srt: PublicService | None,
    whip: PublicService | None,
) -> Addresses:
    """Return the addresses. A Service that does not exist is None."""
    host, srt_host = settings.gateway_public_host, settings.gateway_public_srt_host
    ports, found = settings.gateway_public_ports, Addresses()
    _add(found, _Listener("RTMP", "rtmp", gateway), host, ports.rtmp)
    _add(found, _Listener("RTMPS", "rtmps", gateway), host, ports.rtmps)
    _add(found, _Listener("SRT", "srt", gateway_srt), srt_host, ports.srt)
    if settings.whip_public_url:
        found.bases["WHIP"] = settings.whip_public_url.rstrip("/")
    else:
        _add(found, _Listener("WHIP", "http", whip), settings.whip_public_host, ports.whip)
    return found


@dataclass(slots=True, frozen=True)
class _Listener:
    """A protocol's port on its Service."""

    protocol: Protocol
    scheme: str
    """Scheme of the URLs, which is also the name of the Service's port."""
    service: PublicService | None


def _add(found: Addresses, listener: _Listener, public_host: str, public_port: int | None) -> None:
    """Add the base of one protocol's URLs, or the cause of its absence."""
    service, scheme = listener.service, listener.scheme
    authority = public_authority(service, scheme, public_host, public_port)
    if authority is not None:
        found.bases[listener.protocol] = f"{scheme}://{authority}"
    elif service is not None and scheme in service.ports:
        found.pending[listener.protocol] = why_pending(service)


def public_authority(
    service: PublicService | None, port_name: str, public_host: str, public_port: int | None
) -> str | None:
    """Return ``HOST:PORT`` as it is dialled from outside; None when there is no address yet."""
    host = public_host or (service.load_balancer_host if service is not None else None)
    port = public_port or _port(service, port_name)
    return f"{_literal(host)}:{port}" if host and port else None


def why_pending(service: PublicService) -> str:
    """Return a sentence about the cause for which the Service has no address."""
    if service.type != "LoadBalancer":
        return f"Service {service.name} ({service.type}) has no public host or port."
    message = f"Service {service.name} waits for its load balancer"
    return (
        f"{message}, whose last event is: {service.last_event}"
        if service.last_event
        else f"{message}."
    )


def _port(service: PublicService | None, name: str) -> int | None:
    """Return the port that is dialled from outside; None when there is none yet."""
    port = service.ports.get(name) if service is not None else None
    if port is None or service is None:
        return None
    return port.node_port if service.type == "NodePort" else port.port


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host
