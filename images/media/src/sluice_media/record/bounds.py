"""Where a Recording is cut off: at the user's stop, and at its longest duration (pure).

Both cut between two units. Tracks interleave loosely, so the first unit beyond a cut says nothing
about those of other tracks: they may still come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.record.plan import PlannedFile, utc_of

STOP_SILENCE_SECONDS = 1.0
"""After a stop: no unit for so long means that the boundary is behind us."""
STOP_MAX_SECONDS = 90.0
"""After a stop: longer than any catching up out of a ring of 60 s."""
STOP_IDLE_SECONDS = 10.0
"""After a stop before anything was recorded: how long a hub may take to answer."""
LIMIT_SILENCE_SECONDS = 1.0
"""At the longest duration: no unit for so long means that no track has anything to come."""
TRACK_SKEW_TICKS = TICKS_PER_SECOND


class StopOrder:
    """A stop that was requested at ``at``, when the content taken was ``lag_seconds`` old."""

    def __init__(self, at: datetime, lag_seconds: float = 0.0) -> None:
        self.at = at
        self._lag_seconds = lag_seconds

    def is_behind(self, unit: AccessUnit, now: datetime) -> bool:
        """Whether the unit is beyond the stop."""
        utc = utc_of(unit)
        if utc >= self.at:
            return True
        # Not catching up although time has passed: the clocks differ, what comes is live.
        waited = (now - self.at).total_seconds()
        return waited > 3.0 and (now - utc).total_seconds() > self._lag_seconds - 1.0

    def is_due(
        self, now: datetime, *, has_file: bool, session: bool | None, silent_seconds: float
    ) -> bool:
        """Whether nothing from before the stop can come any more. ``session``: None while no hub
        answers; ``silent_seconds``: without a unit, infinite when the source is interrupted."""
        waited = (now - self.at).total_seconds()
        if waited >= STOP_MAX_SECONDS:
            return True
        if not has_file and session is None:
            return waited >= STOP_IDLE_SECONDS
        if session is False or silent_seconds == float("inf"):
            return True
        return waited >= STOP_SILENCE_SECONDS and silent_seconds >= STOP_SILENCE_SECONDS


class DurationLimit:
    """``max_duration_seconds``: every unit whose position in the media is before it is in, and none
    other."""

    def __init__(self) -> None:
        self._beyond: set[int] = set()
        self._is_far_beyond = False

    def takes(
        self, files: Sequence[PlannedFile], unit: AccessUnit, longest_seconds: float | None
    ) -> bool:
        """``files``: of the Recording, that of the unit last."""
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
        """Whether no track has anything to come before the limit."""
        return self._is_far_beyond or self._beyond >= file.last_dts.keys()

    @staticmethod
    def is_behind(
        files: Sequence[PlannedFile],
        longest_seconds: float | None,
        *,
        has_file: bool,
        silent_seconds: float,
    ) -> bool:
        """Whether everything before the limit is there, as far as it comes."""
        if longest_seconds is None or not files:
            return False
        if sum(file.duration_seconds for file in files) < longest_seconds - 0.001:
            return False
        return not has_file or silent_seconds >= LIMIT_SILENCE_SECONDS
