"""The facts that a Recording's decision depends on, read once per pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sluice_media.contract import RecorderStatus
from sluice_operator.api.v1alpha1 import DEFAULT_STORE, RecordingSpec
from sluice_operator.domain.names import STREAM_UID_ANNOTATION
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.streams import is_there

StreamPresence = Literal["There", "NeverSeen", "Gone"]
"""Gone: the stream existed, and was deleted or replaced by another one of its name."""


@dataclass(slots=True, frozen=True)
class RecordingFacts:
    """One Recording as it was gathered, and the values that every part of the decision needs."""

    observed: ObservedRecording
    owner: Owner
    spec: RecordingSpec
    stored: Stored
    """The status that the last pass wrote; empty when a restored Recording starts again."""
    presence: StreamPresence
    now: datetime

    @classmethod
    def of(cls, observed: ObservedRecording, now: datetime, stored: Stored) -> RecordingFacts:
        """Read the facts. Raises InvalidSpecError."""
        return cls(
            observed=observed,
            owner=Owner.of(observed.raw),
            spec=read_spec(RecordingSpec, observed.raw),
            stored=stored,
            presence=_presence(observed, stored),
            now=now,
        )

    @property
    def stopped(self) -> bool:
        """A stop was requested, now or earlier. A stop is latched: the spec cannot undo it."""
        return self.spec.desired_state == "Stopped" or self.stored.is_true("StopLatched")

    @property
    def deleted(self) -> bool:
        return self.owner.deleted_at is not None

    @property
    def job(self) -> Raw | None:
        """The recorder's Job."""
        return self.observed.children.get(("Job", self.owner.workload_name))

    @property
    def recorder(self) -> RecorderStatus | None:
        """The recorder's answer; None when there is none, or it is stale."""
        return fresh(self.observed.sample)

    @property
    def in_start_grace(self) -> bool:
        """The operator has just started and has no answer of the recorder yet."""
        return in_start_grace(self.observed.sample, self.observed.operator_uptime_seconds)

    @property
    def store_name(self) -> str:
        """The MediaStore that the Recording uses."""
        return store_name_in(self.spec)


def store_name_in(spec: RecordingSpec) -> str:
    return spec.store_ref.name if spec.store_ref is not None else DEFAULT_STORE


def _presence(observed: ObservedRecording, stored: Stored) -> StreamPresence:
    """Compare uids: a stream made anew under the old name is another stream."""
    annotations = observed.raw["metadata"].get("annotations") or {}
    known = stored.get("streamUid") or annotations.get(STREAM_UID_ANNOTATION)
    if is_there(observed.stream) and observed.stream is not None:
        return "There" if known in (None, observed.stream["metadata"]["uid"]) else "Gone"
    return "NeverSeen" if known is None else "Gone"
