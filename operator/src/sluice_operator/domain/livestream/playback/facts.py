"""The facts that the decision about a LiveStream's playback depends on, read once per pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice_media.contract import IngestStatus, PlayStatus
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.api.v1alpha1.playback import Playback
from sluice_operator.domain.livestream.addresses import public_authority, why_pending
from sluice_operator.domain.livestream.facts import LiveStreamFacts
from sluice_operator.domain.observed import (
    Conflict,
    DomainSettings,
    ObservedPlayback,
    PublicService,
    Sample,
)
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import PodView, Raw
from sluice_operator.domain.samples import fresh

EDGE_PORT = "http"
"""Name of the public port on the Service of the edge."""


@dataclass(slots=True, frozen=True)
class EdgeAddress:
    """The address that viewers dial."""

    base: str | None
    """Prefix of the URLs, without a slash at its end; None while there is no address."""
    pending: str = ""
    """Sentence about the cause of the missing address."""


@dataclass(slots=True, frozen=True)
class PlaybackFacts:
    """The playback of one LiveStream as it was gathered."""

    observed: ObservedPlayback
    owner: Owner
    """The LiveStream as the owner of its play pods."""
    spec: LiveStreamSpec
    playback: Playback
    """``spec.playback``."""
    stored: Stored
    now: datetime
    settings: DomainSettings
    operator_uptime_seconds: float
    hub: IngestStatus | None
    """The hub's answer; None when there is none, or it is stale."""
    deployment: Raw | None
    """The Deployment of the play pods; None when it does not exist."""
    conflicts: tuple[Conflict, ...]
    """The foreign objects that have the name of a child of playback."""
    address: EdgeAddress

    @classmethod
    def of(cls, facts: LiveStreamFacts) -> PlaybackFacts | None:
        """Return the facts; None for a stream without playback."""
        playback, observed = facts.spec.playback, facts.observed.playback
        if playback is None or observed is None:
            return None
        owner = facts.owner.of_play_pods()
        return cls(
            observed=observed,
            owner=owner,
            spec=facts.spec,
            playback=playback,
            stored=facts.stored,
            now=facts.now,
            settings=facts.observed.settings,
            operator_uptime_seconds=facts.observed.operator_uptime_seconds,
            hub=facts.hub,
            deployment=facts.observed.children.get(("Deployment", owner.workload_name)),
            conflicts=facts.play_conflicts,
            address=edge_address(facts.observed.settings, observed.edge),
        )

    @property
    def wanted_replicas(self) -> int:
        """Number of pods that shall run: none without an edge, because nobody can reach them."""
        return self.playback.replicas if self.settings.edge is not None else 0

    @property
    def answers(self) -> list[PlayStatus]:
        """The answers of the pods that are not stale."""
        found = (fresh(sample) for sample in self.observed.samples)
        return [status for status in found if status is not None]

    def sample_of(self, pod: PodView) -> Sample[PlayStatus] | None:
        """Return the last answer of one pod."""
        samples = self.observed.samples
        return next((sample for sample in samples if sample.status.pod_uid == pod.uid), None)


def edge_address(settings: DomainSettings, service: PublicService | None) -> EdgeAddress:
    """Return the address of the edge. A setting takes precedence over its Service."""
    edge = settings.edge
    if edge is None:
        return EdgeAddress(None)
    if edge.public_url:
        return EdgeAddress(edge.public_url.rstrip("/"))
    authority = public_authority(service, EDGE_PORT, edge.public_host, edge.public_port)
    if authority is not None:
        return EdgeAddress(f"http://{authority.removesuffix(':80')}")
    if service is None:
        return EdgeAddress(None, f"Service {edge.host.partition('.')[0]} of the edge is missing.")
    return EdgeAddress(None, why_pending(service))
