"""The ends of a Recording: the user's stop, and its maximum duration (pure).

Both cut between two units. Tracks interleave loosely: after the first unit beyond a cut, units of
other tracks before the cut may still arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.record.plan import PlannedFile, utc_of

STOP_SILENCE_SECONDS = 1.0
"""Time without a unit after a stop that proves that all units before it have arrived."""
STOP_MAX_SECONDS = 90.0
"""Maximum time from a stop to the end: longer than a catch-up from the hub's ring of 60 s."""
STOP_IDLE_SECONDS = 10.0
"""Time that a hub has to answer after a stop before anything was recorded."""
LIMIT_SILENCE_SECONDS = 1.0
"""Time without a unit at the maximum duration that proves that all units before it have arrived."""
TRACK_SKEW_TICKS = TICKS_PER_SECOND


class StopOrder:
    """A stop requested at the time ``at``, when arriving content was ``lag_seconds`` old."""

    def __init__(self, at: datetime, lag_seconds: float = 0.0) -> None:
        self.at = at
        self._lag_seconds = lag_seconds

    def is_behind(self, unit: AccessUnit, now: datetime) -> bool:
        """Return whether the unit is beyond the stop."""
        utc = utc_of(unit)
        if utc >= self.at:
            return True
        # The lag does not shrink although time passes: the clocks differ, and the units are live.
        waited = (now - self.at).total_seconds()
        return waited > 3.0 and (now - utc).total_seconds() > self._lag_seconds - 1.0

    def is_due(
        self, now: datetime, *, has_file: bool, session: bool | None, silent_seconds: float
    ) -> bool:
        """Return whether all units before the stop have arrived.

        ``session`` is None while no hub answers; ``silent_seconds`` is the time without a unit,
        infinite when the source is interrupted."""
        waited = (now - self.at).total_seconds()
        if waited >= STOP_MAX_SECONDS:
            return True
        if not has_file and session is None:
            return waited >= STOP_IDLE_SECONDS
        if session is False or silent_seconds == float("inf"):
            return True
        return waited >= STOP_SILENCE_SECONDS and silent_seconds >= STOP_SILENCE_SECONDS


class DurationLimit:
    """The limit ``max_duration_seconds``: units before this position in the media are recorded, all
    others are not."""

    def __init__(self) -> None:
        self._beyond: set[int] = set()
        self._is_far_beyond = False

    def takes(
        self, files: Sequence[PlannedFile], unit: AccessUnit, longest_seconds: float | None
    ) -> bool:
        """Return whether to record the unit. ``files`` are those of the Recording; the last one is
        that of the unit."""
        if longest_seconds is None:
            return True
        seconds_left = longest_seconds - sum(file.duration_seconds for file in files[:-1])
        position = files[-1].media.before(unit.dts)
        beyond = position - round(seconds_left * TICKS_PER_SECOND)
        if beyond < 0:
            return True
        self._beyond.add(unit.track)
        self._is_far_beyond = self._is_far_beyond or beyond >= TRACK_SKEW_TICKS
        return False

    def is_reached(self, file: PlannedFile) -> bool:
        """Return whether all tracks have reached the limit."""
        return self._is_far_beyond or self._beyond >= file.last_dts.keys()

    @staticmethod
    def is_behind(
        files: Sequence[PlannedFile],
        longest_seconds: float | None,
        *,
        has_file: bool,
        silent_seconds: float,
    ) -> bool:
        """Return whether the recorded media has reached the limit and no more units arrive."""
        if longest_seconds is None or not files:
            return False
        if sum(file.duration_seconds for file in files) < longest_seconds - 0.001:
            return False
        return not has_file or silent_seconds >= LIMIT_SILENCE_SECONDS
