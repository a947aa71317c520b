"""Settings of the roles that take publishers in, from the environment (``SLUICE_…``)."""

from __future__ import annotations

from pydantic import Field

from sluice_media.pod.settings import PodSettings


class PublishingSettings(PodSettings):
    """Lookup of hubs, limits of an address, and memory for unacknowledged media."""

    cluster_domain: str = "cluster.local"
    """Hubs are dialled as ``<stream>-ingest.<namespace>.svc.<clusterDomain>.``"""

    grace_seconds: float = Field(default=3_600, ge=0)
    """Time that connected publishers have after SIGTERM."""

    max_connections: int = Field(default=2_000, ge=1)
    reserved_share: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of ``max_connections`` that is reserved for publishers that were accepted before."""
    max_connections_per_address: int = Field(default=200, ge=0)
    """0: no limit. Publishers behind one NAT, or a Service that hides addresses, share it."""
    max_failures: int = Field(default=10, ge=0)
    """Wrong keys from one address within ``failure_window_seconds`` after which all its publishers
    are refused for ``failure_penalty_seconds``. 0: no limit (where addresses are hidden)."""
    failure_window_seconds: float = 60
    failure_penalty_seconds: float = 60

    hold_new_seconds: float = 10
    """Time that a new publisher waits for its hub."""
    hold_accepted_seconds: float = 60
    """Time that an accepted publisher stays connected without a hub."""
    unknown_stream_seconds: float = 2
    """Time between two lookups of a Service; a stream is unknown when both fail."""
    leg_silence_seconds: float = 2
    """Silence of a hub after which its leg counts as lost."""
    leg_answer_seconds: float = 3
    """Timeout for the hub's answer to a new leg."""

    retain_seconds: float = 60
    retain_bytes: int = 64 << 20
    """Maximum of unacknowledged media of one publisher."""
    memory_limit_bytes: int = Field(default=1 << 30, gt=0)
    """Memory limit of the container."""
    retain_share: float = Field(default=0.6, gt=0, le=0.9)
    """Maximum of unacknowledged media of all publishers, as a fraction of the memory limit."""

    @property
    def retain_total_bytes(self) -> int:
        return int(self.memory_limit_bytes * self.retain_share)
