"""The headroom of a store: its free space, and when it is full (pure; the caller passes the clock).

In: sizes by folder (``recordings/<uid>`` is one), the limit, the volume's figures. Out:
:class:`Headroom`. Only bytes that recorders add count as growth. A folder shrinks when MP4s replace
chunks or files are deleted; that does not predict the next hour, and is ignored.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sluice_media.contract import HeadroomState

RESERVE_BYTES = 64 << 20
"""Reserve of a volume for the file system and journals, at most 1 % of the volume."""
GROWTH_SECONDS = 600.0
"""Period over which the growth rate is measured."""
_GROWTH_MIN_SECONDS = 20.0


def folder_of(key: str) -> str:
    """Return the folder under which an object is counted: the first two segments of its key."""
    return "/".join(key.split("/")[:2])


class FolderSizes:
    """Bytes by folder, and the rate at which they grew."""

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}
        self._added = 0
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def used_bytes(self) -> int:
        return sum(self._folders.values())

    def replace(self, folders: dict[str, int]) -> None:
        """Replace all sizes after a full count."""
        self._folders = dict(folders)

    def update(self, folder: str, size_bytes: int, *, grows: bool, now: float) -> None:
        """Set the size of one folder. ``grows`` is true when a recorder writes into it."""
        before = self._folders.get(folder, 0)
        if grows:
            self._added += max(0, size_bytes - before)
        if size_bytes:
            self._folders[folder] = size_bytes
        else:
            self._folders.pop(folder, None)
        self.sample(now)

    def sample(self, now: float) -> None:
        """Note the bytes added so far; ``now`` is in seconds of any monotonic clock."""
        if self._samples and self._samples[-1][0] == now:
            self._samples.pop()
        self._samples.append((now, self._added))
        while now - self._samples[0][0] > GROWTH_SECONDS:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float:
        """Growth rate; 0 when nothing grows, or before 20 s of samples."""
        if not self._samples:
            return 0.0
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last - first >= _GROWTH_MIN_SECONDS else 0.0


@dataclass(slots=True, frozen=True)
class DiskSpace:
    """The size and free space of a local store's file system."""

    capacity_bytes: int
    available_bytes: int


@dataclass(slots=True, frozen=True)
class Headroom:
    """The free space of a store."""

    word: HeadroomState
    limit_bytes: int | None
    """The store's limit or the size of its volume; None: neither is known."""
    room_bytes: int | None
    """Free bytes up to the limit; None: no limit is known."""
    seconds_to_full: int | None


def measure(
    sizes: FolderSizes, *, limit_bytes: int | None, volume: DiskSpace | None, warn_at_percent: int
) -> Headroom:
    """Return the headroom up to the limit or the end of the volume, whichever comes first."""
    used = sizes.used_bytes
    ends: list[tuple[int, int, int, int]] = []  # room, limit, taken of it, taken when full
    if limit_bytes is not None:
        ends.append((max(0, limit_bytes - used), limit_bytes, used, limit_bytes))
    if volume is not None:
        full = volume.capacity_bytes - min(RESERVE_BYTES, volume.capacity_bytes // 100)
        taken = volume.capacity_bytes - volume.available_bytes
        ends.append((max(0, full - taken), volume.capacity_bytes, taken, full))
    if not ends:
        return Headroom(HeadroomState.ENOUGH, None, None, None)
    room, limit, taken, full = min(ends)
    word = HeadroomState.ENOUGH
    if taken >= full:
        word = HeadroomState.EXCEEDED
    elif taken * 100 >= limit * warn_at_percent:
        word = HeadroomState.ALMOST_EXCEEDED
    rate = sizes.bytes_per_second
    return Headroom(word, limit, room, int(room / rate) if rate > 0 else None)
