"""The condition StorageHeadroom: the free space of a store, in a message that rarely changes."""

from __future__ import annotations

from sluice_media.contract import HeadroomState, StoreStatus
from sluice_operator.api.v1alpha1.reasons import HeadroomReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.quantities import bytes_text

_TYPE = "StorageHeadroom"
_MEASURED = frozenset(HeadroomState) - {HeadroomState.UNKNOWN}


def is_full(status: StoreStatus | None) -> bool:
    """Return whether the store is known to be full."""
    return status is not None and status.headroom == HeadroomState.EXCEEDED


def headroom_condition(status: StoreStatus | None, what: str) -> Condition:
    """Return the condition. ``what`` names the store in its message; ``status`` is None when the
    store pod does not answer."""
    if status is None or status.headroom not in _MEASURED:  # also a word of a newer store
        message = f"The used space of {what} has not been measured yet."
        return Condition(_TYPE, "Unknown", HeadroomReason.NOT_MEASURED, message)
    if status.headroom == HeadroomState.ENOUGH:
        return Condition(_TYPE, "True", HeadroomReason.ENOUGH, f"There is room in {what}.")
    if status.headroom == HeadroomState.ALMOST_EXCEEDED:
        message = f"{what[0].upper()}{what[1:]} is almost full: {_used(status)}."
        return Condition(_TYPE, "False", HeadroomReason.ALMOST_EXCEEDED, f"{message} {_ADVICE}")
    message = f"{what[0].upper()}{what[1:]} is full: {_used(status)}; nothing can be recorded."
    return Condition(_TYPE, "False", HeadroomReason.EXCEEDED, f"{message} {_ADVICE}")


_ADVICE = "Delete recordings, set their retention.seconds, or raise the limit."


def _used(status: StoreStatus) -> str:
    """Return the used space in whole percent, so that the message does not change every second."""
    if not status.limit_bytes:
        return f"{bytes_text(status.used_bytes)} are used"
    percent = status.used_bytes * 100 // status.limit_bytes
    used = bytes_text(status.limit_bytes * percent // 100)
    return f"{used} of {bytes_text(status.limit_bytes)} are used ({percent} %)"


def headroom_event(stored: Stored, condition: Condition) -> dict[str, str]:
    """Return an event when the store fills up, and when it has room again."""
    before = stored.condition(_TYPE)
    if condition.status == "False":
        return {_TYPE: "Warning"}
    was_full = before is not None and before["status"] == "False"
    return {_TYPE: "Normal"} if condition.status == "True" and was_full else {}
