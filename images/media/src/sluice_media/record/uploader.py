"""The upload of closed chunks and of the journal, with retries until the store has them.

The order keeps the journal correct: a chunk is stored, verified and named in the journal, and the
journal is stored. Only then is the chunk deleted from the spool and acknowledged to the hub.
Several chunks are uploaded at once, because a store may take a second for each request. The
journal names them in their order, and one write names all that have arrived.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from sluice_media.record.carrier import Carrier, Parcel
from sluice_media.record.chunks import ClosedChunk, index_path
from sluice_media.record.fence import Fence, Verdict
from sluice_media.record.ledger import Ledger
from sluice_media.record.live_playlists import LivePlaylists
from sluice_media.recording.journal import Completion, FileEntry, sealed
from sluice_media.recording.keys import chunk_key, done_key, journal_segment_key
from sluice_media.recording.segments import SegmentedJournal
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore

_RETRY_MIN_SECONDS = 0.2
_RETRY_MAX_SECONDS = 10.0
_UNREADABLE_TRIES = 5
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Present:
    """A journal write without a chunk, so that other attempts notice this attempt at once."""


@dataclass(slots=True, frozen=True)
class FileClosed:
    """The end of a file, for the journal."""

    file: FileEntry
    """The file's entry with its end, without chunks."""


@dataclass(slots=True, frozen=True)
class StopRequested:
    """The user's stop, for the journal."""

    at: datetime


Item = Present | ClosedChunk | FileClosed | StopRequested | Completion
Queued = Parcel | Present | FileClosed | StopRequested | Completion


