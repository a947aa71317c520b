"""The stretches of a leg: ranges of its times with one offset from source to output.

When a source falls silent and continues, media is missing. The output closes the gap, so that
another offset applies from there on. The gateway still keeps media from before the silence and
sends it again to the next hub. There these units must get their former output times, and the gap
behind them is repeated. Units that the leg sent before it fed this session have no output time.

Pure. In: the last hub's acknowledgement of the leg, and each change of the offset. Out: the units
of the leg with times to which the latest offset applies. All other times are those of the leg's
clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from sluice_media.contract import LegAck, LegStretch
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.hub.clock import datetime_of
from sluice_media.timeline.source_clock import MOST_APART_TICKS

MAX_REPLAY_TICKS = 70 * TICKS_PER_SECOND
"""Gateways keep 60 s and up to one more GOP. Times further back are of another clock."""


class Border(NamedTuple):
    """The end of a stretch that went out at an earlier hub."""

    next_dts: int
    """DTS at which the next stretch begins, in times to which the latest offset applies."""
    stretch: LegStretch
    away_us: int
    """Wall time minus media time between the stretch and the next one, microseconds."""


class Stretches:
    """The stretches of one connection. ``resume`` is the last acknowledgement that it got."""

    def __init__(self, resume: LegAck | None = None) -> None:
        self.begins_dts: int | None = None
        """DTS at which the leg began to feed the session; None: it has not begun, or every unit
        has an output time."""
        self._earlier: deque[LegStretch] = deque()
        self._sent_again: list[tuple[LegStretch, int]] = []
        """Stretches that may be sent again, each with the ticks by which its times are moved."""
        self._since: int | None = None
        """Source DTS before which units have no output time; None: every unit has one."""
        if resume is not None and resume.is_on_air:
            self.begins_dts = self._since = resume.begins_dts
            self._earlier.extend(resume.earlier)
            self._sent_again = [(e, e.out_offset - resume.out_offset) for e in resume.earlier]
        self.borders = deque(self._borders())
        """Borders that the leg's units have not crossed yet."""

    def earlier(self, shift: int) -> tuple[LegStretch, ...]:
        """Return the stretches before the present one, oldest first, in source times.

        ``shift`` is the DTS of the leg's clock minus the source DTS."""
        return tuple(each.moved(-shift) for each in self._earlier)

    def place(self, unit: AccessUnit) -> AccessUnit | None:
        """Return the unit with times to which the latest offset applies; None when it has no
        output time in this session."""
        if self._since is None and not self._sent_again:
            return unit
        dts = self._place(unit.dts)
        if dts is None:
            return None
        return unit if dts == unit.dts else replace(unit, dts=dts, pts=unit.pts + dts - unit.dts)

    def begin(self, dts: int | None) -> None:
        """Note that the leg begins to feed the output.

        Units before ``dts`` have no output time; with None, every unit has one."""
        self.begins_dts = dts
        self._earlier.clear()
        self.borders.clear()

    def changed(
        self,
        until_dts: int,
        offset: int,
        next_dts: int,
        next_us: int,
        *,
        gap_seconds: float,
        next_run: str,
    ) -> None:
        """Note that ``offset`` applied up to ``until_dts`` and another one applies from
        ``next_dts`` on, see :class:`LegStretch`."""
        self.forget(next_dts - MAX_REPLAY_TICKS)
        self._earlier.append(
            LegStretch(
                until_dts=until_dts,
                out_offset=offset,
                next_dts=next_dts,
                next_utc=datetime_of(next_us),
                gap_seconds=gap_seconds,
                next_run=next_run,
            )
        )

    def forget(self, dts: int) -> None:
        """Forget the stretches whose units a gateway does not send again once ``dts`` is
        acknowledged. A gateway keeps whole GOPs, and so a few units before ``dts``."""
        while self._earlier and self._earlier[0].next_dts + MOST_APART_TICKS <= dts:
            self._earlier.popleft()

    def crossed(self, dts: int) -> list[Border]:
        """Remove and return the borders up to ``dts``, which is a time from :meth:`place`."""
        behind = []
        while self.borders and self.borders[0].next_dts <= dts:
            behind.append(self.borders.popleft())
        return behind

    def missing_us(self) -> int:
        """Return the total silence at the borders that are not crossed yet, microseconds."""
        return sum(border.away_us for border in self.borders)

    def _place(self, dts: int) -> int | None:
        since = self._since
        if since is not None and since - MAX_REPLAY_TICKS < dts < since:
            return None
        for stretch, move in self._sent_again:
            if dts <= stretch.until_dts:
                return dts + move
            if dts < stretch.next_dts:
                return None
        return dts

    def _borders(self) -> Iterator[Border]:
        for stretch, move in self._sent_again:
            next_dts = self._place(stretch.next_dts)
            if next_dts is not None:
                media_us = (next_dts - stretch.until_dts - move) * 1_000_000 // TICKS_PER_SECOND
                gap_us = round(stretch.gap_seconds * 1_000_000)
                yield Border(next_dts, stretch, gap_us - media_us)
