"""Converter from a decision to the status that is written, and to the events that are posted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.engine.cache import Manifest

_EXCLUSIVE = {"Ready", "Reconciling", "Stalled"}


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, the format of Kubernetes."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def status_of(obj: Manifest, decision: Decision, now: datetime) -> dict[str, Any]:
    """Return the whole status. A condition with the same status keeps its lastTransitionTime."""
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
    """Return the conditions that this decision changes, each with the type of its event.

    Conditions without an event are left out."""
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
    """Return a Stalled decision for an object whose children the API server refuses."""
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
    """Return the value without nulls, so that absent and null fields compare as equal."""
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(v) for v in value]
    return value
