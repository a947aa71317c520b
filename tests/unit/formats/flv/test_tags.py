"""FLV framing: what is written is read back at any split; garbage raises MediaError only."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.errors import MediaError
from sluice_media.formats.flv import FILE_HEADER, FlvTag, TagReader, encode_tag

tags = st.lists(
    st.builds(
        FlvTag,
        st.sampled_from([8, 9, 18]),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=400),
    ),
    max_size=8,
)


def encode(given_tags: list[FlvTag]) -> bytes:
    return FILE_HEADER + b"".join(
        encode_tag(t.type_id, t.timestamp_ms, t.payload) for t in given_tags
    )


@given(tags, st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_what_is_written_is_read_back_at_any_split(
    given_tags: list[FlvTag], cuts: list[int]
) -> None:
    data = encode(given_tags)
    reader = TagReader()
    found = []
    position = 0
    for cut in itertools.cycle(cuts):
        found += reader.feed(data[position : position + cut])
        position += cut
        if position >= len(data):
            break
    assert found == given_tags


@given(st.binary(max_size=300), st.booleans())
def test_garbage_raises_the_typed_error_only(data: bytes, with_header: bool) -> None:
    with contextlib.suppress(MediaError):
        TagReader().feed(FILE_HEADER + data if with_header else data)


def test_times_beyond_24_bits_and_before_0_are_taken_modulo_2_32() -> None:
    reader = TagReader()
    data = FILE_HEADER + encode_tag(9, 0x12345678, b"a") + encode_tag(9, (1 << 32) + 5, b"b")
    assert [t.timestamp_ms for t in reader.feed(data)] == [0x12345678, 5]


def test_a_longer_header_and_wrong_back_pointers_are_tolerated() -> None:
    header = b"FLV\x01\x05\x00\x00\x00\x0bxx" + b"\x00\x00\x00\x07"
    tag = encode_tag(8, 1, b"sound")[:-4] + bytes(4)
    assert [t.payload for t in TagReader().feed(header + tag)] == [b"sound"]


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF",
        b"FLV\x02\x05\x00\x00\x00\x09",
        b"FLV\x01\x05\xff\x00\x00\x00",
        FILE_HEADER + b"\x09\xff\xff\xff" + bytes(7),
        FILE_HEADER + b"\x29\x00\x00\x01" + bytes(20),
    ],
    ids=["signature", "version", "header size", "tag size", "encrypted"],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        TagReader().feed(data)


def test_a_payload_that_no_tag_can_hold_is_refused() -> None:
    with pytest.raises(MediaError, match="does not fit"):
        encode_tag(9, 0, bytes(1 << 24))
