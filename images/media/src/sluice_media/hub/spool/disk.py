"""The spool's files: blocking calls, to be run in a thread of their own.

A file is never kept open. Each write has its offset, so that a write that failed halfway is
repeated; bytes beyond the known end are a torn tail and are ignored.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sluice_media.hub.spool.format import (
    MAX_HEAD_BYTES,
    FoundSegment,
    SpoolFormatError,
    dump_index,
    parse_segment,
    records,
    with_index,
)
from sluice_media.hub.spool.session import Segment, SpooledSession
from sluice_media.timeline.framing import MAX_BODY_BYTES, RECORD_HEAD, UNIT_HEAD, RecordType

_SEGMENT, _INDEX = ".seg", ".idx"
_UNIT = int(RecordType.UNIT)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Piece:
    """Whole records that were read."""

    data: bytes
    offset: int
    """Offset of the first record in the file."""
    skipped: int
    """Number of records before the first one that were skipped."""
    count: int
    max_dts: int | None


class SpoolDisk:
    """The files below ``folder``, which the first write creates. All methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, timeline: str, first_seq: int, offset: int, data: Sequence[bytes]) -> None:
        """Write bytes into a segment's file at ``offset``."""
        path = self._path(timeline, first_seq)
        if not offset:
            path.parent.mkdir(parents=True, exist_ok=True)
        joined = memoryview(b"".join(data))
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while joined:
                written = os.pwrite(file, joined, offset)
                joined, offset = joined[written:], offset + written
        finally:
            os.close(file)

    def seal(self, timeline: str, first_seq: int, index: bytes) -> None:
        """Make a complete segment durable, then write its index."""
        path = self._path(timeline, first_seq)
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(file)
        finally:
            os.close(file)
        part = path.with_suffix(".part")
        part.write_bytes(index)
        part.replace(path.with_suffix(_INDEX))

    def remove(self, timeline: str, first_seqs: Sequence[int], *, all_of_it: bool) -> None:
        """Delete segments; with ``all_of_it``, the whole folder of the timeline."""
        if all_of_it:
            folder = self._timeline_folder(timeline)
            if folder.exists():
                shutil.rmtree(folder)
            return
        for first_seq in first_seqs:
            path = self._path(timeline, first_seq)
            # The index last: without its segment it is ignored.
            path.unlink(missing_ok=True)
            path.with_suffix(_INDEX).unlink(missing_ok=True)

    def read(
        self,
        timeline: str,
        first_seq: int,
        span: tuple[int, int],
        max_bytes: int,
        behind_dts: int | None = None,
    ) -> Piece:
        """Return whole records within ``span`` (offsets): at least one, and about ``max_bytes``.

        With ``behind_dts``, begin at the first unit behind it, with the other records directly
        before that unit; return nothing when there is no such unit."""
        at, end = span
        with self._path(timeline, first_seq).open("rb", buffering=0) as file:
            if behind_dts is not None:
                data = os.pread(file.fileno(), end - at, at)
                return _cut(data, at, behind_dts, max_bytes)
            data = os.pread(file.fileno(), min(max_bytes, end - at), at)
            needed = RECORD_HEAD.size
            if len(data) >= needed:
                needed += min(RECORD_HEAD.unpack_from(data)[1], MAX_BODY_BYTES)
            if len(data) < needed <= end - at:
                data = os.pread(file.fileno(), needed, at)
        return _cut(data, at)

    def load(self) -> list[SpooledSession]:
        """Return the sessions that earlier processes left, oldest first. Damaged files are
        deleted."""
        if not self._folder.exists():
            return []
        found = [self._load_session(f) for f in sorted(self._folder.iterdir()) if f.is_dir()]
        return sorted((s for s in found if s is not None), key=lambda s: s.started_us)

    def _load_session(self, folder: Path) -> SpooledSession | None:
        paths = sorted(path for path in folder.glob(f"*{_SEGMENT}") if path.stem.isdecimal())
        session: SpooledSession | None = None
        for number, path in enumerate(paths):
            following = int(paths[number + 1].stem) if number + 1 < len(paths) else None
            try:
                found = _load_segment(path, following)
            except SpoolFormatError as error:
                _log.warning("spool_file_dropped", file=path.name, error=str(error))
                path.unlink()
                continue
            except OSError as error:
                _log.error("spool_file_unreadable", file=path.name, error=error.strerror)
                continue
            if found.segment.end_seq == found.segment.first_seq:
                path.unlink()
                continue
            session = session or _session_of(found)
            session.epoch = max(session.epoch, found.head.epoch)
            session.auto = session.auto or found.head.auto
            session.restore(found.segment, found.progress)
            if not path.with_suffix(_INDEX).exists():
                self._index_again(session, found.segment)
        if session is None:
            shutil.rmtree(folder)
        return session

    def _index_again(self, session: SpooledSession, segment: Segment) -> None:
        try:
            self.seal(session.timeline, segment.first_seq, dump_index(session, segment))
        except OSError as error:
            # It is scanned once more next time.
            _log.warning("spool_index_not_written", error=error.strerror)

    def _timeline_folder(self, timeline: str) -> Path:
        # The name comes from a gateway or a reader: it must not lead outside the folder.
        return self._folder / hashlib.sha256(timeline.encode()).hexdigest()[:32]

    def _path(self, timeline: str, first_seq: int) -> Path:
        return self._timeline_folder(timeline) / f"{first_seq:015d}{_SEGMENT}"


def _session_of(found: FoundSegment) -> SpooledSession:
    head = found.head
    return SpooledSession(
        timeline=head.timeline,
        epoch=head.epoch,
        stream_uid=head.stream_uid,
        title=head.title,
        started_us=head.started_us,
        origin_seq=head.origin_seq,
        auto=head.auto,
    )


def _load_segment(path: Path, until_seq: int | None) -> FoundSegment:
    index = path.with_suffix(_INDEX)
    size = path.stat().st_size
    if index.exists():
        with path.open("rb") as file:
            beginning = file.read(MAX_HEAD_BYTES)
        found = parse_segment(beginning, until_seq=0)
        if with_index(found, index.read_bytes(), size) and (
            until_seq is None or found.segment.end_seq <= until_seq
        ):
            return found
        index.unlink()
    found = parse_segment(path.read_bytes(), until_seq=until_seq)
    if found.segment.size < size:
        os.truncate(path, found.segment.size)
    return found


def _cut(data: bytes, at: int, behind_dts: int | None = None, max_bytes: int = 0) -> Piece:
    skipped, count, start, end = 0, 0, 0, 0
    lead, lead_count = 0, 0  # start of the records other than units directly before this one
    max_dts: int | None = None
    waiting = behind_dts is not None
    for record in records(data):
        if behind_dts is not None and not waiting and end - start >= max_bytes:
            break
        if record[0] == _UNIT:
            dts = UNIT_HEAD.unpack_from(record, RECORD_HEAD.size)[2]
            if waiting and dts > (behind_dts or 0):
                waiting, start, skipped = False, lead, lead_count
            lead, lead_count = end + len(record), count + 1
            max_dts = dts if max_dts is None else max(dts, max_dts)
        count += 1
        end += len(record)
    if waiting:
        start, skipped = end, count
    return Piece(data[start:end], at + start, skipped, count - skipped, max_dts)
