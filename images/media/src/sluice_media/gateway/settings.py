"""Settings of the gateway, from the environment (``SLUICE_…``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sluice_media import contract
from sluice_media.settings import PodSettings

__all__ = ["GatewaySettings"]


class GatewaySettings(PodSettings):
    rtmp_port: int = contract.RTMP_PORT
    rtmps_port: int = contract.RTMPS_PORT
    tls_dir: Path | None = None
    """Holds ``tls.crt`` and ``tls.key``, as a mounted Secret. Without it there is no RTMPS."""
    srt_port: int = 0
    """UDP; 0: no SRT."""
    srt_latency_milliseconds: int = Field(default=120, ge=20, le=60_000)
    """Of streams that say nothing; a sender that asks for more gets more."""
    srt_silence_seconds: float = Field(default=5, gt=0)
    """An SRT publisher that sends nothing for this long is closed."""
    cluster_domain: str = "cluster.local"
    """Hubs are dialled as ``<stream>-ingest.<namespace>.svc.<clusterDomain>.``"""

    grace_seconds: float = Field(default=3_600, ge=0)
    """After SIGTERM: how long running publishers may go on."""

    max_connections: int = Field(default=2_000, ge=1)
    reserved_share: float = Field(default=0.1, ge=0, lt=1)
    """Of ``max_connections``: kept for publishers that were accepted before and come back."""
    max_connections_per_address: int = Field(default=200, ge=0)
    """0: no limit. Publishers behind one NAT, or behind a Service that hides addresses, share."""
    max_failures: int = Field(default=10, ge=0)
    """Wrong keys from one address within ``failure_window_seconds``, then all its publishers are
    refused for ``failure_penalty_seconds``. 0: no limit (where addresses are hidden)."""
    failure_window_seconds: float = 60
    failure_penalty_seconds: float = 60

    handshake_seconds: float = 5
    """For RTMP's handshake, and for that of TLS before it."""
    publish_seconds: float = 10
    """From the end of the handshake to ``publish``."""
    idle_seconds: float = 30
    """A publisher that sends no byte for this long is closed."""

    hold_new_seconds: float = 10
    """How long a publisher waits for its hub before it was accepted once."""
    hold_accepted_seconds: float = 60
    """How long a publisher is kept when its hub is lost."""
    unknown_stream_seconds: float = 2
    """A Service name must be missing twice, this far apart, before its stream is unknown."""
    leg_silence_seconds: float = 2
    """A hub that says nothing for this long is dead or frozen."""
    leg_answer_seconds: float = 3
    """For the answer to a leg's request."""

    retain_seconds: float = 60
    retain_bytes: int = 64 << 20
    """Kept of each publisher while nobody acknowledges."""
    memory_limit_bytes: int = Field(default=1 << 30, gt=0)
    """Of this process: its container's limit."""
    retain_share: float = Field(default=0.6, gt=0, le=0.9)
    """Of that: what may be kept of all publishers together. Beyond it the oldest goes."""

    @property
    def retain_total_bytes(self) -> int:
        return int(self.memory_limit_bytes * self.retain_share)
