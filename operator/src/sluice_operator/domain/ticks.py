"""Values that change all the time are written at most every ten seconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sluice_operator.domain.files import OPEN_STATES
from sluice_operator.domain.observed import Raw
from sluice_operator.domain.times import parse_time, seconds_until

__all__ = ["TICK_SECONDS", "hold_ticks"]

TICK_SECONDS = 10.0

_CLOCK = "observedAt"
_TICKING = frozenset(
    {
        "recordingDuration",
        "bytesSent",
        "droppedFrames",
        "usedBytes",
        "availableBytes",
        "secondsToFull",
        "storage",
    }
)
_TICKING_IN_FILE = frozenset({"durationSeconds", "sizeBytes"})


def hold_ticks(
    status: dict[str, Any], stored: Raw, now: datetime
) -> tuple[dict[str, Any], float | None]:
    """The status to write, and after how many seconds held values are due.

    When nothing but ticking values differs from what is stored, the stored ones stay for ten
    seconds; when not even those differ, their ``observedAt`` stays too.
    """
    before = {key: value for key, value in stored.items() if key != "conditions"}
    if _still(status) != _still(before):
        return status, None
    written = parse_time(before.get(_CLOCK))
    if written is None or _without_clock(status) == _without_clock(before):
        return (before if written else status), None
    left = seconds_until(written, TICK_SECONDS, now)
    return (before, left) if left > 0 else (status, None)


def _without_clock(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key != _CLOCK}


def _still(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status without everything that ticks."""
    out = {key: value for key, value in status.items() if key not in _TICKING | {_CLOCK}}
    if "files" in out:
        out["files"] = [_still_file(file) for file in out["files"]]
    return out


def _still_file(file: Mapping[str, Any]) -> dict[str, Any]:
    if file.get("state") not in OPEN_STATES:
        return dict(file)
    return {key: value for key, value in file.items() if key not in _TICKING_IN_FILE}
