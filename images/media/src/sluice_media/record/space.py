"""The recorder's estimate of the free space in the store.

In: the usage that the store pod has counted (``usage.json``), the free space of a mounted volume,
and the bytes that this recorder has stored since or still holds. Out: full or not. The store counts
as full at a *reserve*, so that a recording ends as a complete file, and so that a volume keeps room
for the MP4s of its chunks. Figures that cannot be read never stop a recording.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from sluice_media.contract import FileState, RecordedFile
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.record.chunks import ClosedChunk
from sluice_media.recording.keys import result_key
from sluice_media.recording.merge import MergedFile
from sluice_media.recording.usage import StoreUsage, read_usage
from sluice_media.storage.errors import StorageError
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore

RESERVE_BYTES = 64 << 20
RESERVE_SECONDS = 10.0
RESERVE_SHARE = 0.1
"""Maximum reserve, as a fraction of the limit."""
CLOCK_TOLERANCE = timedelta(seconds=5)
"""Tolerance between the clocks of the store pod and of the recorder. Chunks within it are counted
twice rather than not at all."""

_log = structlog.get_logger(__name__)

Identity = tuple[str, int]


def reserve_bytes(limit_bytes: int, rate_bytes: float) -> int:
    """Return the distance from the limit at which a recording stops. ``rate_bytes`` is the
    stream's, per second."""
    wanted = max(RESERVE_BYTES, RESERVE_SECONDS * rate_bytes)
    return round(min(wanted, RESERVE_SHARE * limit_bytes))


@dataclass(slots=True)
class _FileBytes:
    index: int
    stored_bytes: int = 0
    is_closed: bool = False


@dataclass(slots=True)
class SpaceEstimate:
    """The figures of one recorder for the estimate."""

    storage: ObjectStore
    prefix: str
    usage: StoreUsage | None = None
    available_bytes: int | None = None
    """Free space of the volume at the last measurement; None when there is no volume."""
    making_bytes: int = 0
    """Bytes on the volume of MP4s whose chunks are still there, or that are not noted yet."""
    rate_bytes: float = 0.0
    _files: dict[Identity, _FileBytes] = field(default_factory=dict)
    """Files without an MP4."""
    _stored: deque[tuple[datetime, int]] = field(default_factory=deque)
    """Time and size of each chunk that this attempt stored since the usage was counted."""
    _stored_bytes: int = 0
    """Sum of the sizes in ``_stored``."""
    _stored_since_look: int = 0

    def restore(self, merged: list[MergedFile], attempt: str) -> None:
        """Add the chunks of earlier attempts that are in the store."""
        for file in merged:
            size = sum(c.entry.size_bytes for c in file.chunks if c.attempt != attempt)
            identity = (file.timeline, file.first_dts)
            self._files[identity] = _FileBytes(file.index, size, file.closed)

    def stored(self, chunk: ClosedChunk, now: datetime) -> None:
        entry, file = chunk.entry, chunk.file
        ticks = max(1, entry.end_dts - entry.first_dts)
        self.rate_bytes = entry.size_bytes * TICKS_PER_SECOND / ticks
        self._stored.append((now, entry.size_bytes))
        self._stored_bytes += entry.size_bytes
        self._stored_since_look += entry.size_bytes
        known = self._files.setdefault(file.identity, _FileBytes(file.index))
        known.stored_bytes += entry.size_bytes

    def closed(self, identity: Identity) -> None:
        if identity in self._files:
            self._files[identity].is_closed = True

    async def look(self) -> None:
        """Measure the free space of the volume, which is cheap. A volume that cannot be measured
        counts as unlimited."""
        try:
            closed = [file.index for file in self._files.values() if file.is_closed]
            self.making_bytes = await asyncio.to_thread(self._count_making, closed)
            self.available_bytes = await asyncio.to_thread(self.storage.available_bytes)
            self._stored_since_look = 0
        except OSError as error:
            _log.warning("volume_not_readable", error=error.strerror)
            self.available_bytes = None

    async def refresh(self) -> None:
        """Read the store pod's usage, and the MP4s that exist by now."""
        await self.look()
        try:
            usage = await read_usage(self.storage)
            if usage is not None:
                self.usage = usage
                self._forget_counted(usage)
            for identity, file in list(self._files.items()):
                if file.is_closed and await self._is_made(file.index):
                    del self._files[identity]
        except StorageError as error:
            _log.warning("usage_not_readable", reason=error.reason)

    def is_full(self, pending_bytes: int) -> bool:
        """Return whether the store is full. ``pending_bytes`` are recorded, but not stored yet."""
        return self._is_at_limit(pending_bytes) or self._is_at_end(pending_bytes)

    def _is_at_limit(self, pending_bytes: int) -> bool:
        usage = self.usage
        if usage is None:
            return False
        if usage.exceeded:
            return True
        if usage.limit_bytes is None:
            return False
        used = usage.used_bytes + self._stored_bytes + pending_bytes
        return used >= usage.limit_bytes - reserve_bytes(usage.limit_bytes, self.rate_bytes)

    def _is_at_end(self, pending_bytes: int) -> bool:
        if self.available_bytes is None:
            return False
        free = self.available_bytes - self._stored_since_look - pending_bytes
        unmade = sum(file.stored_bytes for file in self._files.values()) + pending_bytes
        # What an MP4 took already is not needed once more, and comes back when its chunks go.
        return free < RESERVE_BYTES or free + self.making_bytes < unmade + RESERVE_BYTES

    def _count_making(self, closed: list[int]) -> int:
        """Return the bytes of unfinished MP4s. ``closed`` has the indexes of files without a noted
        MP4. Raises OSError."""
        size = self.storage.in_making_bytes()
        if self.storage.root is not None:
            folder = self.storage.root / self.prefix
            for path in (p for index in closed for p in folder.glob(f"*-{index:03d}.mp4")):
                with suppress(FileNotFoundError):
                    size += path.stat().st_size
        return size

    def _forget_counted(self, usage: StoreUsage) -> None:
        counted = usage.observed_at - CLOCK_TOLERANCE
        while self._stored and self._stored[0][0] < counted:
            self._stored_bytes -= self._stored.popleft()[1]

    async def _is_made(self, index: int) -> bool:
        result = await load(self.storage, result_key(self.prefix, index), RecordedFile)
        return result is not None and result.state != FileState.FAILED
