"""The facts that a Restream's decision depends on, read once per pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice_media.contract import PusherStatus
from sluice_operator.api.v1alpha1 import RestreamSpec
from sluice_operator.domain.observed import ObservedRestream
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.specs import read_spec


@dataclass(slots=True, frozen=True)
class RestreamFacts:
    """One Restream as it was gathered, and the values that every part of the decision needs."""

    observed: ObservedRestream
    owner: Owner
    spec: RestreamSpec
    stored: Stored
    """The status that the last pass wrote."""
    now: datetime

    @classmethod
    def of(cls, observed: ObservedRestream, now: datetime) -> RestreamFacts:
        """Read the facts. Raises InvalidSpecError."""
        return cls(
            observed=observed,
            owner=Owner.of(observed.raw),
            spec=read_spec(RestreamSpec, observed.raw),
            stored=Stored.of(observed.raw),
            now=now,
        )

    @property
    def deployment(self) -> Raw | None:
        return self.observed.children.get(("Deployment", self.owner.workload_name))

    @property
    def config_map(self) -> Raw | None:
        return self.observed.children.get(("ConfigMap", self.owner.workload_name))

    @property
    def has_no_pod(self) -> bool:
        return not self.observed.pods

    @property
    def sampled(self) -> PusherStatus | None:
        """The pusher's last answer, unless it is stale. Its pod may have ended since."""
        return fresh(self.observed.sample)

    @property
    def pusher(self) -> PusherStatus | None:
        """The answer of a pusher that has a pod; None when there is none, or it is stale."""
        return None if self.has_no_pod else self.sampled

    @property
    def keeps_stored_status(self) -> bool:
        """The operator has just started and has no answer yet, so the stored status counts."""
        recent = in_start_grace(self.observed.sample, self.observed.operator_uptime_seconds)
        return recent and self.stored.condition("Live") is not None and not self.has_no_pod
