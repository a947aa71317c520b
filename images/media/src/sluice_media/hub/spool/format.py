"""The file format of the spool: a segment of wire records, and a small index beside it.

A segment is::

    SLUICE-SPOOL/1 {SegmentHead as JSON}\\n   what the segment belongs to
    records                                  format and anchor in force, `head_bytes` of them
    records                                  the content, as it goes over the wire

The index has the results of a scan. It is written when the segment is complete. A segment without
an index (the process died, or the disk failed) is scanned, and its torn tail is ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from sluice_media.contract import Model
from sluice_media.hub.output.ring import Entry
from sluice_media.hub.output.splicer import TrackEnd
from sluice_media.hub.spool.session import Mark, Progress, Segment, SegmentEntry, SpooledSession
from sluice_media.timeline.framing import MAX_BODY_BYTES, RECORD_HEAD, UNIT_HEAD, RecordType

MAGIC = b"SLUICE-SPOOL/1 "
MAX_HEAD_BYTES = 256 << 10
"""Decoder configurations are small."""
_TYPES = frozenset(int(kind) for kind in RecordType)
_UNIT = int(RecordType.UNIT)


class SpoolFormatError(ValueError):
    """The file is not a segment of the spool."""


class SegmentHead(Model):
    """The first line of a segment's file."""

    timeline: str
    epoch: int
    stream_uid: str
    title: str
    started_us: int
    auto: bool
    origin_seq: int
    first_seq: int
    before_dts: int | None = None
    begun_us: int
    format_bytes: int
    anchor_bytes: int
    tracks: dict[int, tuple[int, int, int]]
    """The tracks' ends before the segment: DTS, PTS, frame duration."""
    last_us: int


class _Index(Model):
    size: int
    end_seq: int
    max_dts: int | None = None
    entries: list[tuple[int, int, int, int]]
    """seq, DTS, UTC, offset."""
    marks: list[tuple[int, bool, str]]
    """seq, True for a format (False for an anchor), and the record in base64."""
    tracks: dict[int, tuple[int, int, int]]
    total_max_dts: int | None = None
    last_us: int
    end: str = ""
    """The ``end`` record in base64."""


@dataclass(slots=True)
class FoundSegment:
    """A segment of an earlier process, and the progress of its session at its end."""

    head: SegmentHead
    segment: Segment
    progress: Progress


def segment_head(session: SpooledSession, now_us: int) -> bytes:
    """Return the beginning of the next segment's file."""
    progress = session.progress
    head = SegmentHead(
        timeline=session.timeline,
        epoch=session.epoch,
        stream_uid=session.stream_uid,
        title=session.title,
        started_us=session.started_us,
        auto=session.auto,
        origin_seq=session.origin_seq,
        first_seq=progress.next_seq,
        before_dts=progress.max_dts,
        begun_us=now_us,
        format_bytes=len(progress.format),
        anchor_bytes=len(progress.anchor),
        tracks={number: tuple(track) for number, track in progress.tracks.items()},
        last_us=progress.last_us,
    )
    return MAGIC + head.to_json().encode() + b"\n" + progress.format + progress.anchor


def dump_index(session: SpooledSession, segment: Segment) -> bytes:
    """Return the index of ``segment``, the session's newest."""
    progress = session.progress
    index = _Index(
        size=segment.size,
        end_seq=segment.end_seq,
        max_dts=segment.max_dts,
        entries=[(at.seq, at.dts, at.utc_us, offset) for at, offset in segment.entries],
        marks=[(m.seq, m.is_format, base64.b64encode(m.data).decode()) for m in segment.marks],
        tracks={number: tuple(track) for number, track in progress.tracks.items()},
        total_max_dts=progress.max_dts,
        last_us=progress.last_us,
        end=base64.b64encode(progress.end).decode(),
    )
    return index.to_json().encode()


def parse_segment(data: bytes, *, until_seq: int | None = None) -> FoundSegment:
    """Parse a segment's file, whole or only its beginning. Ignore a torn tail and records from
    ``until_seq`` on. Raises SpoolFormatError."""
    line, newline, _ = data.partition(b"\n")
    if not newline or not line.startswith(MAGIC):
        raise SpoolFormatError("the file does not begin with a segment's head")
    try:
        head = SegmentHead.model_validate_json(line.removeprefix(MAGIC))
    except ValidationError as invalid:
        raise SpoolFormatError("the segment's head cannot be parsed") from invalid
    form_at = len(line) + 1
    anchor_at = form_at + head.format_bytes
    data_at = anchor_at + head.anchor_bytes
    if not form_at <= anchor_at <= data_at <= len(data):
        raise SpoolFormatError("the segment is shorter than its head")
    segment = Segment(
        head.first_seq,
        head.before_dts,
        data[form_at:anchor_at],
        data[anchor_at:data_at],
        data_at,
        data_at,
        head.first_seq,
        begun_us=head.begun_us,
        sealed=True,
    )
    progress = Progress(
        head.first_seq,
        _tracks(head.tracks),
        segment.format,
        segment.anchor,
        head.before_dts,
        head.last_us,
    )
    for record in records(data, data_at):
        if until_seq is not None and segment.end_seq >= until_seq:
            break
        segment.add(record, progress)
    return FoundSegment(head, segment, progress)


def with_index(found: FoundSegment, data: bytes, file_size: int) -> bool:
    """Complete the result of :func:`parse_segment` for a segment's beginning. Return False when
    the index is damaged or does not fit the file."""
    try:
        index = _Index.model_validate_json(data)
        marks = [Mark(seq, form, base64.b64decode(text)) for seq, form, text in index.marks]
        end = base64.b64decode(index.end)
    except ValueError:
        return False
    segment, progress = found.segment, found.progress
    if not segment.data_at <= index.size <= file_size or index.end_seq < segment.first_seq:
        return False
    segment.size, segment.end_seq, segment.max_dts = index.size, index.end_seq, index.max_dts
    segment.entries = [SegmentEntry(Entry(*entry[:3]), entry[3]) for entry in index.entries]
    segment.marks = marks
    progress.next_seq, progress.max_dts = index.end_seq, index.total_max_dts
    progress.tracks = _tracks(index.tracks)
    progress.last_us, progress.end = index.last_us, end
    for mark in marks:
        if mark.is_format:
            progress.format = mark.data
        else:
            progress.anchor = mark.data
    return True


def records(data: bytes, offset: int = 0) -> Iterator[bytes]:
    """Yield the whole records from ``offset`` on, up to the first bytes that are no record."""
    end = len(data)
    while end - offset >= RECORD_HEAD.size:
        kind, length = RECORD_HEAD.unpack_from(data, offset)
        behind = offset + RECORD_HEAD.size + length
        if kind not in _TYPES or length > MAX_BODY_BYTES or behind > end:
            return
        if kind == _UNIT and length < UNIT_HEAD.size:
            return
        yield data[offset:behind]
        offset = behind


def _tracks(found: dict[int, tuple[int, int, int]]) -> dict[int, TrackEnd]:
    return {number: TrackEnd(*values) for number, values in found.items()}
