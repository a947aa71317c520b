"""Where publishers connect to: from the settings and the Services of gateway and WHIP to addresses.

What is set explicitly goes first; what is not is read off the Services. A protocol whose Service
has no port for it is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from sluice_operator.domain.observed import DomainSettings, PublicService

__all__ = ["Addresses", "publish_addresses"]

Protocol = Literal["RTMP", "RTMPS", "SRT", "WHIP"]


@dataclass(slots=True, frozen=True)
class Addresses:
    """Bases of the URLs, without namespace, stream and key. By protocol; one that is missing here
    has no address."""

    bases: dict[Protocol, str] = field(default_factory=dict)

    def only(self, protocols: list[Protocol]) -> Addresses:
        return Addresses({p: base for p, base in self.bases.items() if p in protocols})

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


def publish_addresses(
    settings: DomainSettings, gateway: PublicService | None, whip: PublicService | None
) -> Addresses:
    """``gateway`` and ``whip`` are the Services that exist."""
    bases: dict[Protocol, str] = {}
    host = settings.gateway_public_host or _balancer(gateway)
    ports = settings.gateway_public_ports
    if host:
        if port := ports.rtmp or _port(gateway, "rtmp"):
            bases["RTMP"] = f"rtmp://{_literal(host)}:{port}"
        if port := ports.rtmps or _port(gateway, "rtmps"):
            bases["RTMPS"] = f"rtmps://{_literal(host)}:{port}"
        if port := ports.srt or _port(gateway, "srt"):
            bases["SRT"] = f"srt://{_literal(host)}:{port}"
    whip_host = settings.whip_public_host or _balancer(whip)
    if settings.whip_public_url:
        bases["WHIP"] = settings.whip_public_url.rstrip("/")
    elif whip_host and (port := ports.whip or _port(whip, "http")):
        bases["WHIP"] = f"http://{_literal(whip_host)}:{port}"
    return Addresses(bases)


def _balancer(service: PublicService | None) -> str | None:
    return service.load_balancer_host if service is not None else None


def _port(service: PublicService | None, name: str) -> int | None:
    """The port that is dialled from outside; None: there is none (yet)."""
    port = service.ports.get(name) if service is not None else None
    if port is None or service is None:
        return None
    return port.node_port if service.type == "NodePort" else port.port


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host
