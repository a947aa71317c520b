"""The limit for values that change all the time: they are written at most every ten seconds.

The time between two values is measured by the clock of the pod that measured the values. The status
has the time of each value, and the operator never compares that time with its own clock. A value of
another pod may seem earlier than the stored one, or much later; it is written at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.recording.files import OPEN_STATES
from sluice_operator.domain.times import parse_time, seconds_until

TICK_SECONDS = 10.0
_SLACK_SECONDS = 0.5
"""Tolerance, because pods are polled every ten seconds, but not to the millisecond."""
_LOOK_AGAIN_SECONDS = 2.5
"""Shortest wait for a held value: a pod's clock advances only with its next answer."""

OBSERVED_AT = "observedAt"
RECORDING_OBSERVED_AT = "recordingObservedAt"
_CLOCKS = frozenset({OBSERVED_AT, RECORDING_OBSERVED_AT})
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
    status: dict[str, Any],
    stored: Raw,
    clock: str = OBSERVED_AT,
    refresh_seconds: float | None = None,
) -> tuple[dict[str, Any], float | None]:
    """Return the status to write, and the seconds until held values must be compared again.

    ``clock`` is the field with the time of the ticking values. If only ticking values differ from
    the stored ones, the stored ones are kept until ``clock`` has advanced by ten seconds. If only
    times differ, the stored times are kept without limit, or until ``observedAt`` has advanced by
    ``refresh_seconds``. Only a later answer advances ``observedAt``, so no pass is scheduled for
    it.
    """
    before = {key: value for key, value in stored.items() if key != "conditions"}
    if _still(status) != _still(before) or _clocks(status) != _clocks(before):
        return status, None
    if _without_clocks(status) != _without_clocks(before):
        left = _seconds_left(before, status, clock, TICK_SECONDS)
        if left > _SLACK_SECONDS:
            return before, max(left, _LOOK_AGAIN_SECONDS)
        return status, None
    if refresh_seconds is not None and is_refresh_due(before, status, refresh_seconds):
        return status, None
    return before, None


def is_refresh_due(stored: Raw, status: Raw, refresh_seconds: float) -> bool:
    """Return whether the ``observedAt`` of ``status`` is newer by ``refresh_seconds``."""
    return _seconds_left(stored, status, OBSERVED_AT, refresh_seconds) <= _SLACK_SECONDS


def _seconds_left(before: Raw, status: Raw, clock: str, seconds: float) -> float:
    """Return how much of ``seconds`` is left between two times of one pod; 0 if they cannot be of
    one pod."""
    written, measured = _time(before, clock), _time(status, clock)
    if written is None or measured is None or measured < written:
        return 0.0
    return seconds_until(written, seconds, measured)


def _time(status: Raw, clock: str) -> datetime | None:
    return parse_time(status.get(clock))


def _clocks(status: Mapping[str, Any]) -> set[str]:
    """Return the names of the times that are set."""
    return {key for key in _CLOCKS if key in status}


def _without_clocks(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in _CLOCKS}


def _still(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status without the ticking values."""
    out = {key: value for key, value in status.items() if key not in _TICKING | _CLOCKS}
    if "files" in out:
        out["files"] = [_still_file(file) for file in out["files"]]
    return out


def _still_file(file: Mapping[str, Any]) -> dict[str, Any]:
    if file.get("state") not in OPEN_STATES:
        return dict(file)
    return {key: value for key, value in file.items() if key not in _TICKING_IN_FILE}
