"""A bounded queue of units that starts each connection at a random access point (pure).

Units of the timeline come in, units for the present connection go out. The feeder also keeps all
units since the last random access point, so that a new connection starts at once and need not wait
for the next keyframe. When a target is too slow, the feeder drops whole groups of pictures, never
single units: the target's decoder then finds no reference to a unit that it did not get.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat, TrackKind

MAX_QUEUE_BYTES = 32 << 20
MAX_QUEUE_SECONDS = 20.0
LATE_SECONDS = 12.0
"""Length of the queue above which a random access point makes it lose its first group of pictures.
It is longer than a target may stall before its connection is given up, so that a stall which ends
in time loses nothing."""
MIN_GROUP_SECONDS = 1.0
"""Minimum length of the kept group. Where every unit is a random access point (audio only,
intra-only video), a connection still starts with the media since it was requested."""
_RATE_WINDOW_TICKS = 5 * TICKS_PER_SECOND


class QueuedUnit(NamedTuple):
    """A unit and the tracks that are valid with it."""

    unit: AccessUnit
    formats: tuple[TrackFormat, ...]
    """Tracks from this unit on; the same object until the tracks change."""


class _Group:
    """Units in order, with their size."""

    __slots__ = ("bytes", "items")

    def __init__(self, items: Collection[QueuedUnit] = ()) -> None:
        self.items = deque(items)
        self.bytes = sum(len(item.unit.payload) for item in items)

    def append(self, item: QueuedUnit) -> None:
        self.items.append(item)
        self.bytes += len(item.unit.payload)

    def popleft(self) -> QueuedUnit:
        item = self.items.popleft()
        self.bytes -= len(item.unit.payload)
        return item

    @property
    def seconds(self) -> float:
        if not self.items:
            return 0.0
        return (self.items[-1].unit.dts - self.items[0].unit.dts) / TICKS_PER_SECOND


class Feeder:
    """The queue between the timeline and a connection."""

    def __init__(
        self,
        *,
        max_bytes: int = MAX_QUEUE_BYTES,
        max_seconds: float = MAX_QUEUE_SECONDS,
        late_seconds: float = LATE_SECONDS,
        min_group_seconds: float = MIN_GROUP_SECONDS,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._late_seconds = late_seconds
        self._min_group_seconds = min_group_seconds
        self._formats: tuple[TrackFormat, ...] = ()
        self._reference_track = 0
        self._group: _Group | None = None
        """Units since the last random access point. None before the first one, and when they became
        too many."""
        self._queue: _Group | None = None
        """Units that the present connection has not taken yet; None without a connection."""
        self._skipping = False
        """True while the queue waits for a random access point."""
        self._rate: deque[tuple[int, int]] = deque()
        self._rate_bytes = 0
        self.handed_bytes = 0
        """Payload bytes that were queued for the present connection, without the dropped ones."""
        self.dropped_units = 0
        """Number of units that a connection did not get because it was too slow."""
        self.dropped_frames = 0
        """Number of pictures (audio frames of a stream without video) among the dropped units."""
        self.dropped_bytes = 0
        """Payload bytes of the dropped units."""

    @property
    def formats(self) -> tuple[TrackFormat, ...]:
        return self._formats

    @property
    def queued_bytes(self) -> int:
        return self._queue.bytes if self._queue is not None else 0

    @property
    def queued_seconds(self) -> float:
        return self._queue.seconds if self._queue is not None else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Rate of the media over its last five seconds; 0 when there is too little media."""
        if len(self._rate) < 2:
            return 0.0
        ticks = self._rate[-1][0] - self._rate[0][0]
        return self._rate_bytes * TICKS_PER_SECOND / ticks if ticks > 0 else 0.0

    def set_formats(self, formats: Sequence[TrackFormat]) -> None:
        """Set the tracks from the next unit on. Queued units keep their own tracks."""
        if tuple(formats) == self._formats:
            return
        before = {f for f in self._formats if f.track == self._reference_track}
        self._formats = tuple(formats)
        if not before & set(formats):
            # A new connection must not begin with tracks that the stream no longer has.
            self._group = None
        video = [f.track for f in formats if f.kind is TrackKind.VIDEO]
        self._reference_track = video[0] if video else min((f.track for f in formats), default=0)

    def add(self, unit: AccessUnit) -> None:
        """Queue a unit of the timeline, and drop units when the queue is over its limits."""
        item = QueuedUnit(unit, self._formats)
        self._measure(unit)
        starts = self._starts(unit)
        if starts:
            self._skipping = False
            if self._group is None or self._group.seconds >= self._min_group_seconds:
                self._group = _Group()
        if self._group is not None:
            self._group.append(item)
            if self._is_over(self._group):
                self._group = None
        if self._queue is None:
            return
        if self._skipping:
            self._count_dropped(item)
            return
        self._queue.append(item)
        self.handed_bytes += len(unit.payload)
        late = starts and self._queue.seconds > self._late_seconds
        if late or self._is_over(self._queue):
            self._drop(self._queue)

    def attach(self) -> None:
        """Begin a connection's queue, with all units since the last random access point."""
        self._queue = _Group(self._group.items if self._group is not None else ())
        self._skipping = self._group is None
        self.handed_bytes = self._queue.bytes

    def detach(self) -> None:
        """End the connection's queue and forget the units in it."""
        self._queue = None
        self.handed_bytes = 0

    def take(self, max_bytes: int) -> list[QueuedUnit]:
        """Remove and return the next units for the connection: at least one if there is any, until
        ``max_bytes`` of payload are reached."""
        taken: list[QueuedUnit] = []
        size = 0
        queue = self._queue
        while queue is not None and queue.items and size < max_bytes:
            item = queue.popleft()
            size += len(item.unit.payload)
            taken.append(item)
        return taken

    def clear(self) -> None:
        """Forget all media, because another timeline follows."""
        self._group = None
        self._rate.clear()
        self._rate_bytes = 0
        if self._queue is not None:
            self._queue = _Group()
            self._skipping = True

    def _is_over(self, group: _Group) -> bool:
        return group.bytes > self._max_bytes or group.seconds > self._max_seconds

    def _starts(self, unit: AccessUnit) -> bool:
        return unit.track == self._reference_track and unit.is_random_access

    def _drop(self, queue: _Group) -> None:
        """Drop units up to a random access point that brings the queue below its limits. When there
        is none, drop all units and wait for the next random access point."""
        while queue.items:
            item = queue.popleft()
            self.handed_bytes -= len(item.unit.payload)
            self._count_dropped(item)
            if queue.items and self._starts(queue.items[0].unit) and not self._is_over(queue):
                return
        self._skipping = True

    def _count_dropped(self, item: QueuedUnit) -> None:
        self.dropped_units += 1
        self.dropped_frames += item.unit.track == self._reference_track
        self.dropped_bytes += len(item.unit.payload)

    def _measure(self, unit: AccessUnit) -> None:
        size = len(unit.payload)
        if self._rate and unit.dts < self._rate[-1][0] - _RATE_WINDOW_TICKS:
            self._rate.clear()
            self._rate_bytes = 0
        self._rate.append((unit.dts, size))
        self._rate_bytes += size
        while unit.dts - self._rate[0][0] > _RATE_WINDOW_TICKS:
            self._rate_bytes -= self._rate.popleft()[1]
