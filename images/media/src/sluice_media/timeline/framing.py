"""Framing of timeline records: bytes in, records out, and back (sans-io).

A reply to ``GET /v1/timeline`` is a sequence of records::

    type    1 byte   RecordType
    length  4 bytes  length of the body, big endian
    body             of a unit: UNIT_HEAD and the payload; of others: JSON of the contract's model

Only the beginning has a fixed order: ``format``, then ``anchor``, then ``segment``, then units.
Without a session the reply has only heartbeats.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from enum import IntEnum

from pydantic import ValidationError

from sluice_media.contract import (
    Model,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
    TimelineSegment,
    TrackInfo,
)
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

CONTENT_TYPE = "application/vnd.sluice.timeline"
TIMELINE_PROTOCOL = "sluice-timeline"
"""Name of the protocol in an HTTP Upgrade."""
MAX_BODY_BYTES = 16 << 20
"""Maximum length of a body, larger than any picture. A longer record proves that the peer is not a
hub."""

RECORD_HEAD = struct.Struct("!BI")
"""Type and length of the body."""
UNIT_HEAD = struct.Struct("!BBqqq")
"""Track, flags, DTS and PTS (90 kHz), UTC (microseconds)."""
_UNIT_RECORD = struct.Struct(RECORD_HEAD.format + UNIT_HEAD.format.lstrip("!"))


class RecordType(IntEnum):
    """Type of a record, as on the wire."""

    UNIT = 1
    FORMAT = 2
    GAP = 3
    ANCHOR = 4
    HEARTBEAT = 5
    END = 6
    SEGMENT = 7


_UNIT = int(RecordType.UNIT)
_FLAGS = {number: UnitFlags(number) for number in range(4)}
"""Flags by their number. Every unit has one, and a lookup is ten times as fast as the
constructor."""

Record = (
    AccessUnit
    | TimelineFormat
    | TimelineGap
    | TimelineAnchor
    | TimelineHeartbeat
    | TimelineEnd
    | TimelineSegment
)

_MODELS: dict[RecordType, type[Model]] = {
    RecordType.FORMAT: TimelineFormat,
    RecordType.GAP: TimelineGap,
    RecordType.ANCHOR: TimelineAnchor,
    RecordType.HEARTBEAT: TimelineHeartbeat,
    RecordType.END: TimelineEnd,
    RecordType.SEGMENT: TimelineSegment,
}
_TYPES = {model: record_type for record_type, model in _MODELS.items()}


class FramingError(ValueError):
    """The bytes are not a timeline. The connection cannot be used any more."""


def encode_unit(unit: AccessUnit) -> bytes:
    """Return a unit as a record."""
    payload = unit.payload
    head = _UNIT_RECORD.pack(
        _UNIT,
        UNIT_HEAD.size + len(payload),
        unit.track,
        unit.flags,
        unit.dts,
        unit.pts,
        unit.utc_us,
    )
    return head + payload


def encode(record: Record) -> bytes:
    """Return a record as bytes."""
    if isinstance(record, AccessUnit):
        return encode_unit(record)
    body = record.to_json().encode()
    return RECORD_HEAD.pack(_TYPES[type(record)], len(body)) + body


def encode_body(record_type: RecordType, body: bytes) -> bytes:
    """Return a record with a body that is encoded already."""
    return RECORD_HEAD.pack(record_type, len(body)) + body


class RecordCutter:
    """Buffer that finds the records in a byte stream, at any split of the stream."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self.buffer = bytearray()

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes to the buffer."""
        self.buffer += data

    def places(self) -> Generator[tuple[int, int, int]]:
        """Yield the complete records: type, and start and end of the body in :attr:`buffer`.

        The records leave the buffer when the iterator ends or is closed. Raises FramingError for a
        record above the limit.
        """
        buffer = self.buffer
        position, size = 0, len(buffer)
        try:
            while size - position >= RECORD_HEAD.size:
                type_, length = RECORD_HEAD.unpack_from(buffer, position)
                if length > self._max_body_bytes:
                    raise FramingError(f"a record of {length} bytes is larger than any picture")
                start = position + RECORD_HEAD.size
                if start + length > size:
                    break
                position = start + length
                yield type_, start, position
        finally:
            del buffer[:position]

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield type and body of the complete records. Raises the errors of :meth:`places`."""
        self.append(data)
        with closing(self.places()) as places:
            for type_, start, end in places:
                yield type_, bytes(memoryview(self.buffer)[start:end])


class TimelineDecoder:
    """Decoder that cuts a byte stream into records, at any split of the stream.

    It raises FramingError for a record above MAX_BODY_BYTES, and for a body that does not match its
    type. Records of other types are skipped: a hub of a later version may send them.
    """

    def __init__(self) -> None:
        self._cutter = RecordCutter(MAX_BODY_BYTES)
        self.append = self._cutter.append

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yield the complete records, also those before an error."""
        self.append(data)
        records: list[Record] = []
        try:
            self.take(records)
        finally:
            yield from records

    def take(self, records: list[Record]) -> None:
        """Append the complete records to ``records``. On an error, those before it are appended."""
        buffer = self._cutter.buffer
        with closing(self._cutter.places()) as places:
            for type_, start, end in places:
                record = _decode(type_, buffer, start, end)
                if record is not None:
                    records.append(record)


def _decode(type_: int, buffer: bytearray, start: int, end: int) -> Record | None:
    if type_ == _UNIT:
        if end - start < UNIT_HEAD.size:
            raise FramingError("a unit is shorter than its own head")
        track, flags, dts, pts, utc_us = UNIT_HEAD.unpack_from(buffer, start)
        payload = bytes(memoryview(buffer)[start + UNIT_HEAD.size : end])
        return AccessUnit(track, dts, pts, _FLAGS.get(flags) or UnitFlags(flags), utc_us, payload)
    model = _MODELS.get(type_)  # type: ignore[call-overload]
    if model is None:
        return None
    try:
        return model.model_validate_json(bytes(memoryview(buffer)[start:end]))  # type: ignore[no-any-return]
    except ValidationError as invalid:
        raise FramingError(f"a {RecordType(type_).name} record cannot be parsed") from invalid


def track_infos(formats: Sequence[TrackFormat]) -> list[TrackInfo]:
    """Return track formats in the form of a ``format`` record."""
    return [
        TrackInfo(
            track=f.track,
            kind=f.kind,
            codec=f.codec,
            config=base64.b64encode(f.config).decode(),
            width=f.width,
            height=f.height,
            sample_rate=f.sample_rate,
            channels=f.channels,
        )
        for f in formats
    ]


def track_formats(infos: Sequence[TrackInfo]) -> tuple[TrackFormat, ...]:
    """Return the track formats of a ``format`` record. Raises FramingError for an unknown codec."""
    try:
        return tuple(
            TrackFormat(
                track=i.track,
                kind=TrackKind(i.kind),
                codec=Codec(i.codec),
                config=base64.b64decode(i.config, validate=True),
                width=i.width,
                height=i.height,
                sample_rate=i.sample_rate,
                channels=i.channels,
            )
            for i in infos
        )
    except ValueError as unknown:
        raise FramingError(f"a track is not known: {unknown}") from unknown
