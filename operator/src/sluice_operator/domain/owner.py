"""The object of a decision, for every kind: its identity, and the status of the last pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.names import PLAY_ROLE, ROLE, child_name
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.times import parse_time


@dataclass(slots=True, frozen=True)
class Owner:
    """Identity of the object; its children are named after it."""

    kind: str
    name: str
    namespace: str
    uid: str
    generation: int
    created_at: datetime
    deleted_at: datetime | None
    annotations: Raw
    role: str
    """Role of its pods: ingest, play, record, push or store."""

    @classmethod
    def of(cls, raw: Raw) -> Owner:
        metadata = raw["metadata"]
        created = parse_time(metadata["creationTimestamp"])
        if created is None:
            raise ValueError(f"{metadata['name']} has no creationTimestamp")
        return cls(
            kind=raw["kind"],
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            created_at=created,
            deleted_at=parse_time(metadata.get("deletionTimestamp")),
            annotations=metadata.get("annotations") or {},
            role=ROLE[raw["kind"]],
        )

    def of_play_pods(self) -> Owner:
        """Return the same LiveStream as the owner of its play pods and their children."""
        return replace(self, role=PLAY_ROLE)

    @property
    def workload_name(self) -> str:
        """Name of its Deployment or Job, its ConfigMap and its Service."""
        return child_name(self.name, self.role)


@dataclass(slots=True, frozen=True)
class Stored:
    """Access to the status that the last pass wrote."""

    status: Raw

    @classmethod
    def of(cls, raw: Raw) -> Stored:
        return cls(raw.get("status") or {})

    def get(self, field: str) -> Any:
        return self.status.get(field)

    def time(self, field: str) -> datetime | None:
        return parse_time(self.status.get(field))

    def condition(self, type_: str) -> Raw | None:
        for condition in self.status.get("conditions") or ():
            if condition["type"] == type_:
                found: Raw = condition
                return found
        return None

    def is_true(self, type_: str) -> bool:
        condition = self.condition(type_)
        return condition is not None and condition["status"] == "True"

    def as_condition(self, type_: str) -> Condition | None:
        """Return the stored condition, so that it can be kept."""
        raw = self.condition(type_)
        if raw is None:
            return None
        return Condition(type_, raw["status"], raw["reason"], raw.get("message", ""))

    def since(self, type_: str, status: str, *reasons: str) -> datetime | None:
        """Return when the condition got this status; None if it has another status or reason."""
        raw = self.condition(type_)
        if raw is None or raw["status"] != status or (reasons and raw["reason"] not in reasons):
            return None
        return parse_time(raw.get("lastTransitionTime"))

    def without_conditions(self) -> dict[str, Any]:
        return {key: value for key, value in self.status.items() if key != "conditions"}


def keep_everything(raw: Raw) -> Decision:
    """Return the decision that changes nothing, for an object that is being deleted."""
    stored = Stored.of(raw)
    kept = (stored.as_condition(c["type"]) for c in stored.get("conditions") or ())
    return Decision(
        status=stored.without_conditions(), conditions=tuple(c for c in kept if c is not None)
    )
