"""Settings of the WHIP role, read from the environment (``SLUICE_…``)."""

from __future__ import annotations

from pydantic import Field

from sluice_media import contract
from sluice_media.publishing.settings import PublishingSettings
from sluice_media.whip.forwarded import Range


class WhipSettings(PublishingSettings):
    """Ports, public address, limits and output format.

    ``max_connections`` and ``max_connections_per_address`` count sessions here.
    """

    whip_port: int = contract.WHIP_PORT
    """TCP port for HTTP."""
    whip_media_port: int = contract.WHIP_MEDIA_PORT
    """UDP port for the media of all sessions."""
    public_host: str = ""
    """Name or address to which browsers send media; empty for this machine's own address."""
    public_media_port: int = Field(default=0, ge=0, le=65_535)
    """UDP port to which browsers send media; 0 for ``whip_media_port``."""

    trusted_proxies: tuple[Range, ...] = ()
    """Address ranges of the proxies whose ``X-Forwarded-For`` is trusted, as a JSON list."""

    grace_seconds: float = Field(default=30, ge=0)
    """Time after SIGTERM for which running sessions may continue."""
    max_connections: int = Field(default=50, ge=1)
    max_connections_per_address: int = Field(default=10, ge=0)

    connect_seconds: float = Field(default=15, gt=0)
    """Timeout from the answer to the first picture."""
    silence_seconds: float = Field(default=4, gt=0)
    """Time without sound and pictures after which a session ends."""

    output_lines: int = Field(default=720, ge=90, le=1_080)
    """Shorter side of the output picture. The input's size is no guide, because browsers begin
    small and change the size with their bandwidth. The input's aspect ratio is kept."""
    output_frame_rate: int = Field(default=30, ge=5, le=60)
    """Output frame rate when the input declares none."""
    video_bitrate_kbps: int = Field(default=3_000, ge=100, le=20_000)
    audio_bitrate_kbps: int = Field(default=128, ge=32, le=320)
    gop_seconds: float = Field(default=2, ge=0.5, le=10)
    encoder_threads: int = Field(default=2, ge=1, le=16)
    transcoder_memory_bytes: int = Field(default=1 << 30, ge=256 << 20)
    """Address space of a session's transcoder."""
    transcoder_nice: int = Field(default=5, ge=0, le=19)
    transcoder_restarts: int = Field(default=3, ge=0)
    """Maximum number of crashes in a row, each within a minute of the start, that a session
    survives."""
