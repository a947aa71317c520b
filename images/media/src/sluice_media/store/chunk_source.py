"""The bytes of a file's chunks, one after another, read ahead so that FFmpeg never waits.

Each chunk is read as a whole and compared with its digest in the journal, because the chunks are
deleted afterwards. A failed read is retried for some minutes, so that an MP4 of four hours is not
started again for a reset connection. A chunk that does not exist, or whose digest differs at each
try, is permanently lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import structlog

from sluice_media.contract import TrackInfo
from sluice_media.recording.keys import chunk_key
from sluice_media.recording.merge import MergedChunk
from sluice_media.storage.errors import MissingObjectError, StorageError, explain
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.retime import retime
from sluice_media.store.trim import TrackCut, count_units, track_pids, trim

AHEAD_BYTES = 32 << 20
"""Maximum size of the chunks that are read ahead; a single chunk may be larger."""
AHEAD_CHUNKS = 8
RETRY_SECONDS: tuple[float, ...] = (0.5, 1, 2, 4, 8, 15, 30, 30, 30, 30, 30, 30, 30, 30)
_DAMAGED_RETRIES = 3
T = TypeVar("T")
_log = structlog.get_logger(__name__)


ChunkId = tuple[str, str]
"""Attempt and name."""


class Loss(StrEnum):
    """The permanent fault of a chunk."""

    MISSING = "missing"
    DAMAGED = "damaged"


class ChunkError(RuntimeError):
    """Chunks are missing or damaged in the store; the text is a sentence."""

    def __init__(self, lost: Mapping[ChunkId, Loss]) -> None:
        (_, name), loss = next(iter(lost.items()))
        message = f"chunk {name} of it is {loss} in the store"
        if len(lost) > 1:
            message += f", and {len(lost) - 1} more {'is' if len(lost) == 2 else 'are'} lost"
        super().__init__(message)
        self.lost = dict(lost)


@dataclass(slots=True)
class ChunkSource:
    """The chunks of one file, and the digests that were checked."""

    storage: ObjectStore
    prefix: str
    chunks: Sequence[MergedChunk]
    tracks: Sequence[TrackInfo]
    hash_seconds: float = 0.0
    """CPU time for digests, including the reads of a claim's files for them."""
    _trimmed: dict[ChunkId, dict[int, int]] = field(default_factory=dict)
    """Trimmed chunks that were read -> track -> number of units that are left."""
    _verified: set[ChunkId] = field(default_factory=set)

    @property
    def units(self) -> dict[int, int]:
        """Number of units in all chunks, by track. Exact once all trimmed chunks were read."""
        found: dict[int, int] = {}
        for chunk in self.chunks:
            counts = self._trimmed.get(chunk.id)
            if counts is None:
                counts = {track: span.units for track, span in chunk.entry.tracks.items()}
            for track, count in counts.items():
                found[track] = found.get(track, 0) + count
        return found

    async def blocks(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield the file as one transport stream. Close it (``aclosing``) to cancel its reads.

        Raises ChunkError and StorageError."""
        waiting = deque(self.chunks)
        ahead: deque[tuple[asyncio.Task[bytes | memoryview], int]] = deque()
        held = 0
        try:
            while waiting or ahead:
                while waiting and (not ahead or self._fits(len(ahead), held, waiting[0])):
                    chunk = waiting.popleft()
                    held += chunk.entry.size_bytes
                    task = asyncio.create_task(self._patiently(self._read, chunk))
                    ahead.append((task, chunk.entry.size_bytes))
                task, size = ahead[0]
                data = await task
                ahead.popleft()
                held -= size
                yield data
        finally:
            for task, _ in ahead:
                task.cancel()
            await asyncio.gather(*(task for task, _ in ahead), return_exceptions=True)

    async def check(self) -> None:
        """Compare all chunks with their digests. Raises ChunkError with all lost chunks, and
        StorageError."""
        if lost := await self.find_lost():
            raise ChunkError(lost)

    async def find_lost(self) -> dict[ChunkId, Loss]:
        """Compare the remaining chunks with their digests, one by one, and return the lost ones.

        Raises StorageError."""
        lost: dict[ChunkId, Loss] = {}
        check = self._fetch if self.storage.root is None else self._check
        for chunk in self.chunks:
            if chunk.id not in self._verified:
                try:
                    await self._patiently(check, chunk)
                except ChunkError as error:
                    lost |= error.lost
        return lost

    @staticmethod
    def _fits(count: int, held: int, chunk: MergedChunk) -> bool:
        return count < AHEAD_CHUNKS and held + chunk.entry.size_bytes <= AHEAD_BYTES

    async def _patiently(
        self, read: Callable[[MergedChunk], Awaitable[T]], chunk: MergedChunk
    ) -> T:
        """Read with retries. Raises ChunkError, which is permanent, and StorageError, which may be
        temporary."""
        damaged = 0
        # A claim that fails does not get better within minutes.
        delays = RETRY_SECONDS if self.storage.root is None else RETRY_SECONDS[:1]
        for attempt, delay in enumerate((*delays, None)):
            try:
                return await read(chunk)
            except MissingObjectError:
                raise ChunkError({chunk.id: Loss.MISSING}) from None
            except ChunkError:
                damaged += 1
                if delay is None or damaged >= _DAMAGED_RETRIES:
                    raise
            except StorageError as error:
                if delay is None:
                    raise
                if not attempt:
                    _log.warning("chunk_not_readable_yet", reason=error.reason, error=str(error))
            await asyncio.sleep(delay)
        raise AssertionError("the last try returns or raises")

    async def _check(self, chunk: MergedChunk) -> None:
        assert self.storage.root is not None
        try:
            found = await asyncio.to_thread(_digest, self.storage.root / self._key(chunk))
        except OSError as error:
            raise explain(error) from None
        self._compare(chunk, *found)

    async def _fetch(self, chunk: MergedChunk) -> memoryview:
        data = await self.storage.read(self._key(chunk), 0, chunk.entry.size_bytes)
        self._compare(chunk, *await asyncio.to_thread(_digest, data))
        return data

    async def _read(self, chunk: MergedChunk) -> bytes | memoryview:
        entry = chunk.entry
        data: bytes | memoryview = await self._fetch(chunk)
        if chunk.skip_through is not None:
            cuts = {
                track: TrackCut(span.first_dts, chunk.skip_through.get(track))
                for track, span in entry.tracks.items()
            }
            pids = track_pids(self.tracks)
            data = await asyncio.to_thread(trim, bytes(data), pids, cuts)
            self._trimmed[chunk.id] = count_units(data, pids)
        if chunk.media is not None:
            data = await asyncio.to_thread(retime, data, entry.first_dts, chunk.media)
        return data

    def _key(self, chunk: MergedChunk) -> str:
        return chunk_key(self.prefix, chunk.attempt, chunk.entry.name)

    def _compare(self, chunk: MergedChunk, digest: str, seconds: float) -> None:
        self.hash_seconds += seconds
        if chunk.entry.sha256 and digest != chunk.entry.sha256:
            raise ChunkError({chunk.id: Loss.DAMAGED})
        self._verified.add(chunk.id)


def _digest(data: memoryview | Path) -> tuple[str, float]:
    """Return the SHA-256 of bytes or of a file, and the CPU seconds that it took."""
    began = time.thread_time()
    if isinstance(data, Path):
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    else:
        digest = hashlib.sha256(data)
    return digest.hexdigest(), time.thread_time() - began
