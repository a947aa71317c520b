"""Framing of timeline records: bytes in, records out, and back (sans-io).

A reply to ``GET /v1/timeline`` is a sequence of records::

    type    1 byte   RecordType
    length  4 bytes  big endian, of the body
    body             unit: UNIT_HEAD and the payload; else JSON of the contract's model

The order is fixed at the start only: ``format``, then ``anchor``, then units. While no session is
on there is nothing but heartbeats.
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
    TrackInfo,
)
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

CONTENT_TYPE = "application/vnd.sluice.timeline"
MAX_BODY_BYTES = 16 << 20
"""Larger than any picture an encoder sends; a longer record means that the peer is not ours."""

RECORD_HEAD = struct.Struct("!BI")
"""type, length of the body"""
UNIT_HEAD = struct.Struct("!BBqqq")
"""track, flags, dts, pts (90 kHz), utc (microseconds)"""
_UNIT_RECORD = struct.Struct(RECORD_HEAD.format + UNIT_HEAD.format.lstrip("!"))


class RecordType(IntEnum):
    UNIT = 1
    FORMAT = 2
    GAP = 3
    ANCHOR = 4
    HEARTBEAT = 5
    END = 6


_UNIT = int(RecordType.UNIT)
_FLAGS = {number: UnitFlags(number) for number in range(4)}
"""Looking a flag up is ten times as fast as making it, and every unit has one."""

Record = (
    AccessUnit | TimelineFormat | TimelineGap | TimelineAnchor | TimelineHeartbeat | TimelineEnd
)

_MODELS: dict[RecordType, type[Model]] = {
    RecordType.FORMAT: TimelineFormat,
    RecordType.GAP: TimelineGap,
    RecordType.ANCHOR: TimelineAnchor,
    RecordType.HEARTBEAT: TimelineHeartbeat,
    RecordType.END: TimelineEnd,
}
_TYPES = {model: record_type for record_type, model in _MODELS.items()}


class FramingError(ValueError):
    """The bytes are not a timeline: the connection cannot be used any more."""


def encode_unit(unit: AccessUnit) -> bytes:
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
    """One record as bytes."""
    if isinstance(record, AccessUnit):
        return encode_unit(record)
    body = record.to_json().encode()
    return RECORD_HEAD.pack(_TYPES[type(record)], len(body)) + body


def encode_body(record_type: RecordType, body: bytes) -> bytes:
    """A record of which the body is there already."""
    return RECORD_HEAD.pack(record_type, len(body)) + body


class RecordCutter:
    """Finds the records in a byte stream, at any split of the stream."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self.buffer = bytearray()

    def append(self, data: bytes | memoryview) -> None:
        self.buffer += data

    def places(self) -> Generator[tuple[int, int, int]]:
        """Type, and start and end of the body in :attr:`buffer`, of the records that are complete
        now. They leave the buffer when the iterator ends or is closed.

        Raises FramingError for a record over the limit."""
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
        """Yields type and body of the records that are complete now. Raises as :meth:`places`."""
        self.append(data)
        with closing(self.places()) as places:
            for type_, start, end in places:
                yield type_, bytes(memoryview(self.buffer)[start:end])


class TimelineDecoder:
    """Cuts a byte stream into records, at any split of the stream. FramingError is raised for an
    unknown type, a record over MAX_BODY_BYTES and a body that is not what its type says."""

    def __init__(self) -> None:
        self._cutter = RecordCutter(MAX_BODY_BYTES)
        self.append = self._cutter.append

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yields the records that are complete now. What came before an error is yielded."""
        self.append(data)
        records: list[Record] = []
        try:
            self.take(records)
        finally:
            yield from records

    def take(self, records: list[Record]) -> None:
        """Appends the records that are complete now to ``records``, also those before an error."""
        buffer = self._cutter.buffer
        with closing(self._cutter.places()) as places:
            for type_, start, end in places:
                records.append(_decode(type_, buffer, start, end))


def _decode(type_: int, buffer: bytearray, start: int, end: int) -> Record:
    if type_ == _UNIT:
        if end - start < UNIT_HEAD.size:
            raise FramingError("a unit shorter than its own head")
        track, flags, dts, pts, utc_us = UNIT_HEAD.unpack_from(buffer, start)
        payload = bytes(memoryview(buffer)[start + UNIT_HEAD.size : end])
        return AccessUnit(track, dts, pts, _FLAGS.get(flags) or UnitFlags(flags), utc_us, payload)
    try:
        model = _MODELS[RecordType(type_)]
    except (ValueError, KeyError) as unknown:
        raise FramingError(f"unknown record type {type_}") from unknown
    try:
        return model.model_validate_json(bytes(memoryview(buffer)[start:end]))  # type: ignore[return-value]
    except ValidationError as invalid:
        raise FramingError(f"a {RecordType(type_).name} record that does not parse") from invalid


def track_infos(formats: Sequence[TrackFormat]) -> list[TrackInfo]:
    """Track formats as they stand in a ``format`` record."""
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
    """The reverse of :func:`track_infos`. Raises FramingError for a codec nobody here knows."""
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
        raise FramingError(f"a track that cannot be understood: {unknown}") from unknown
