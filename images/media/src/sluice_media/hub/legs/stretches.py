"""The stretches of a leg: from which of its times to which its media went out with one offset.

A source falls silent, and media is missing when it goes on. The output closes the hole, so that
from there on another offset counts. The gateway keeps media from before the silence as well, and
sends it again to the next hub: it has to get its old place there, and the gap behind it is said
again. What the leg sent before it fed this session has no place at all.

Pure. In: what the last hub said of the leg, and where its offset changes now. Out: the units of
the leg as if its latest offset had always counted. All other times are those of the leg's clock.
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
"""Gateways keep a minute, and what one group of pictures is longer. What lies further back is of
another clock."""


class Border(NamedTuple):
    """The end of a stretch that an earlier hub has put out."""

    next_dts: int
    """Where the next stretch begins, as if the latest offset had always counted."""
    stretch: LegStretch
    away_us: int
    """Wall time minus media time between the stretch and the next one, microseconds."""


class Stretches:
    """Knows the stretches of one connection. ``resume`` is what its last hub said of it."""

    def __init__(self, resume: LegAck | None = None) -> None:
        self.begins_dts: int | None = None
        """Where the leg began to feed the session; None: it never did, or all it sent has a
        place."""
        self._earlier: deque[LegStretch] = deque()
        self._sent_again: list[tuple[LegStretch, int]] = []
        """Stretches that may come again, each with the ticks by which its times are moved."""
        self._since: int | None = None
        """The session has no place for what the source sent before this; None: it has for all."""
        if resume is not None and resume.feeds:
            self.begins_dts = self._since = resume.begins_dts
            self._earlier.extend(resume.earlier)
            self._sent_again = [(e, e.out_offset - resume.out_offset) for e in resume.earlier]
        self.borders = deque(self._borders())
        """Those that are still ahead."""

    def earlier(self, shift: int) -> tuple[LegStretch, ...]:
        """Return them, oldest first, in the times of the source. ``shift``: DTS of the leg's clock
        minus DTS of the source."""
        return tuple(each.moved(-shift) for each in self._earlier)

    def place(self, unit: AccessUnit) -> AccessUnit | None:
        """Return a unit of the source as if the latest offset had always counted; None: it went
        out nowhere in this session."""
        if self._since is None and not self._sent_again:
            return unit
        dts = self._place(unit.dts)
        if dts is None:
            return None
        return unit if dts == unit.dts else replace(unit, dts=dts, pts=unit.pts + dts - unit.dts)

    def begin(self, dts: int | None) -> None:
        """Note that the leg feeds the output from now on, and did not do so before. What it sent
        before ``dts`` has no place; None: all of it has."""
        self.begins_dts = dts
        self._earlier.clear()
        self.borders.clear()

    def changed(
        self, until_dts: int, offset: int, next_dts: int, next_us: int, gap_seconds: float
    ) -> None:
        """Note that ``offset`` counted up to ``until_dts`` and another one counts from ``next_dts``
        on, see :class:`LegStretch`."""
        self.forget(next_dts - MAX_REPLAY_TICKS)
        self._earlier.append(
            LegStretch(
                until_dts=until_dts,
                out_offset=offset,
                next_dts=next_dts,
                next_utc=datetime_of(next_us),
                gap_seconds=gap_seconds,
            )
        )

    def forget(self, dts: int) -> None:
        """Forget the stretches of which nothing comes again when all up to ``dts`` is acknowledged.
        A gateway keeps a little more than what is not: whole groups of pictures."""
        while self._earlier and self._earlier[0].next_dts + MOST_APART_TICKS <= dts:
            self._earlier.popleft()

    def crossed(self, dts: int) -> list[Border]:
        """Return the borders up to ``dts``, a time out of :meth:`place`, that are behind now."""
        behind = []
        while self.borders and self.borders[0].next_dts <= dts:
            behind.append(self.borders.popleft())
        return behind

    def missing_us(self) -> int:
        """Return how long the source was away at the borders ahead, microseconds."""
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
