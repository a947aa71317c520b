"""How full a store is: the condition StorageHeadroom, in words that do not change all the time."""

from __future__ import annotations

from sluice_media.contract import StoreStatus
from sluice_operator.api.v1alpha1.reasons import HeadroomReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.quantities import bytes_text

_TYPE = "StorageHeadroom"


def is_full(status: StoreStatus | None) -> bool:
    """Known for sure: nothing can be recorded into it."""
    return status is not None and status.headroom == "Exceeded"


def headroom_condition(status: StoreStatus | None, what: str) -> Condition:
    """``what`` names the store for people; None as status: it has not been heard of."""
    if status is None or status.headroom == "Unknown":
        words = f"How full {what} is has not been measured yet."
        return Condition(_TYPE, "Unknown", HeadroomReason.NOT_MEASURED, words)
    if status.headroom == "Enough":
        return Condition(_TYPE, "True", HeadroomReason.ENOUGH, f"There is room in {what}.")
    if status.headroom == "AlmostExceeded":
        words = f"{what[0].upper()}{what[1:]} is almost full: {_used(status)}."
        return Condition(_TYPE, "False", HeadroomReason.ALMOST_EXCEEDED, f"{words} {_ADVICE}")
    words = f"{what[0].upper()}{what[1:]} is full: {_used(status)}; nothing can be recorded."
    return Condition(_TYPE, "False", HeadroomReason.EXCEEDED, f"{words} {_ADVICE}")


_ADVICE = "Delete recordings, set retention.seconds, or raise the limit."


def _used(status: StoreStatus) -> str:
    """In whole percent, so that a growing recording is not a new sentence each second."""
    if not status.limit_bytes:
        return f"{bytes_text(status.used_bytes)} are used"
    percent = status.used_bytes * 100 // status.limit_bytes
    used = bytes_text(status.limit_bytes * percent // 100)
    return f"{used} of {bytes_text(status.limit_bytes)} are used ({percent} %)"


def headroom_event(stored: Stored, condition: Condition) -> dict[str, str]:
    """Getting full is worth an event, and room that is there again; having room is not."""
    before = stored.condition(_TYPE)
    if condition.status == "False":
        return {_TYPE: "Warning"}
    was_full = before is not None and before["status"] == "False"
    return {_TYPE: "Normal"} if condition.status == "True" and was_full else {}
