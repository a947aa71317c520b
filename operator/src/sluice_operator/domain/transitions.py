"""The changes of conditions that make a Kubernetes event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice_operator.domain.decision import Condition
from sluice_operator.domain.owner import Stored


def events_for(
    stored: Stored, conditions: Sequence[Condition], types: Mapping[str, str]
) -> dict[str, str]:
    """Return condition type -> Normal or Warning, for the conditions whose change makes an event.

    A condition that is or was True makes an event. A change between two known statuses makes one
    too. A new object that is first Unknown and then idle makes none."""
    events = {}
    for condition in conditions:
        if condition.type not in types:
            continue
        before = stored.condition(condition.type)
        was = before["status"] if before else "Unknown"
        if "True" in (was, condition.status) or "Unknown" not in (was, condition.status):
            events[condition.type] = types[condition.type]
    return events
