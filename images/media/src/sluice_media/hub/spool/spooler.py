"""The spooler: writes timelines to the pod's disk, and reads them back for recorders.

In: the rings of the timelines that the spool plan selects. Out: files, and their content for
readers whose position has left the ring. The spooler is about one second behind the ring, which
keeps the records until they are written. A disk that is slow, full or broken affects the spool
only.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from sluice_media.hub.clock import Clock
from sluice_media.hub.hub import Hub
from sluice_media.hub.output.timeline import OutputTimeline
from sluice_media.hub.spool.disk import Piece, SpoolDisk
from sluice_media.hub.spool.format import dump_index, segment_head
from sluice_media.hub.spool.plan import Removal, SpoolPlan
from sluice_media.hub.spool.session import Place, Segment, SpooledSession
from sluice_media.hub.spool.thread import DiskBusyError, DiskThread

WRITE_SECONDS = 1.0
"""Interval between two writes."""
SEGMENT_BYTES = 8 << 20
SEGMENT_SECONDS = 10.0
BATCH_BYTES = 2 << 20
"""Maximum size of one write: joining records holds the interpreter lock."""
READ_BYTES = 256 << 10
STALL_SECONDS = 5.0
"""Duration of a call to the disk beyond which the spool counts as failing."""
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)
LOAD_SECONDS = 3.0
"""Timeout for loading at the start, which delays the stream."""
MAX_READ_FAILURES = 3
MAX_WAITING_READS = 64

_log = structlog.get_logger(__name__)


class SpoolReadError(ConnectionResetError):
    """A segment could not be read. The reader must reconnect."""


class Spooler:
    """The task that writes to the spool, and the reads of readers from it."""

    def __init__(
        self, hub: Hub, folder: Path, *, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._changed = changed
        self._disk = SpoolDisk(folder)
        self._writer = DiskThread("spool-writer", 4)
        self._reader = DiskThread("spool-reader", MAX_WAITING_READS)
        self._failures = 0
        """Consecutive failures."""

    @property
    def _plan(self) -> SpoolPlan:
        return self._hub.output.spool_plan

    async def load(self) -> None:
        """Load the sessions that an earlier process of this pod left on disk.

        Returns after 3 s even if the disk does not answer. Then this process spools nothing."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                sessions = await self._writer.run(self._disk.load)
        except Exception as error:
            # Bad data on the disk must not keep the stream off air.
            self._plan.failures += 1
            self._plan.failing = True
            _log.error("spool_not_usable", error=_name(error))
            return
        if sessions:
            _log.info("spool_restored", sessions=len(sessions))
        self._plan.enabled = True
        self._hub.restore(sessions, self._clock())

    async def run(self) -> None:
        """Write new records until cancelled. Then write the rest within one second, for the next
        process of this pod."""
        try:
            while True:
                await asyncio.sleep(self._pause())
                try:
                    await self.write()
                except Exception:
                    # An error must not end this task, because the session on air would end with it.
                    self._failures += 1
                    self._plan.failures += 1
                    _log.exception("spool_write_failed")
        finally:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self.write()
            except TimeoutError:
                _log.warning("spool_not_flushed")
            self.close()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    async def write(self) -> None:
        """Write new records, and delete segments that are not needed any more."""
        if not self._plan.enabled:
            return
        await self._remove()
        for timeline in self._hub.output.timelines:
            try:
                while await self._write(timeline):
                    self._plan.enforce(self._hub.output.timelines, self._limit_bytes)
                    await self._remove()
            except OSError as error:
                self._failed(timeline, error)
                return
        self._plan.enforce(self._hub.output.timelines, self._limit_bytes)
        await self._remove()
        self._works()
        self._changed()

    async def read(self, timeline: OutputTimeline, place: Place) -> tuple[bytes, Place | None, int]:
        """Return the next records of a reader, its place behind them (None: in the ring) and the
        number of its next record. Raises SpoolReadError."""
        ring, spooled = timeline.ring, timeline.spooled
        head = place.head
        if place.behind_dts is None and place.seq >= ring.first:
            return head, None, place.seq
        if spooled is None or place.segment not in spooled.segments or _is_read(place):
            following = spooled.next_place(place) if spooled is not None else None
            if following is not None:
                return head, following, following.seq
            if place.seq >= ring.first:
                return head, None, place.seq
            start = timeline.behind_hole(place.dts)
            return head + start.head, None, start.seq
        segment = place.segment
        try:
            piece = await self._reader.run(
                partial(
                    self._disk.read,
                    timeline.id,
                    segment.first_seq,
                    (place.offset, segment.size),
                    READ_BYTES,
                    place.behind_dts,
                )
            )
            if not piece.count and not piece.skipped:
                raise OSError(errno.EIO, "a segment without its records")
        except OSError as error:
            if timeline.spooled is not spooled or segment not in spooled.segments:
                return b"", place, place.seq  # it was deleted meanwhile
            self._unreadable(spooled, segment, error)
            raise SpoolReadError("the spool cannot be read") from None
        return _behind(place, piece)

    # ------------------------------------------------------------------ writing

    def _pause(self) -> float:
        if not self._failures:
            return WRITE_SECONDS
        return RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]

    @property
    def _limit_bytes(self) -> int:
        return self._hub.config.spool_limit_bytes

    async def _write(self, timeline: OutputTimeline) -> bool:
        """Write one batch of new records. Return whether there are more."""
        spooled, ring = timeline.spooled, timeline.ring
        if spooled is None:
            return False
        if ring.first > spooled.next_seq:
            self._plan.holes += 1
            _log.warning("spool_hole", timeline=spooled.timeline)
            await self._seal(spooled)
            timeline.spool_from_ring(spooled)
        records = ring.slice(spooled.next_seq, BATCH_BYTES)
        now_us = self._clock().utc_us
        if records:
            await self._append(timeline, spooled, records, now_us)
        segment = spooled.open
        if segment is not None and timeline.spooled is spooled and self._is_full(segment, timeline):
            await self._seal(spooled)
        return spooled.next_seq < ring.head and timeline.spooled is spooled

    async def _append(
        self,
        timeline: OutputTimeline,
        spooled: SpooledSession,
        records: list[bytes],
        now_us: int,
    ) -> None:
        segment, data = spooled.open, records
        if segment is None:
            head = segment_head(spooled, now_us)
            segment, data = spooled.begin_segment(len(head), now_us), [head, *records]
        offset = segment.size if segment is spooled.open else 0
        write = partial(self._disk.write, timeline.id, segment.first_seq, offset, data)
        await self._on_disk(write)
        self._plan.written_bytes += sum(map(len, data))
        if timeline.spooled is spooled:
            spooled.wrote(segment, records)

    def _is_full(self, segment: Segment, timeline: OutputTimeline) -> bool:
        at_most = min(SEGMENT_BYTES, max(BATCH_BYTES // 8, self._limit_bytes // 8))
        age_us = self._clock().utc_us - segment.begun_us
        spooled = timeline.spooled
        return (
            segment.bytes_held >= at_most
            or age_us >= SEGMENT_SECONDS * 1_000_000
            or (spooled is not None and spooled.progress.ended)
        )

    async def _seal(self, spooled: SpooledSession) -> None:
        """Complete the newest segment."""
        segment = spooled.open
        if segment is None:
            return
        index = dump_index(spooled, segment)
        segment.sealed = True
        seal = partial(self._disk.seal, spooled.timeline, segment.first_seq, index)
        await self._on_disk(seal)

    async def _remove(self) -> None:
        removals = self._plan.removals
        while removals:
            removal = removals[0]
            try:
                await self._on_disk(partial(self._carry_out, removal))
            except DiskBusyError:
                return
            except OSError as error:
                self._plan.failures += 1
                _log.warning("spool_file_not_deleted", error=_name(error))
            removals.popleft()

    async def _on_disk(self, function: Callable[[], None]) -> None:
        """Run a call to the disk without a timeout. A call longer than 5 s counts as a failure."""
        call = asyncio.ensure_future(self._writer.run(function))
        try:
            done, _ = await asyncio.wait({call}, timeout=STALL_SECONDS)
            if not done:
                self._fails("Stalled")
            await call
        finally:
            call.cancel()

    def _carry_out(self, removal: Removal) -> None:
        self._disk.remove(removal.timeline, removal.first_seqs, all_of_it=removal.whole)

    def _failed(self, timeline: OutputTimeline, error: OSError) -> None:
        # The content of this file is unknown after the failed write: begin another file.
        spooled = timeline.spooled
        if spooled is not None and spooled.open is not None:
            spooled.open.sealed = True
        self._failures += 1
        self._fails(_name(error))

    def _fails(self, why: str) -> None:
        self._plan.failures += 1
        if not self._plan.failing:
            self._plan.failing = True
            _log.error("spool_failing", error=why)

    def _works(self) -> None:
        self._failures = 0
        if self._plan.failing:
            self._plan.failing = False
            _log.info("spool_recovered")

    # ------------------------------------------------------------------ reading

    def _unreadable(self, spooled: SpooledSession, segment: Segment, error: OSError) -> None:
        if isinstance(error, DiskBusyError):
            return
        self._plan.failures += 1
        segment.failures += 1
        _log.error("spool_not_read", error=_name(error), failures=segment.failures)
        if segment.failures >= MAX_READ_FAILURES and segment in spooled.segments:
            if spooled.open is segment:
                segment.sealed = True
            self._plan.lose(spooled, segment)


def _is_read(place: Place) -> bool:
    return place.offset >= place.segment.size


def _behind(place: Place, piece: Piece) -> tuple[bytes, Place, int]:
    """Return the data for the reader of ``piece``, its place behind it and its next record."""
    segment = place.segment
    first = place.seq + piece.skipped
    head = place.head
    if place.behind_dts is not None:
        head = segment.head(first)
    dts = place.dts if piece.max_dts is None else max(place.dts, piece.max_dts)
    seq = first + piece.count
    after = Place(segment, seq, piece.offset + len(piece.data), b"", dts)
    return head + piece.data, after, seq


def _name(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return type(error).__name__
