"""Whether what is recorded next can be kept: the store's limit, and the end of its volume.

Comes in: what the store pod has counted (``usage.json``), the free space where it can be seen,
what this recorder has stored since and still holds. Goes out: one word, full or not. It is full
at a *reserve*, so that a recording ends as a complete file; and a volume must keep room for the
MP4s of the chunks that are on it. What cannot be read never stops a recording.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from sluice_media.contract import RecordedFile
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
"""Of the limit, at most."""
CLOCK_TOLERANCE = timedelta(seconds=5)
"""Between the store pod's clock and ours; what lies between is counted twice rather than never."""

_log = structlog.get_logger(__name__)

Identity = tuple[str, int]


def reserve_bytes(limit_bytes: int, rate_bytes: float) -> int:
    """So far below the limit a recording stops; ``rate_bytes``: of the stream, per second."""
    wanted = max(RESERVE_BYTES, RESERVE_SECONDS * rate_bytes)
    return round(min(wanted, RESERVE_SHARE * limit_bytes))


@dataclass(slots=True)
class _FileBytes:
    index: int
    stored_bytes: int = 0
    is_closed: bool = False


@dataclass(slots=True)
class Headroom:
    storage: ObjectStore
    prefix: str
    usage: StoreUsage | None = None
    available_bytes: int | None = None
    """Free space of the volume, when it was last looked at."""
    making_bytes: int = 0
    """What MP4s took of it whose chunks were not gone yet, or which are ours and not noted yet."""
    rate_bytes: float = 0.0
    _files: dict[Identity, _FileBytes] = field(default_factory=dict)
    """Those of which the MP4 is not there yet."""
    _stored: deque[tuple[datetime, int]] = field(default_factory=deque)
    """What this attempt stored since the usage was counted, and when."""
    _stored_bytes: int = 0
    """Sum of the same."""
    _stored_since_look: int = 0

    def restore(self, merged: list[MergedFile], attempt: str) -> None:
        """Counts what earlier attempts have in the store."""
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
        """Asks the volume. Cheap; a volume that does not answer has no end."""
        try:
            closed = [file.index for file in self._files.values() if file.is_closed]
            self.making_bytes = await asyncio.to_thread(self._count_making, closed)
            self.available_bytes = await asyncio.to_thread(self.storage.available_bytes)
            self._stored_since_look = 0
        except OSError as error:
            _log.warning("volume_not_readable", error=error.strerror)
            self.available_bytes = None

    async def refresh(self) -> None:
        """Reads what the store pod says, and which MP4s are there by now."""
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
        """``pending_bytes``: recorded, but not in the store yet."""
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
        """``closed``: indexes of our files of which no MP4 is noted yet. Raises OSError."""
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
        return result is not None and result.state != "Failed"
