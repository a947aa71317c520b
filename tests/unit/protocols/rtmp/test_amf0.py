"""AMF0 values are equal after encoding and decoding; garbage raises AmfError only."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats import amf0
from sluice_media.formats.amf0 import AmfError

names = st.text(min_size=1, max_size=12)
leaves = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.builds(amf0.Date, st.floats(min_value=0, max_value=1e15))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names, inner, max_size=4)
        | st.dictionaries(names, inner, max_size=4).map(amf0.EcmaArray)
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=5))
def test_written_values_are_read_back(given_values: list[amf0.Value]) -> None:
    assert amf0.decode(amf0.encode(*given_values)) == given_values


@given(st.binary(max_size=300))
def test_garbage_raises_the_typed_error_only(data: bytes) -> None:
    with contextlib.suppress(AmfError):
        amf0.decode(data)


@given(st.lists(values, min_size=1, max_size=3), st.data())
def test_damaged_values_raise_the_typed_error_only(
    given_values: list[amf0.Value], data: st.DataObject
) -> None:
    raw = bytearray(amf0.encode(*given_values))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(AmfError):
        amf0.decode(bytes(raw))


def test_an_ecma_array_with_a_wrong_count_is_read() -> None:
    body = b"\x00\x05width" + b"\x00" + struct.pack("!d", 640.0) + b"\x00\x00\x09"
    for count in (0, 1, 99, 0xFFFFFFFF):
        assert amf0.decode(b"\x08" + struct.pack("!I", count) + body) == [{"width": 640.0}]


def test_an_object_without_its_end_marker_ends_with_the_data() -> None:
    body = b"\x03\x00\x01a\x05"
    assert amf0.decode(body) == [{"a": None}]
    assert amf0.decode(body + b"\x00\x00") == [{"a": None}]


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        (b"\x06", [None]),
        (b"\x0d", [None]),
        (b"\x07\x00\x01", [None]),
        (b"\x0c\x00\x00\x00\x02hi", ["hi"]),
        (b"\x0f\x00\x00\x00\x02<>", ["<>"]),
        (b"\x10\x00\x01C\x00\x01a\x01\x01\x00\x00\x09", [{"a": True}]),
        (b"\x02\x00\x01\xff", ["\ufffd"]),
    ],
)
def test_rare_values(raw: bytes, want: list[amf0.Value]) -> None:
    assert amf0.decode(raw) == want


@pytest.mark.parametrize(
    "raw",
    [
        b"\x11\x01",  # switch to AMF3
        b"\x02\x00\x05abc",
        b"\x0a\xff\xff\xff\xff",  # an array of 4 G values
        b"\x0a\x00\x00\x00\x01" * 60,  # nesting
        b"\x03" + b"\x00\x01a\x03" * 60,
        b"\x05" * 5_000,
    ],
)
def test_hostile_values_are_refused(raw: bytes) -> None:
    with pytest.raises(AmfError):
        amf0.decode(raw)


def test_a_string_over_64_kib_becomes_a_long_string() -> None:
    text = "x" * 70_000
    raw = amf0.encode(text)
    assert raw[0] == 0x0C
    assert amf0.decode(raw) == [text]


def test_values_that_amf0_cannot_express_are_refused() -> None:
    with pytest.raises(AmfError, match="set"):
        amf0.encode({1, 2})  # type: ignore[arg-type]
    with pytest.raises(AmfError, match="name"):
        amf0.encode({"": 1.0})
