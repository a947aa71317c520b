"""The media time of a file: its length and positions without holes (pure).

In: the ranges of DTS that units cover, in any order. Out: the length of the media without holes,
the position of a DTS in it, and the holes. Durations, splits, limits, the positions of gaps and the
times in the MP4 all follow from this module.
"""

from __future__ import annotations

from sluice_media.formats.units import TICKS_PER_SECOND

HOLE_TICKS = 2 * TICKS_PER_SECOND
"""A longer time without a unit of any track is a hole. A shorter one may be a slow camera."""


class MediaTime:
    """The media of one file, or of one chunk."""

    __slots__ = ("_runs",)

    def __init__(self, *runs: tuple[int, int]) -> None:
        """``runs`` are ranges from a first DTS to an end DTS."""
        self._runs: list[list[int]] = []
        for first, end in runs:
            self.add(first, end)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Ranges without a hole, in order."""
        return [(first, end) for first, end in self._runs]

    @property
    def holes(self) -> list[tuple[int, int]]:
        """Holes between two runs: from the end of one to the first DTS of the next."""
        runs = self._runs
        return [(runs[n][1], runs[n + 1][0]) for n in range(len(runs) - 1)]

    @property
    def total_ticks(self) -> int:
        return sum(end - first for first, end in self._runs)

    def add(self, first: int, end: int) -> None:
        """Take note of media from ``first`` to ``end``."""
        runs = self._runs
        if runs:
            last = runs[-1]
            if last[0] <= first <= last[1] + HOLE_TICKS:
                if end > last[1]:
                    last[1] = end
                return
        self._insert(first, max(first, end))

    def _insert(self, first: int, end: int) -> None:
        runs = sorted([*self._runs, [first, end]])
        joined = runs[:1]
        for run in runs[1:]:
            if run[0] <= joined[-1][1] + HOLE_TICKS:
                joined[-1][1] = max(joined[-1][1], run[1])
            else:
                joined.append(run)
        self._runs = joined

    def remove(self, first: int, end: int) -> None:
        """Take note that media from ``first`` to ``end`` is lost."""
        kept = []
        for begins, ends in self._runs:
            kept += [[begins, min(ends, first)], [max(begins, end), ends]]
        self._runs = [run for run in kept if run[0] < run[1]]

    def cut(self, dts: int) -> None:
        """Remove media at ``dts`` and later."""
        self._runs = [[first, min(end, dts)] for first, end in self._runs if first < dts]

    def before(self, dts: int) -> int:
        """Return the position of a DTS: ticks of media before it."""
        ticks = 0
        for first, end in self._runs:
            if dts <= end:
                return ticks + max(0, dts - first)
            ticks += end - first
        beyond = dts - self._runs[-1][1] if self._runs else 0
        return ticks + (beyond if beyond <= HOLE_TICKS else 0)

    def removed_before(self, dts: int) -> int:
        """Return the ticks of all holes before a DTS, by which it is earlier in the MP4."""
        return sum(min(dts, end) - first for first, end in self.holes if first < dts)

    def is_hole(self, dts: int) -> bool:
        """Return whether a unit at ``dts`` would begin another run at the end."""
        return bool(self._runs) and dts > self._runs[-1][1] + HOLE_TICKS
