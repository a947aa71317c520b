"""SegmentTimeline of one track in one period (ISO/IEC 23009-1:2022 clause 5.3.9.6).

Segments come at the end and leave at the beginning. A change costs as much as the segments that it
concerns, also when the window has hours.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class _Run(NamedTuple):
    """Consecutive segments of equal duration."""

    start: int
    duration: int
    segments: int

    @property
    def end(self) -> int:
        return self.start + self.duration * self.segments

    def text(self, expected: int | None) -> str:
        """Return the S element. The start is left out when it is ``expected``."""
        time = "" if self.start == expected else f' t="{self.start}"'
        repeat = f' r="{self.segments - 1}"' if self.segments > 1 else ""
        return f'<S{time} d="{self.duration}"{repeat} />'


class Timeline:
    """Complete segments as runs, and their S elements."""

    def __init__(self) -> None:
        self.first: int | None = None
        """Number of the first segment; None while there is none."""
        self.next = 0
        """Number of the first segment that is not in the timeline yet."""
        self._runs: deque[_Run] = deque()
        self._head: str | None = None
        """Text of all runs but the last one."""

    def add(self, number: int, start: int, duration: int) -> None:
        """Append a segment. The segment before it is shortened when it is too long."""
        if self.first is None:
            self.first = number
        self.next = number + 1
        last = [self._runs.pop()] if self._runs else []
        self._runs += _joined(last, start, duration)
        self._head = None

    def drop_before(self, number: int) -> None:
        """Drop the segments before ``number``."""
        while self.first is not None and self.first < number:
            run = self._runs.popleft()
            count = min(run.segments, number - self.first)
            self.first += count
            if count < run.segments:
                start = run.start + count * run.duration
                self._runs.appendleft(_Run(start, run.duration, run.segments - count))
            elif not self._runs:
                self.first = None
            self._head = None

    def text(self, growing: tuple[int, int] | None) -> str:
        """Return the S elements; ``growing`` are start and duration of a segment that grows."""
        if not self._runs:
            return _Run(*growing, 1).text(None) if growing else ""
        runs = list(self._runs) if self._head is None else []
        if self._head is None:
            self._head = _texts(runs[:-1], None)
        before = self._runs[-2].end if len(self._runs) > 1 else None
        tail = [self._runs[-1]]
        if growing:
            tail = _joined(tail, *growing)
        return self._head + _texts(tail, before)


def _joined(last: list[_Run], start: int, duration: int) -> list[_Run]:
    """Return the last run, if there is one, with a segment behind it."""
    if not last:
        return [_Run(start, duration, 1)]
    (run,) = last
    if start == run.end and duration == run.duration:
        return [_Run(run.start, duration, run.segments + 1)]
    runs = [run]
    last_start = run.end - run.duration
    if last_start < start < run.end:
        runs = [_Run(last_start, start - last_start, 1)]
        if run.segments > 1:
            runs.insert(0, _Run(run.start, run.duration, run.segments - 1))
    return [*runs, _Run(start, duration, 1)]


def _texts(runs: list[_Run], expected: int | None) -> str:
    parts = []
    for run in runs:
        parts.append(run.text(expected))
        expected = run.end
    return "".join(parts)
