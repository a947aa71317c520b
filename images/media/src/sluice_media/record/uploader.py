"""Brings closed chunks and the journal into the store, in order, however long that takes.

Order is what makes the journal true: a chunk is put, verified, named in the journal, the journal
is put, and only then the chunk leaves the spool and the hub hears that its units are durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from sluice_media.record.chunks import ClosedChunk, index_path
from sluice_media.record.journal import Completion, FileEntry, Journal
from sluice_media.store.keys import chunk_key, done_key, journal_key
from sluice_media.store.target import Target, TargetError

__all__ = ["FileClosed", "StopRequested", "Uploader"]

_RETRY_MIN_SECONDS = 0.2
_RETRY_MAX_SECONDS = 10.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class FileClosed:
    file: FileEntry
    """With its end; without chunks."""


@dataclass(slots=True, frozen=True)
class StopRequested:
    at: datetime


Item = ClosedChunk | FileClosed | StopRequested | Completion


class Uploader:
    """The way into the store for one attempt. Run :meth:`run` as a task.

    ``spool_limit_bytes`` bounds what may wait: :meth:`room` blocks beyond it, so that the recorder
    stops reading; the hub's ring then holds what comes, as long as it reaches.
    """

    def __init__(
        self,
        target: Target,
        prefix: str,
        journal: Journal,
        *,
        spool_limit_bytes: int,
        on_durable: Callable[[ClosedChunk], Awaitable[None]],
        on_refused: Callable[[TargetError], None] = lambda error: None,
    ) -> None:
        self._target = target
        self._prefix = prefix
        self._journal = journal
        self._limit = spool_limit_bytes
        self._on_durable = on_durable
        self._on_refused = on_refused
        self._items: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self.pending_bytes = 0
        self.error: TargetError | None = None
        """Why the store takes nothing at the moment."""
        self.completed = asyncio.Event()
        """Set when a Completion is in the store."""

    @property
    def pending_chunks(self) -> int:
        return sum(isinstance(item, ClosedChunk) for item in self._items)

    def put(self, *items: Item) -> None:
        """Queues items; they reach the store in this order."""
        for item in items:
            if isinstance(item, ClosedChunk):
                self.pending_bytes += item.entry.size_bytes
            self._items.append(item)
        if items:
            self._idle.clear()
            self._wake.set()
        if self.pending_bytes >= self._limit:
            self._room.clear()

    async def room(self) -> None:
        """Waits until the spool may take more."""
        await self._room.wait()

    async def drained(self) -> None:
        """Waits until everything queued is in the store."""
        await self._idle.wait()

    async def run(self) -> None:
        """Endless; cancel it."""
        while True:
            while not self._items:
                self._wake.clear()
                self._idle.set()
                await self._wake.wait()
            await self._until_stored(self._items[0])
            item = self._items.popleft()
            if isinstance(item, ClosedChunk):
                self.pending_bytes -= item.entry.size_bytes
                if self.pending_bytes < self._limit:
                    self._room.set()
                await self._on_durable(item)

    async def _until_stored(self, item: Item) -> None:
        delay = _RETRY_MIN_SECONDS
        while True:
            try:
                await self._store(item)
            except TargetError as error:
                self._on_refused(error)
                if self.error is None or self.error.reason != error.reason:
                    _log.warning("store_refuses", reason=error.reason, error=str(error))
                self.error = error
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_SECONDS)
            else:
                self.error = None
                return

    async def _store(self, item: Item) -> None:
        match item:
            case ClosedChunk(path=path, file=file, entry=entry):
                key = chunk_key(self._prefix, self._journal.attempt, entry.name)
                if await asyncio.to_thread(
                    path.exists
                ):  # gone: it is stored and named, only the caller was interrupted
                    await self._target.put_file(key, path)
                known = self._file(file)
                chunks = [c for c in known.chunks if c.name != entry.name]
                await self._put_journal(file.model_copy(update={"chunks": [*chunks, entry]}))
                _remove(path)
            case FileClosed(file=file):
                known = self._file(file)
                await self._put_journal(file.model_copy(update={"chunks": known.chunks}))
            case StopRequested(at=at):
                self._journal = self._journal.model_copy(update={"stop_requested_at": at})
                await self._put_journal(None)
            case Completion():
                await self._target.put(done_key(self._prefix), item.to_json().encode())
                self.completed.set()

    def _file(self, file: FileEntry) -> FileEntry:
        for known in self._journal.files:
            if (known.timeline, known.first_dts) == (file.timeline, file.first_dts):
                return known
        return file

    async def _put_journal(self, file: FileEntry | None) -> None:
        journal = self._journal
        if file is not None:
            identity = (file.timeline, file.first_dts)
            files = [f for f in journal.files if (f.timeline, f.first_dts) != identity]
            files.append(file)
            journal = journal.model_copy(update={"files": files})
        key = journal_key(self._prefix, journal.attempt)
        await self._target.put(key, journal.to_json().encode())
        self._journal = journal


def _remove(chunk: Path) -> None:
    chunk.unlink(missing_ok=True)
    index_path(chunk).unlink(missing_ok=True)
