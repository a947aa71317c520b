"""What status says of switches from one source to another, and of changes of format.

In: which leg feeds the output, when it was entered, when its first unit went out. Out: counts, and
the last of each kind.
"""

from __future__ import annotations

from sluice_media.contract import Failover, FormatChange
from sluice_media.hub.clock import Moment, datetime_of
from sluice_media.hub.legs.leg import PULL, Leg

_URI = "uri/"


def source_name(leg: Leg) -> str:
    """Primary, Backup, or of a pulled stream ``Uri <index>``."""
    if leg.is_pull:
        return f"Uri {leg.hello.remote.removeprefix(_URI)}"
    return leg.name.capitalize()


def source_word(leg: Leg) -> str:
    """Primary, Backup or Pull."""
    return PULL if leg.is_pull else leg.name.capitalize()


class Failovers:
    """Switches within sessions. A source that comes back to itself is none."""

    def __init__(self) -> None:
        self.count = 0
        """Since the process started."""
        self.last: Failover | None = None
        self._source: str | None = None
        self._pending: tuple[str, str] | None = None

    def entered(self, leg: Leg, *, goes_on: bool) -> None:
        """``leg`` feeds the output from now on. ``goes_on``: the session was on before."""
        before, self._source = self._source, source_name(leg)
        if not goes_on or before is None:
            self._pending = None
            return
        # Two switches without a unit between them are one, from the first source to the last.
        start = self._pending[0] if self._pending else before
        self._pending = (start, self._source) if start != self._source else None

    def went_out(self, last_media: Moment, now: Moment) -> bool:
        """A unit goes out; the one before did at ``last_media``. True: that was a failover."""
        if self._pending is None:
            return False
        start, to = self._pending
        self._pending = None
        self.count += 1
        gap = max(0.0, now.monotonic - last_media.monotonic)
        self.last = Failover.model_validate(
            {
                "at": datetime_of(now.utc_us),
                "from": start,
                "to": to,
                "gap_milliseconds": round(gap * 1_000),
            }
        )
        return True


class FormatChanges:
    """Changes of codec, decoder configuration, picture size or tracks within sessions."""

    def __init__(self) -> None:
        self.count = 0
        self.last: FormatChange | None = None

    def add(self, before: str, after: str, utc_us: int) -> None:
        self.count += 1
        self.last = FormatChange(at=datetime_of(utc_us), before=before, after=after)
