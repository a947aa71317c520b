"""Settings of the gateway, from the environment (``SLUICE_…``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sluice_media import contract
from sluice_media.publishing.settings import PublishingSettings


class GatewaySettings(PublishingSettings):
    """The ports of RTMP, RTMPS and SRT, and the time limits of their connections."""

    rtmp_port: int = contract.RTMP_PORT
    rtmps_port: int = contract.RTMPS_PORT
    tls_dir: Path | None = None
    """Folder with ``tls.crt`` and ``tls.key``, a mounted Secret. None: no RTMPS."""
    srt_port: int = 0
    """UDP port. 0: no SRT."""
    srt_latency_milliseconds: int = Field(default=120, ge=20, le=60_000)
    """Default latency of a stream. A sender that requests more gets more."""
    srt_silence_seconds: float = Field(default=5, gt=0)
    """Silence of an SRT publisher after which its connection is closed."""

    handshake_seconds: float = 5
    """Timeout of RTMP's handshake, and of the TLS handshake before it."""
    publish_seconds: float = 10
    """Timeout from the end of the handshake to ``publish``."""
    idle_seconds: float = 30
    """Time without a byte after which a publisher's connection is closed."""
