"""Which changes of a condition are worth a Kubernetes event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice_operator.domain.decision import Condition
from sluice_operator.domain.owner import Stored


def events_for(
    stored: Stored, conditions: Sequence[Condition], types: Mapping[str, str]
) -> dict[str, str]:
    """Condition type -> Normal or Warning, without what only says that things are starting.

    Something that is or was True is told, and so is a change between two known states; that a new
    object is first Unknown and then idle is not."""
    told = {}
    for condition in conditions:
        if condition.type not in types:
            continue
        before = stored.condition(condition.type)
        was = before["status"] if before else "Unknown"
        if "True" in (was, condition.status) or "Unknown" not in (was, condition.status):
            told[condition.type] = types[condition.type]
    return told
