"""From decided conditions to the list that stands in status, and to the events worth posting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.engine.cache import Manifest

_EXCLUSIVE = {"Ready", "Reconciling", "Stalled"}


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def status_of(obj: Manifest, decision: Decision, now: datetime) -> dict[str, Any]:
    """The whole status: what was decided, and conditions that keep their lastTransitionTime."""
    stored = _by_type(obj)
    conditions = [
        {
            "type": c.type,
            "status": c.status,
            "reason": c.reason,
            "message": c.message,
            "observedGeneration": obj["metadata"].get("generation", 0),
            "lastTransitionTime": _since(stored.get(c.type), c, now),
        }
        for c in decision.conditions
    ]
    status: dict[str, Any] = _without_nulls(decision.status)
    return {**status, "conditions": conditions}


def transitions(obj: Manifest, decision: Decision) -> list[tuple[Condition, str]]:
    """Conditions that change by this decision, with the type of the event to post (if any)."""
    stored = _by_type(obj)
    changed: list[tuple[Condition, str]] = []
    for condition in decision.conditions:
        event_type = decision.event_reasons.get(condition.type)
        former = stored.get(condition.type, {})
        same = (former.get("status"), former.get("reason")) == (condition.status, condition.reason)
        if event_type is not None and not same:
            changed.append((condition, event_type))
    return changed


def blocked(decision: Decision, reason: str, message: str) -> Decision:
    """The decision of an object whose children the API server refuses: the user must act."""
    kept = tuple(c for c in decision.conditions if c.type not in _EXCLUSIVE)
    conditions = (
        Condition("Ready", "False", reason, message),
        *kept,
        Condition("Stalled", "True", reason, message),
    )
    return Decision(
        status=decision.status, conditions=conditions, event_reasons={"Stalled": "Warning"}
    )


def _by_type(obj: Manifest) -> Mapping[str, Mapping[str, Any]]:
    conditions: Iterable[Mapping[str, Any]] = (obj.get("status") or {}).get("conditions") or ()
    return {c["type"]: c for c in conditions}


def _since(stored: Mapping[str, Any] | None, condition: Condition, now: datetime) -> str:
    if stored is not None and stored.get("status") == condition.status:
        kept = stored.get("lastTransitionTime")
        if kept:
            return str(kept)
    return timestamp(now)


def _without_nulls(value: Any) -> Any:
    """Absent and null mean the same to us, but not to a comparison."""
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(v) for v in value]
    return value
