"""The form in which a closed segment is kept on disk and sent to another play pod (pure).

A file is one line and the bytes of all parts::

    SLUICE-SEGMENT/1 {SegmentHead as JSON}\\n
    the parts of the first track, of the next track, ...

The head has everything that playlists print about the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from sluice_media.contract import Model, TrackInfo
from sluice_media.formats.units import TrackFormat
from sluice_media.play.segment import Part, Period, Segment, TrackSegment
from sluice_media.timeline.framing import FramingError, track_formats, track_infos

_MAGIC = b"SLUICE-SEGMENT/1 "
MAX_HEAD_BYTES = 1 << 20


class SegmentFileError(ValueError):
    """The bytes are not a complete segment."""


class PartHead(NamedTuple):
    """One part, without its bytes."""

    start: int
    duration: int
    size: int
    is_independent: bool


class TrackHead(Model):
    """The parts of one track, in order."""

    track: int
    parts: list[PartHead]


class SegmentHead(Model):
    """The first line."""

    session: str
    started_us: int
    """Start of the session, microseconds UTC."""
    number: int
    run: str
    dts: int
    pts: int
    format_number: int
    shift: int
    target_seconds: int
    anchor_dts: int
    anchor_us: int
    reference: int
    period_number: int
    period_start: int
    period_offset: int
    formats: list[TrackInfo]
    tracks: list[TrackHead]


class StoredSegment(NamedTuple):
    """A segment with its session."""

    session: str
    started_us: int
    segment: Segment
    formats: tuple[TrackFormat, ...]
    data_at: int
    """Offset of the first part in the file."""


def encode_head(
    session: str, started_us: int, segment: Segment, formats: Sequence[TrackFormat]
) -> bytes:
    """Return the first line of a closed segment's file."""
    period = segment.period or segment.period_behind(None)
    head = SegmentHead(
        session=session,
        started_us=started_us,
        number=segment.number,
        run=segment.run,
        dts=segment.dts,
        pts=segment.pts,
        format_number=segment.format_number,
        shift=segment.shift,
        target_seconds=segment.target_seconds,
        anchor_dts=segment.anchor_dts,
        anchor_us=segment.anchor_us,
        reference=segment.reference,
        period_number=period.number,
        period_start=period.start,
        period_offset=period.offset,
        formats=track_infos(formats),
        tracks=[
            TrackHead(
                track=number,
                parts=[
                    PartHead(p.start, p.duration, p.size, p.is_independent) for p in track.parts
                ],
            )
            for number, track in segment.tracks.items()
        ],
    )
    return _MAGIC + head.to_json().encode() + b"\n"


def decode_head(line: bytes) -> StoredSegment:
    """Return the segment of a first line, whose parts have no bytes. Raises SegmentFileError."""
    if not line.startswith(_MAGIC) or not line.endswith(b"\n"):
        raise SegmentFileError("this is not the head of a segment")
    try:
        head = SegmentHead.model_validate_json(line[len(_MAGIC) :])
        formats = track_formats(head.formats)
    except (ValidationError, FramingError) as error:
        raise SegmentFileError("the head of the segment cannot be parsed") from error
    tracks = {}
    for each in head.tracks:
        track = tracks[each.track] = TrackSegment(is_closed=True)
        for part in each.parts:
            track.append(Part(*part, data=None))
    if head.reference not in tracks:
        raise SegmentFileError("the segment lacks its reference track")
    segment = Segment(
        number=head.number,
        run=head.run,
        dts=head.dts,
        pts=head.pts,
        format_number=head.format_number,
        shift=head.shift,
        target_seconds=head.target_seconds,
        anchor_dts=head.anchor_dts,
        anchor_us=head.anchor_us,
        reference=head.reference,
        tracks=tracks,
        period=Period(head.period_number, head.period_start, head.period_offset),
    )
    return StoredSegment(head.session, head.started_us, segment, formats, len(line))


def decode(data: bytes) -> StoredSegment:
    """Return the segment of a whole file, with the bytes of its parts.

    Raises SegmentFileError, also when bytes are missing."""
    end = data.find(b"\n", 0, MAX_HEAD_BYTES)
    stored = decode_head(data[: end + 1])
    at = stored.data_at
    for track in stored.segment.tracks.values():
        for part in track.parts:
            part.data = data[at : at + part.size]
            at += part.size
    if at != len(data):
        raise SegmentFileError(f"the segment has {len(data)} bytes, and its head says {at}")
    return stored


def body(segment: Segment) -> list[bytes]:
    """Return the bytes of all parts, in the order of the file. They must be in memory."""
    return [
        part.data
        for track in segment.tracks.values()
        for part in track.parts
        if part.data is not None
    ]
