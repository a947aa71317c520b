"""The decision about an object whose stored ``spec`` cannot be read."""

from __future__ import annotations

from sluice_operator.api.v1alpha1.reasons import StalledReason
from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.names import FINALIZER
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.pod_view import Raw

_REPLACED = frozenset({"Ready", "Reconciling", "Stalled"})


class InvalidSpecError(Exception):
    """The spec of an object, or of one that it refers to, cannot be read.

    The text is a sentence for the user."""

    def decision(self, raw: Raw) -> Decision:
        """Return a decision that changes only Ready, Stalled and ``observedGeneration``.

        An object that is being deleted loses its finalizer, because it is not known any more what
        the finalizer waits for."""
        stored = Stored.of(raw)
        kept = (stored.as_condition(c["type"]) for c in stored.get("conditions") or ())
        text = str(self)
        return Decision(
            status=stored.without_conditions()
            | {"observedGeneration": raw["metadata"].get("generation", 0)},
            conditions=(
                Condition("Ready", "False", StalledReason.INVALID_SPEC, text),
                *(c for c in kept if c is not None and c.type not in _REPLACED),
                Condition("Stalled", "True", StalledReason.INVALID_SPEC, text),
            ),
            finalizer="deletionTimestamp" not in raw["metadata"]
            and FINALIZER in (raw["metadata"].get("finalizers") or ()),
            event_reasons={"Stalled": "Warning"},
        )