class Uploader:
    """The queue of one attempt's uploads. Run :meth:`run` as a task.

    ``spool_limit_bytes`` is the limit for waiting chunks. Beyond it :meth:`room` blocks, so that
    the recorder stops reading; the hub's ring then keeps the content, within its own limits.
    """

    def __init__(
        self,
        storage: ObjectStore,
        prefix: str,
        journal: SegmentedJournal,
        *,
        spool_limit_bytes: int,
        on_durable: Callable[[ClosedChunk], Awaitable[None]],
        on_refused: Callable[[StorageError], None] = lambda error: None,
        on_unreadable: Callable[[ClosedChunk], None] = lambda chunk: None,
        playlists: LivePlaylists | None = None,
        fence: Fence | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """``on_unreadable`` is called for a chunk that the spool's disk cannot read back; it is
        given up. ``fence`` is checked before the Recording is declared over. ``ledger`` gets each
        stored segment of the journal."""
        self._storage = storage
        self._prefix = prefix
        self._journal = journal
        self._limit = spool_limit_bytes
        self._on_durable = on_durable
        self._on_refused = on_refused
        self._on_unreadable = on_unreadable
        self._playlists = playlists or LivePlaylists(prefix, journal.attempt)
        self._fence = fence
        self._ledger = ledger
        self._items: deque[Queued] = deque()
        self._carrier = Carrier(self._carry)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self.pending_bytes = 0
        self.error: StorageError | None = None
        """The store's present error; None while uploads succeed."""
        self.completed = asyncio.Event()
        """Set when a Completion is in the store."""
        self.overtaken = asyncio.Event()
        """Set when another attempt is in charge of the Recording, or has finished it."""

    @property
    def pending_chunks(self) -> int:
        return sum(isinstance(item, Parcel) for item in self._items)

    @property
    def is_idle(self) -> bool:
        return not self._items

    @property
    def has_room(self) -> bool:
        return self._room.is_set()

    def put(self, *items: Item) -> None:
        """Queue items, which the journal gets in this order."""
        for item in items:
            if isinstance(item, ClosedChunk):
                self.pending_bytes += item.entry.size_bytes
                self._items.append(self._carrier.take(item))
            else:
                self._items.append(item)
        if items:
            self._idle.clear()
            self._wake.set()
        if self.pending_bytes >= self._limit:
            self._room.clear()

    async def room(self) -> None:
        """Wait until the spool is below its limit."""
        await self._room.wait()

    async def drained(self) -> None:
        """Wait until all queued items are in the store."""
        await self._idle.wait()

    async def run(self) -> None:
        """Upload items until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carrier.run())
            while True:
                while not self._items:
                    self._wake.clear()
                    self._idle.set()
                    await self._wake.wait()
                head = self._items[0]
                if isinstance(head, Parcel):
                    await head.arrived.wait()
                await self._commit(head)

    async def _carry(self, chunk: ClosedChunk) -> bool:
        return await self._until_stored(self._put_chunk, chunk)

    async def _put_chunk(self, chunk: ClosedChunk) -> None:
        entry = chunk.entry
        key = chunk_key(self._prefix, self._journal.attempt, entry.name)
        await self._storage.put_file(key, chunk.path, entry.size_bytes, entry.sha256)

    async def _until_stored(self, store: Callable[[T], Awaitable[None]], item: T) -> bool:
        """Retry until the item is stored. Return False for a chunk that the spool cannot read."""
        delay = _RETRY_MIN_SECONDS
        unreadable = 0
        while True:
            try:
                await store(item)
            except StorageError as error:
                self._on_refused(error)
                if self.error is None or self.error.reason != error.reason:
                    _log.warning("store_refuses", reason=error.reason, error=str(error))
                self.error = error
            except OSError as error:
                unreadable += 1
                _log.error("spool_not_readable", error=error.strerror, tries=unreadable)
                if isinstance(item, ClosedChunk) and unreadable >= _UNREADABLE_TRIES:
                    return False
            else:
                return True
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RETRY_MAX_SECONDS)

    async def _commit(self, head: Queued) -> None:
        """Write the items at the head of the queue that have arrived into the journal."""
        if isinstance(head, Completion):
            items: list[Queued] = [head]
            await self._until_stored(self._complete, head)
        else:
            items = [*itertools.takewhile(_can_be_noted, self._items)]
            for item in items:
                self._note(item)
            await self._until_stored(self._put_journal, None)
            await asyncio.to_thread(_remove, items)
            for item in items:
                self._list(item)
            await self._until_stored(self._put_playlists, None)
        self.error = None
        for item in items:
            self._items.popleft()
            if isinstance(item, Parcel):
                await self._release(item)

    def _note(self, item: Queued) -> None:
        match item:
            case Parcel(chunk=chunk, is_lost=True):
                self._on_unreadable(chunk)
            case Parcel(chunk=chunk):
                self._journal.note_chunk(chunk.file, chunk.entry)
            case FileClosed(file=file):
                self._journal.note_file(file)
            case StopRequested(at=at):
                self._journal.note_stop(at)

    def _list(self, item: Queued) -> None:
        match item:
            case Parcel(chunk=chunk, is_lost=False):
                self._playlists.stored(chunk.file, chunk.entry)
            case FileClosed(file=file):
                self._playlists.closed(file)

    async def _release(self, parcel: Parcel) -> None:
        self._carrier.noted()
        self.pending_bytes -= parcel.size_bytes
        if self.pending_bytes < self._limit:
            self._room.set()
        if not parcel.is_lost:
            await self._on_durable(parcel.chunk)

    async def _complete(self, completion: Completion) -> None:
        if self._fence is not None and await self._fence.verdict() is not Verdict.IN_CHARGE:
            self.overtaken.set()
            return
        await self._storage.put(done_key(self._prefix), completion.to_json().encode())
        self.completed.set()

    async def _put_journal(self, _: None) -> None:
        journal = self._journal
        key = journal_segment_key(self._prefix, journal.attempt, journal.number)
        segment = sealed(journal.segment(datetime.now(UTC)))
        await self._storage.put(key, segment)
        if self._ledger is not None:
            self._ledger.note(journal.attempt, journal.number, segment)
        journal.stored()

    async def _put_playlists(self, _: None) -> None:
        now = time.monotonic()
        for identity, key, text in self._playlists.due(now):
            await self._storage.put(key, text.encode())
            self._playlists.written(identity, now)


def _can_be_noted(item: Queued) -> bool:
    if isinstance(item, Parcel):
        return item.arrived.is_set()
    return not isinstance(item, Completion)


def _remove(items: Sequence[Queued]) -> None:
    for item in items:
        if isinstance(item, Parcel) and not item.is_lost:
            chunk = item.chunk
            try:
                chunk.path.unlink(missing_ok=True)
                index_path(chunk.path).unlink(missing_ok=True)
            except OSError as error:  # the next attempt finds that it is stored, and deletes it
                _log.warning("chunk_not_deleted", chunk=chunk.entry.name, error=error.strerror)
