"""The figures of the playback benchmark, and those beyond their limits."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["Report", "percentile"]


def percentile(samples: Sequence[float], share: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


class Report:
    """Prints figures as they come."""

    def __init__(self) -> None:
        self.beyond: list[str] = []

    def begin(self, piece: str) -> None:
        """Print the name of a piece, and the load of the machine, which other programs share."""
        print(f"== {piece} (load of this machine: {os.getloadavg()[0]:.1f})", flush=True)

    def note(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def figure(
        self, name: str, value: float, unit: str, *, limit: float, goal: float | None = None
    ) -> None:
        """Print a figure, which must not exceed its limit."""
        wanted = f"limit {limit:g}" + ("" if goal is None else f", goal {goal:g}")
        line = f"{name}: {value:.2f}{unit and f' {unit}'} ({wanted})"
        is_beyond = value > limit
        print(f"   {'BEYOND' if is_beyond else 'within'}  {line}", flush=True)
        if is_beyond:
            self.beyond.append(line)
