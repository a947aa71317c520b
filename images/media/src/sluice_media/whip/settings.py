"""Settings of the WHIP role, from the environment (``SLUICE_…``)."""

from __future__ import annotations

from pydantic import Field

from sluice_media import contract
from sluice_media.publishing.settings import PublishingSettings
from sluice_media.whip.forwarded import Range


class WhipSettings(PublishingSettings):
    """``max_connections`` and ``max_connections_per_address`` count sessions here."""

    whip_port: int = contract.WHIP_PORT
    whip_media_port: int = contract.WHIP_MEDIA_PORT
    """UDP; all sessions share it."""
    public_host: str = ""
    """Where browsers send media: a name or an address. Empty: this machine's own address."""
    public_media_port: int = Field(default=0, ge=0, le=65_535)
    """0: the same as ``whip_media_port``."""

    trusted_proxies: tuple[Range, ...] = ()
    """Address ranges of the proxies whose ``X-Forwarded-For`` counts, as a list in JSON."""

    grace_seconds: float = Field(default=30, ge=0)
    """After SIGTERM: how long running sessions may go on."""
    max_connections: int = Field(default=50, ge=1)
    max_connections_per_address: int = Field(default=10, ge=0)

    connect_seconds: float = Field(default=15, gt=0)
    """From the answer to the first picture."""
    silence_seconds: float = Field(default=4, gt=0)
    """A session from which neither sound nor pictures come for this long is over."""

    output_lines: int = Field(default=720, ge=90, le=1_080)
    """The shorter side of the picture that goes out. Browsers begin small and change the size with
    their bandwidth, so that the size they begin with says nothing; its shape does."""
    output_frame_rate: int = Field(default=30, ge=5, le=60)
    """Where the stream does not declare its own."""
    video_bitrate_kbps: int = Field(default=3_000, ge=100, le=20_000)
    audio_bitrate_kbps: int = Field(default=128, ge=32, le=320)
    gop_seconds: float = Field(default=2, ge=0.5, le=10)
    encoder_threads: int = Field(default=2, ge=1, le=16)
    transcoder_memory_bytes: int = Field(default=1 << 30, ge=256 << 20)
    """Address space of a session's transcoder."""
    transcoder_nice: int = Field(default=5, ge=0, le=19)
    transcoder_restarts: int = Field(default=3, ge=0)
    """Crashes within a minute each that one session survives."""
