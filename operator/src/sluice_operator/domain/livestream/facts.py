"""The facts that a LiveStream's decision depends on, read once per pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice_media.contract import GivenUp, IngestStatus
from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.domain.livestream.addresses import Addresses, publish_addresses
from sluice_operator.domain.livestream.auto_recording import RecordedSessions, recorded_sessions
from sluice_operator.domain.livestream.giving_up import given_up
from sluice_operator.domain.livestream.sessions import session_is_on
from sluice_operator.domain.names import PLAY_CHILDREN, PLAY_ROLE, child_name
from sluice_operator.domain.observed import Conflict, ObservedLiveStream
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.protection import BUDGET
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.specs import read_spec


@dataclass(slots=True, frozen=True)
class LiveStreamFacts:
    """One LiveStream as it was gathered, and the values that every part of the decision needs."""

    observed: ObservedLiveStream
    owner: Owner
    spec: LiveStreamSpec
    stored: Stored
    """The status that the last pass wrote."""
    now: datetime
    recorded: RecordedSessions
    """The sessions that have, or had, their automatic Recording."""
    addresses: Addresses
    """Addresses of the protocols that publishers of this stream may use."""
    given_up: GivenUp | None
    """Set when the sources of a pulled stream are not tried any more."""

    @classmethod
    def of(cls, observed: ObservedLiveStream, now: datetime) -> LiveStreamFacts:
        """Read the facts. Raises InvalidSpecError."""
        owner, stored = Owner.of(observed.raw), Stored.of(observed.raw)
        spec = read_spec(LiveStreamSpec, observed.raw)
        return cls(
            observed=observed,
            owner=owner,
            spec=spec,
            stored=stored,
            now=now,
            recorded=recorded_sessions(stored, observed.recordings, owner.uid, now),
            addresses=_addresses(observed, spec),
            given_up=given_up(stored, owner, fresh(observed.sample)),
        )

    @property
    def hub(self) -> IngestStatus | None:
        """The hub's answer; None when there is none, or it is stale."""
        return fresh(self.observed.sample)

    @property
    def deployment(self) -> Raw | None:
        return self.observed.children.get(("Deployment", self.owner.workload_name))

    @property
    def play_conflicts(self) -> tuple[Conflict, ...]:
        """The foreign objects that have the name of a child for playback."""
        children = {(kind, suffix) for _, kind, suffix in PLAY_CHILDREN} | {(BUDGET[1], PLAY_ROLE)}
        names = {(kind, child_name(self.owner.name, suffix)) for kind, suffix in children}
        return tuple(c for c in self.observed.conflicts if (c.kind, c.name) in names)

    @property
    def busy(self) -> bool:
        """The hub answers, and the loss of its pod would interrupt or lose something."""
        return self.hub is not None and is_busy(self.hub, self.stored)


def _addresses(observed: ObservedLiveStream, spec: LiveStreamSpec) -> Addresses:
    push = spec.source.push
    found = publish_addresses(
        observed.settings, observed.gateway, observed.gateway_srt, observed.whip
    )
    return found.only(push.protocols if push is not None else [])


def is_busy(status: IngestStatus, stored: Stored) -> bool:
    """Return whether the loss of the pod would interrupt a publisher or lose a session."""
    # A session that no recorder holds yet exists only on this pod's disk.
    adopts = status.adopting and session_is_on(stored)
    return carries_media(status) or adopts or bool(status.recordable)


def carries_media(status: IngestStatus) -> bool:
    session = status.session is not None and status.session.finished_at is None
    return session or status.on_air or status.primary_connected or status.backup_connected
