"""The handover from a file to the next one when the tracks of a stream change (pure).

The next file can only begin at a random access point, which may be a whole GOP away. Until then a
track that did not change still belongs to the former file. A track that is new or changed fits
neither file before that point: its units are counted here, so that the former file can name them
as a gap.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.contract import TimelineGap, TrackInfo
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit


class Handover:
    """The time between a change of the tracks and the next random access point."""

    def __init__(self) -> None:
        self._kept: frozenset[int] = frozenset()
        self._last_dts: dict[int, int] = {}
        self.missing_from: int | None = None
        """DTS of the first unit that no file has taken yet; None: there is none."""
        self.missing_to = 0

    def change(self, before: Sequence[TrackInfo], after: Sequence[TrackInfo]) -> None:
        """Take note of the tracks: ``before`` as the former file has them, ``after`` as they
        are."""
        kept = {info.track: info for info in before}
        self._kept = frozenset(i.track for i in after if kept.get(i.track) == i)

    def keeps(self, unit: AccessUnit) -> bool:
        """Return whether the unit still belongs to the former file. One that does not is
        counted."""
        if unit.track in self._kept:
            return True
        step = unit.dts - self._last_dts.get(unit.track, unit.dts)
        self._last_dts[unit.track] = unit.dts
        if self.missing_from is None or unit.dts < self.missing_from:
            self.missing_from = unit.dts
        end = unit.dts + (step if step < TICKS_PER_SECOND else 0)
        self.missing_to = max(self.missing_to, end)
        return False

    def gap(self, dts: int) -> TimelineGap | None:
        """Return the gap when the former file ends, or continues, at ``dts``."""
        first = self.missing_from
        if first is None or first >= dts:
            return None
        missing = min(self.missing_to, dts) - first
        return TimelineGap(dts=dts, wall_seconds=round(missing / TICKS_PER_SECOND, 3))
