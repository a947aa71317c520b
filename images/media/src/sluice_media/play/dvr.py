"""The bytes of a session's segments: the newest in memory, all closed ones on disk with DVR.

In: closed segments, and requests for their bytes. Out: the bytes. A disk that is full or broken
makes the window shorter; it never stops the broadcast. So does the limit for the disk: it applies
to the finished segments of the window, so pods with equal windows drop equal segments.
"""

from __future__ import annotations

import asyncio
import errno
import time
from itertools import takewhile

import structlog

from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.play.disk import SegmentDisk
from sluice_media.play.segment import Segment
from sluice_media.play.segment_file import StoredSegment, body, encode_head
from sluice_media.play.table import SegmentTable

MEMORY_SECONDS = 30
"""Media time for which segments stay in memory. Nearly all requests are for these."""
UNSAVED_BYTES = 128 << 20
"""Maximum size of older segments that the disk has not taken."""
_LOG_SECONDS = 60.0
_FREED_SEGMENTS = 5
"""Number of the oldest segments that make room on a full disk."""

_log = structlog.get_logger(__name__)


class SegmentGoneError(Exception):
    """The bytes are not there any more."""


class Dvr:
    """The bytes of one session. ``disk`` is None without DVR: everything is in memory then.

    ``limit_bytes`` is the maximum size of the media on disk; None for no limit. The heads of the
    files, about a hundredth of it, do not count."""

    def __init__(
        self, table: SegmentTable, disk: SegmentDisk | None, limit_bytes: int | None = None
    ) -> None:
        self._table = table
        self._disk = disk
        self._limit_bytes = limit_bytes
        self._sizes: dict[int, int] = {}
        """Media bytes of the finished segments, by number."""
        self._window_bytes = 0
        """Sum of these sizes."""
        self.stored_bytes = 0
        """Media bytes on disk."""
        self._data_at: dict[int, int] = {}
        """Offset of the first part in the file, by number of the stored segment."""
        self._unsaved: list[Segment] = []
        """Closed segments that the disk does not have, oldest first."""
        self._wake = asyncio.Event()
        self._logged_at = float("-inf")
        self._is_limited = False
        """True when segments were dropped because of the limit."""

    def restore(self, stored: StoredSegment) -> None:
        """Note a segment of the table that is on disk."""
        self._measure(stored.segment)
        self._note(stored.segment.number, stored.data_at)

    def add(self, segment: Segment) -> None:
        """Take a closed segment."""
        if self._disk is None:
            return
        self._measure(segment)
        if segment.number not in self._data_at:
            self._unsaved.append(segment)
            self._wake.set()
        self._shorten()

    def drop(self, segments: list[Segment]) -> None:
        """Delete the bytes of segments that left the table."""
        numbers = {segment.number for segment in segments}
        self._unsaved = [segment for segment in self._unsaved if segment.number not in numbers]
        stored = [number for number in numbers if self._data_at.pop(number, None) is not None]
        self.stored_bytes -= sum(self._sizes[number] for number in stored)
        self._window_bytes -= sum(self._sizes.pop(number, 0) for number in numbers)
        if self._disk is not None and stored:
            self._disk.delete(self._table.session, stored)

    async def run(self) -> None:
        """Write segments to the disk, without end."""
        while self._disk is not None:
            await self._wake.wait()
            self._wake.clear()
            while self._unsaved:
                segment = self._unsaved[0]
                try:
                    await self._save(self._disk, segment)
                except OSError as error:
                    if time.monotonic() - self._logged_at >= _LOG_SECONDS:
                        self._logged_at = time.monotonic()
                        _log.error(
                            "segment_not_stored",
                            error=error.strerror,
                            consequence="viewers cannot rewind as far as configured",
                        )
                    break
                if segment in self._unsaved:
                    self._unsaved.remove(segment)
            self.release()

    def release(self) -> None:
        """Drop bytes from memory that the disk has, and segments that it does not take."""
        if self._disk is None or not self._table.segments:
            return
        limit = self._table.segments[-1].start - MEMORY_SECONDS * TICKS_PER_SECOND
        for segment in self._table.segments:
            if segment.start > limit:
                break
            if segment.number in self._data_at:
                for track in segment.tracks.values():
                    for part in track.parts:
                        part.data = None
        unsaved_bytes = 0
        for segment in reversed([s for s in self._unsaved if s.start <= limit]):
            unsaved_bytes += segment.size
            if unsaved_bytes > UNSAVED_BYTES:
                self.drop(self._table.drop_until(segment.number + 1))
                break

    async def part(self, segment: Segment, track: int, index: int) -> bytes:
        """Return the bytes of a part. Raises SegmentGoneError."""
        part = segment.tracks[track].parts[index]
        if part.data is not None:
            return part.data
        before = sum(each.size for each in segment.tracks[track].parts[:index])
        return await self._read(segment, self._offset(segment, track) + before, part.size)

    async def track(self, segment: Segment, track: int) -> bytes:
        """Return the bytes of a track's closed segment. Raises SegmentGoneError."""
        parts = segment.tracks[track].parts
        data = [part.data for part in parts if part.data is not None]
        if len(data) == len(parts):
            return b"".join(data)
        return await self._read(segment, self._offset(segment, track), segment.tracks[track].size)

    async def file(self, segment: Segment) -> bytes:
        """Return a closed segment in the form for another pod. Raises SegmentGoneError."""
        if self._disk is not None and segment.number in self._data_at:
            return await self._read(segment, -self._data_at[segment.number], None)
        return b"".join(self._encoded(segment))

    def _measure(self, segment: Segment) -> None:
        if segment.number not in self._sizes:
            self._sizes[segment.number] = segment.size
            self._window_bytes += segment.size

    def _note(self, number: int, data_at: int) -> None:
        self._data_at[number] = data_at
        self.stored_bytes += self._sizes[number]

    def _shorten(self) -> None:
        """Drop the oldest segments until the window is within the limit. Segments that are still in
        memory stay: they need no disk."""
        while self._limit_bytes is not None and self._window_bytes > self._limit_bytes:
            oldest = self._table.segments[0]
            if oldest.start > self._table.segments[-1].start - MEMORY_SECONDS * TICKS_PER_SECOND:
                return
            if not self._is_limited:
                self._is_limited = True
                _log.warning(
                    "window_limited_by_disk",
                    limit_bytes=self._limit_bytes,
                    consequence="viewers cannot rewind as far as configured",
                    action="request more ephemeral-storage in playback.workload.resources",
                )
            self.drop(self._table.drop_until(oldest.number + 1))

    def _offset(self, segment: Segment, track: int) -> int:
        """Return the offset of a track's first part behind the head of the file."""
        before = takewhile(lambda number: number != track, segment.tracks)
        return sum(segment.tracks[number].size for number in before)

    async def _read(self, segment: Segment, offset: int, size: int | None) -> bytes:
        data_at = self._data_at.get(segment.number)
        if self._disk is None or data_at is None:
            raise SegmentGoneError
        session = self._table.session
        try:
            return await asyncio.to_thread(
                self._disk.read, session, segment.number, data_at + offset, size
            )
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _log.warning("segment_not_read", number=segment.number, error=error.strerror)
            raise SegmentGoneError from error

    async def _save(self, disk: SegmentDisk, segment: Segment) -> None:
        self._check_limit(segment)
        data = self._encoded(segment)
        while True:
            try:
                await asyncio.to_thread(disk.write, self._table.session, segment.number, data)
                break
            except OSError as error:
                oldest = sorted(self._data_at)[:_FREED_SEGMENTS]
                if error.errno != errno.ENOSPC or not oldest:
                    raise
                self.drop(self._table.drop_until(oldest[-1] + 1))
        if self._table.get(segment.number) is segment:
            self._note(segment.number, len(data[0]))
        else:
            disk.delete(self._table.session, [segment.number])

    def _check_limit(self, segment: Segment) -> None:
        """Raise OSError when the disk has no room for a segment within the limit."""
        size = self._sizes.get(segment.number, 0)
        if self._limit_bytes is not None and self.stored_bytes + size > self._limit_bytes:
            raise OSError(errno.ENOSPC, "the limit of the pod's disk is reached")

    def _encoded(self, segment: Segment) -> list[bytes]:
        table = self._table
        formats = table.formats[segment.format_number]
        head = encode_head(table.session, table.started_us, segment, formats)
        return [head, *body(segment)]
