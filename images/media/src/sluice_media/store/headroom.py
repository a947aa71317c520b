"""How much a store holds, how fast it grows and when that ends (pure; the clock is passed in).

Comes in: sizes by folder (``recordings/<uid>`` is one), the limit and what the volume says. Goes
out: :class:`Headroom`. Growth is what recorders add; that files are replaced by MP4s and deleted
says nothing of the next hour, so a shrinking folder counts for nothing there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

HeadroomWord = Literal["Unknown", "Enough", "AlmostExceeded", "Exceeded"]

RESERVE_BYTES = 64 << 20
"""Of a volume; the file system and journals need some. At most a hundredth of it."""
GROWTH_SECONDS = 600.0
"""The last minutes that the rate is taken from."""
_GROWTH_MIN_SECONDS = 20.0


def folder_of(key: str) -> str:
    """What an object is counted under: its first two segments."""
    return "/".join(key.split("/")[:2])


class Ledger:
    """Bytes by folder, and the rate at which they grew."""

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}
        self._added = 0
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def used_bytes(self) -> int:
        return sum(self._folders.values())

    def replace(self, folders: dict[str, int]) -> None:
        """A full count: what stands there is all there is."""
        self._folders = dict(folders)

    def update(self, folder: str, size_bytes: int, *, grows: bool, now: float) -> None:
        """A count of one folder. ``grows``: a recorder writes into it."""
        before = self._folders.get(folder, 0)
        if grows:
            self._added += max(0, size_bytes - before)
        if size_bytes:
            self._folders[folder] = size_bytes
        else:
            self._folders.pop(folder, None)
        self.sample(now)

    def sample(self, now: float) -> None:
        """Notes the sum of what was added so far; ``now`` in seconds of any steady clock."""
        if self._samples and self._samples[-1][0] == now:
            self._samples.pop()
        self._samples.append((now, self._added))
        while now - self._samples[0][0] > GROWTH_SECONDS:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float:
        """0 when nothing grows, or it is too early to tell."""
        if not self._samples:
            return 0.0
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last - first >= _GROWTH_MIN_SECONDS else 0.0


@dataclass(slots=True, frozen=True)
class DiskSpace:
    """What a local store's file system says."""

    capacity_bytes: int
    available_bytes: int


@dataclass(slots=True, frozen=True)
class Headroom:
    word: HeadroomWord
    limit_bytes: int | None
    """What it was measured against: the limit, or the size of the volume."""
    room_bytes: int | None
    """How much more fits; None: no end can be seen."""
    seconds_to_full: int | None


def measure(
    ledger: Ledger, *, limit_bytes: int | None, volume: DiskSpace | None, warn_at_percent: int
) -> Headroom:
    """Against the limit or the volume, whichever ends first."""
    used = ledger.used_bytes
    ends: list[tuple[int, int, int, int]] = []  # room, limit, taken of it, taken when full
    if limit_bytes is not None:
        ends.append((max(0, limit_bytes - used), limit_bytes, used, limit_bytes))
    if volume is not None:
        full = volume.capacity_bytes - min(RESERVE_BYTES, volume.capacity_bytes // 100)
        taken = volume.capacity_bytes - volume.available_bytes
        ends.append((max(0, full - taken), volume.capacity_bytes, taken, full))
    if not ends:
        return Headroom("Enough", None, None, None)
    room, limit, taken, full = min(ends)
    word: HeadroomWord = "Enough"
    if taken >= full:
        word = "Exceeded"
    elif taken * 100 >= limit * warn_at_percent:
        word = "AlmostExceeded"
    rate = ledger.bytes_per_second
    return Headroom(word, limit, room, int(room / rate) if rate > 0 else None)
