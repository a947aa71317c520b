"""The grid: numbers the segments of a session.

Pure. In: the units of the reference track with output times, and what interrupts them. Out: the
records that begin a segment. A segment begins at a random access point and nowhere else:

- when at least three quarters of the wanted duration have passed since the former segment began
- after a gap or a splice, and after a change of format
- of audio alone, when the wanted duration has passed

Every later segment follows from the former one and the units, so a hub that continues with the
last hub's record and the same units writes the same records.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import NamedTuple

from sluice_media.contract import LegAck, LegGrid, TimelineSegment
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.hub.clock import datetime_of, us_of

_GUESSED_PER_SECOND = 10
"""Segments for each second of a session, for a first number that no earlier hub can have used."""


class Numbers(NamedTuple):
    """The highest numbers that a session has used so far."""

    segment: int
    format: int


class Grid:
    """The numbering of one session's segments."""

    def __init__(self, segment_seconds: int) -> None:
        """Create the grid of a new session, whose first segment has the number 0."""
        self.segment_seconds = segment_seconds
        self.last: TimelineSegment | None = None
        """The record of the newest segment; None before the first."""
        self._run = secrets.token_hex(8)
        self._number = 0
        self._format_number = 0
        self._anchor = (0, 0)
        """A DTS and its wall clock, microseconds UTC."""
        self._floor: int | None = None
        """DTS that must have passed before a segment begins; None for no limit."""
        self._must_begin = True
        self._has_new_shift = True
        self._resumed = False

    @classmethod
    def resumed(cls, grid: LegGrid) -> Grid:
        """Continue another hub's grid. The units that follow lead over ``grid.segment.dts``, or
        begin within that segment."""
        resumed = cls(grid.segment_seconds)
        segment = grid.segment
        resumed.last = segment
        resumed._run = segment.run
        resumed._number = segment.number + 1
        resumed._format_number = segment.format_number
        resumed._must_begin = resumed._has_new_shift = False
        resumed._resumed = True
        return resumed

    @classmethod
    def inexact(cls, segment_seconds: int, numbers: Numbers | None, *, floor: int) -> Grid:
        """Continue the session of another hub without its exact state, behind the DTS ``floor``.

        ``numbers`` are the highest that are known. None: nobody knows one, and higher numbers than
        any hub can have used are derived from ``floor``."""
        grid = cls(segment_seconds)
        if numbers is None:
            guess = max(0, floor) * _GUESSED_PER_SECOND // TICKS_PER_SECOND
            numbers = Numbers(guess, guess)
        grid._number, grid._format_number = numbers.segment + 1, numbers.format + 1
        grid._floor = floor
        return grid

    @property
    def run(self) -> str:
        """Id of the present run."""
        return self._run

    def interrupt(self, run: str = "") -> None:
        """Note that the timeline continues inexactly: the next random access point begins a segment
        in a new run, or in ``run``."""
        self._run = run or secrets.token_hex(8)
        self._must_begin = self._has_new_shift = True

    def change_formats(self) -> None:
        """Note that the formats change: the next random access point begins a segment."""
        self._format_number += 1
        self._must_begin = self._has_new_shift = True

    def anchor(self, dts: int, utc_us: int) -> None:
        """Note the wall clock of ``dts``. It applies to the segments that begin from now on."""
        self._anchor = (dts, utc_us)

    def place(self, unit: AccessUnit, *, is_video: bool) -> Iterator[TimelineSegment]:
        """Yield the records to append before ``unit``, the next unit of the reference track."""
        if self._resumed:
            last = self.last
            assert last is not None
            if unit.dts < last.dts:
                return  # readers have the segments before the one that the grid continues with
            # Gaps, formats and anchors so far precede this segment. Its record has their effect.
            self._resumed = self._must_begin = self._has_new_shift = False
            self._run, self._format_number = last.run, last.format_number
            self._anchor = (last.anchor_dts, us_of(last.anchor_utc))
            yield last
            if unit.dts == last.dts:
                return
        if self._begins(unit, is_video=is_video):
            yield self._begin(unit, is_video=is_video)

    def _begins(self, unit: AccessUnit, *, is_video: bool) -> bool:
        if not unit.is_random_access or (self._floor is not None and unit.dts <= self._floor):
            return False
        if self._must_begin or self.last is None:
            return True
        wanted = self.segment_seconds * TICKS_PER_SECOND
        return unit.dts - self.last.dts >= (wanted * 3 // 4 if is_video else wanted)

    def _begin(self, unit: AccessUnit, *, is_video: bool) -> TimelineSegment:
        last = self.last
        shift = unit.pts - unit.dts if is_video else 0
        if last is not None and not self._has_new_shift:
            shift = last.shift
        target = 2 * self.segment_seconds
        if last is not None:
            target = max(target, last.target_seconds)
            duration = unit.dts - last.dts
            if duration > target * TICKS_PER_SECOND:
                target = -(-duration // TICKS_PER_SECOND) + 1
        segment = TimelineSegment(
            run=self._run,
            number=self._number,
            dts=unit.dts,
            pts=unit.pts,
            shift=shift,
            format_number=self._format_number,
            target_seconds=target,
            anchor_dts=self._anchor[0],
            anchor_utc=datetime_of(self._anchor[1]),
        )
        self.last = segment
        self._number += 1
        self._must_begin = self._has_new_shift = False
        self._floor = None
        return segment


def resumed_grid(resume: LegAck, segment_seconds: int, start_dts: int, *, is_whole: bool) -> Grid:
    """Return the grid with which a hub continues from the map ``resume`` at ``start_dts``.

    ``is_whole``: no content is known to be missing before that place."""
    known = resume.grid
    if known is not None and is_whole and start_dts <= known.place_dts:
        return Grid.resumed(known)
    numbers = numbers_of(resume)
    if known is not None:
        segment_seconds = known.segment_seconds
    return Grid.inexact(segment_seconds, numbers, floor=resume.last_out_dts)


def numbers_of(resume: LegAck) -> Numbers | None:
    """Return the highest numbers of an acknowledgement; None when it has no grid."""
    grid = resume.grid
    return None if grid is None else Numbers(grid.newest_number, grid.newest_format_number)
