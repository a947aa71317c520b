"""AMF0: the values in RTMP commands and FLV script tags.

Source: Adobe "Action Message Format -- AMF 0" (2007), clauses 2.2 to 2.18. Object references are
read as None, XML documents as strings, typed objects as plain objects. The switch to AMF3 (0x11) is
refused, because no publisher needs it (AMF3 *command messages* contain AMF0 values).

The decoder tolerates common faults of encoders. It ignores the count of an ECMA array. An object at
the end of the data needs no end marker. Bytes that are not UTF-8 become replacement characters.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_DEPTH = 16
"""Maximum depth of nested objects and arrays."""
MAX_VALUES = 4_096
"""Maximum number of values in one message, including nested values."""


class AmfError(ValueError):
    """The bytes are not AMF0, or AMF0 cannot express a value."""


@dataclass(slots=True, frozen=True)
class Date:
    """AMF0 date: milliseconds since the Unix epoch, UTC (the time zone field is reserved)."""

    milliseconds: float


class EcmaArray(dict[str, "Value"]):
    """Object that is written as an ECMA array, as in onMetaData."""


Value = float | bool | str | None | Date | Sequence["Value"] | Mapping[str, "Value"]

_NUMBER, _BOOLEAN, _STRING, _OBJECT = 0x00, 0x01, 0x02, 0x03
_NULL, _UNDEFINED, _REFERENCE, _ECMA_ARRAY = 0x05, 0x06, 0x07, 0x08
_OBJECT_END, _STRICT_ARRAY, _DATE, _LONG_STRING = 0x09, 0x0A, 0x0B, 0x0C
_UNSUPPORTED, _XML, _TYPED_OBJECT = 0x0D, 0x0F, 0x10

_DOUBLE = struct.Struct("!d")
_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")
_DATE_BODY = struct.Struct("!dh")
_END = b"\x00\x00\x09"


def decode(data: bytes) -> list[Value]:
    """Return all values in ``data``. Raises AmfError."""
    decoder = _Decoder(data)
    values: list[Value] = []
    try:
        while decoder.position < len(data):
            values.append(decoder.value(0))
    except (struct.error, IndexError) as cut:
        raise AmfError("an AMF0 value is cut short") from cut
    return values


class _Decoder:
    __slots__ = ("_data", "_left", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_VALUES
        self.position = 0

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise AmfError(f"AMF0 values are nested deeper than {MAX_DEPTH}")
        self._left -= 1
        if self._left < 0:
            raise AmfError(f"more than {MAX_VALUES} AMF0 values in one message")
        marker = self._data[self.position]
        self.position += 1
        if marker == _STRING:
            return self._text(_U16)
        if marker == _NUMBER:
            return float(self._take(_DOUBLE)[0])
        if marker in (_NULL, _UNDEFINED, _UNSUPPORTED):
            return None
        if marker == _BOOLEAN:
            self.position += 1
            return self._data[self.position - 1] != 0
        return self._rare_value(marker, depth)

    def _rare_value(self, marker: int, depth: int) -> Value:
        if marker == _OBJECT:
            return self._properties({}, depth)
        if marker == _ECMA_ARRAY:
            self._take(_U32)  # the count is skipped: many encoders write 0 or a wrong number
            return self._properties(EcmaArray(), depth)
        if marker == _TYPED_OBJECT:
            self._text(_U16)
            return self._properties({}, depth)
        if marker == _STRICT_ARRAY:
            count = self._size(_U32)
            if count > self._left:
                raise AmfError("an AMF0 array is longer than its message can be")
            return [self.value(depth + 1) for _ in range(count)]
        if marker in (_LONG_STRING, _XML):
            return self._text(_U32)
        if marker == _DATE:
            return Date(self._take(_DATE_BODY)[0])
        if marker == _REFERENCE:
            self._take(_U16)
            return None
        raise AmfError(f"AMF0 marker 0x{marker:02x} is not supported")

    def _properties(self, found: dict[str, Value], depth: int) -> dict[str, Value]:
        data = self._data
        while self.position < len(data):
            name = self._text(_U16)
            if not name and self.position < len(data) and data[self.position] == _OBJECT_END:
                self.position += 1
                break
            if not name and self.position == len(data):
                break
            found[name] = self.value(depth + 1)
        return found

    def _text(self, size: struct.Struct) -> str:
        length = self._size(size)
        end = self.position + length
        if end > len(self._data):
            raise AmfError("an AMF0 string is cut short")
        text = self._data[self.position : end].decode("utf-8", "replace")
        self.position = end
        return text

    def _size(self, layout: struct.Struct) -> int:
        return int(self._take(layout)[0])

    def _take(self, layout: struct.Struct) -> tuple[float, ...]:
        found = layout.unpack_from(self._data, self.position)
        self.position += layout.size
        return found


def encode(*values: Value) -> bytes:
    """Return the values, one after another. Raises AmfError for a value that AMF0 cannot
    express."""
    out = bytearray()
    for value in values:
        _encode(out, value, 0)
    return bytes(out)


def _encode(out: bytearray, value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise AmfError(f"AMF0 values are nested deeper than {MAX_DEPTH}")
    match value:
        case None:
            out.append(_NULL)
        case bool():
            out += bytes((_BOOLEAN, value))
        case int() | float():
            out.append(_NUMBER)
            out += _DOUBLE.pack(value)
        case str():
            raw = value.encode()
            long = len(raw) > 0xFFFF
            out.append(_LONG_STRING if long else _STRING)
            out += (_U32 if long else _U16).pack(len(raw)) + raw
        case Date(milliseconds):
            out.append(_DATE)
            out += _DATE_BODY.pack(milliseconds, 0)
        case Mapping():
            if isinstance(value, EcmaArray):
                out.append(_ECMA_ARRAY)
                out += _U32.pack(len(value))
            else:
                out.append(_OBJECT)
            _encode_properties(out, value, depth)
        case Sequence():
            out.append(_STRICT_ARRAY)
            out += _U32.pack(len(value))
            for item in value:
                _encode(out, item, depth + 1)
        case _:
            raise AmfError(f"AMF0 cannot express a {type(value).__name__}")


def _encode_properties(out: bytearray, properties: Mapping[str, Value], depth: int) -> None:
    for name, value in properties.items():
        raw = name.encode()
        if not 0 < len(raw) <= 0xFFFF:
            raise AmfError("an AMF0 property needs a name of 1 to 65535 bytes")
        out += _U16.pack(len(raw)) + raw
        _encode(out, value, depth + 1)
    out += _END
