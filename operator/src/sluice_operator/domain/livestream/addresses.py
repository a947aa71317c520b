"""Where publishers connect to: from the settings and the Services of gateway and WHIP to addresses.

What is set explicitly goes first; what is not is read off the Services. A protocol whose Service
has no port for it is not there. RTMP and RTMPS have one Service, SRT and WHIP have one each: each
has its own address, and one without any keeps none of the others back.
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
    """By protocol; one that is missing here has no address."""
    pending: dict[Protocol, str] = field(default_factory=dict)
    """Protocol whose Service is there and has no address yet -> what is known about it."""

    def only(self, protocols: list[Protocol]) -> Addresses:
        return Addresses(
            {p: base for p, base in self.bases.items() if p in protocols},
            {p: why for p, why in self.pending.items() if p in protocols},
        )

    def rtmp_server(self, protocol: Literal["RTMP", "RTMPS"], namespace: str) -> str | None:
        """What OBS calls "Server"."""
        base = self.bases.get(protocol)
        return f"{base}/{namespace}" if base else None

    def srt(self, stream_id: str) -> str | None:
        """A caller's URL. The stream id's ``/`` and ``?`` stay as they are, because OBS does not
        decode it and FFmpeg does. No latency: its unit is another one in almost every tool."""
        base = self.bases.get("SRT")
        return f"{base}?streamid={quote(stream_id, safe='/?')}" if base else None

    def whip(self, namespace: str, name: str) -> str | None:
        base = self.bases.get("WHIP")
        return f"{base}/whip/{namespace}/{name}" if base else None

    def pending_text(self) -> str:
        """Name the protocols that have no address yet, and why; empty when all have one."""
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
    """Return where publishers connect to. The Services given are those that exist."""
    host, srt_host = settings.gateway_public_host, settings.gateway_public_srt_host
    ports, found = settings.gateway_public_ports, Addresses()
    _add(found, "RTMP", "rtmp", host, ports.rtmp, gateway, "rtmp")
    _add(found, "RTMPS", "rtmps", host, ports.rtmps, gateway, "rtmps")
    _add(found, "SRT", "srt", srt_host, ports.srt, gateway_srt, "srt")
    if settings.whip_public_url:
        found.bases["WHIP"] = settings.whip_public_url.rstrip("/")
    else:
        _add(found, "WHIP", "http", settings.whip_public_host, ports.whip, whip, "http")
    return found


def _add(
    found: Addresses,
    protocol: Protocol,
    scheme: str,
    public_host: str,
    public_port: int | None,
    service: PublicService | None,
    port_name: str,
) -> None:
    """Note the base of one protocol's URLs, or why there is none yet."""
    host = public_host or (service.load_balancer_host if service is not None else None)
    port = public_port or _port(service, port_name)
    if host and port:
        found.bases[protocol] = f"{scheme}://{_literal(host)}:{port}"
    elif service is not None and port_name in service.ports:
        found.pending[protocol] = _why_pending(service)


def _why_pending(service: PublicService) -> str:
    if service.type != "LoadBalancer":
        return f"Service {service.name} ({service.type}) has no public host or port."
    words = f"Service {service.name} waits for its load balancer"
    return (
        f"{words}, whose last event is: {service.last_event}" if service.last_event else f"{words}."
    )


def _port(service: PublicService | None, name: str) -> int | None:
    """The port that is dialled from outside; None: there is none (yet)."""
    port = service.ports.get(name) if service is not None else None
    if port is None or service is None:
        return None
    return port.node_port if service.type == "NodePort" else port.port


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host
