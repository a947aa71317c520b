"""The chunk stream: every form of header, any split, and only RtmpError on garbage."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.protocols.rtmp.chunk import ChunkLimits, ChunkReader, ChunkWriter
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.messages import Message
from tests.unit.protocols.rtmp.wire import basic, chunks, pieces

sizes = st.sampled_from([0, 1, 100, 127, 128, 129, 1_000, 5_000, 70_000])
timestamps = st.sampled_from([0, 40, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFF0]) | st.integers(
    0, 0xFFFFFFFF
)
chunk_sizes = st.sampled_from([1, 64, 128, 129, 4_096, 60_000, 65_536])


def payload(size: int, seed: int) -> bytes:
    return bytes((seed + n * 7) & 0xFF for n in range(min(size, 251))) * (size // 251 + 1)


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[int, Message]]:
    out = []
    for seed in range(draw(st.integers(1, 8))):
        size = draw(sizes)
        out.append(
            (
                draw(st.sampled_from([4, 5, 6])),
                Message(
                    draw(st.sampled_from([8, 9, 18])),
                    draw(timestamps),
                    draw(st.sampled_from([0, 1, 0x01020304])),
                    payload(size, seed)[:size],
                ),
            )
        )
    return out


def feed_split(reader: ChunkReader, data: bytes, cuts: list[int]) -> list[Message]:
    found = []
    position = 0
    for cut in itertools.cycle(cuts):
        found += reader.feed(data[position : position + cut])
        position += cut
        if position >= len(data):
            break
    return found


@given(messages(), chunk_sizes, st.lists(st.integers(1, 3_000), min_size=1, max_size=5))
def test_written_messages_are_read_back_at_any_split(
    given_messages: list[tuple[int, Message]], chunk_bytes: int, cuts: list[int]
) -> None:
    writer = ChunkWriter()
    data = writer.set_chunk_size(chunk_bytes)
    for csid, m in given_messages:
        data += writer.encode(csid, m.type_id, m.stream_id, m.timestamp, m.payload)
    want = [m for _, m in given_messages]
    assert ChunkReader().feed(data)[1:] == want
    assert feed_split(ChunkReader(), data, cuts)[1:] == want


@pytest.mark.parametrize("chunk_bytes", [128, 4_096])
@pytest.mark.parametrize("repeat", [True, False], ids=["repeated", "not repeated"])
def test_extended_timestamps_with_and_without_repetition(chunk_bytes: int, repeat: bool) -> None:
    message = Message(9, 0x1234567, 1, payload(20_000, 3)[:20_000])
    data = chunks(message, chunk_bytes=chunk_bytes, repeat_extended=repeat)
    for cut in (1, 7, 131, len(data)):
        reader = ChunkReader()
        reader.chunk_bytes = chunk_bytes
        assert feed_split(reader, data, [cut]) == [message]


@given(st.lists(sizes, min_size=1, max_size=4), timestamps, chunk_sizes, st.floats(0, 1))
def test_the_missing_bytes_are_never_counted_too_high(
    lengths: list[int], timestamp: int, chunk_bytes: int, cut: float
) -> None:
    """A higher count would delay a message until the next one arrives."""
    writer, reader = ChunkWriter(), ChunkReader()
    data = writer.set_chunk_size(chunk_bytes)
    ends = [len(data)]
    for length in lengths:
        data += writer.encode(6, 9, 1, timestamp, bytes(length))
        ends.append(len(data))
    position = int(cut * len(data))
    reader.feed(data[:position])
    end = next(end for end in ends if end >= position)
    assert reader.missing_bytes <= end - position
    if timestamp < 0xFFFFFF and reader.missing_bytes:
        assert reader.missing_bytes == end - position


def test_interleaved_messages_keep_apart() -> None:
    video = Message(9, 40, 1, payload(9_000, 1)[:9_000])
    audio = Message(8, 23, 1, payload(700, 2)[:700])
    mixed = itertools.zip_longest(
        pieces(video, csid=6), pieces(audio, csid=4, number=23), fillvalue=b""
    )
    data = b"".join(a + b for a, b in mixed)
    for cut in (1, 50, 129, 1_000, len(data)):
        assert feed_split(ChunkReader(), data, [cut]) == [audio, video]


def test_header_types_and_their_times() -> None:
    reader = ChunkReader()
    body = b"abcd"
    data = chunks(Message(8, 1_000, 1, body), kind=0)
    data += chunks(Message(8, 0, 1, body + body), kind=1, number=23)
    data += chunks(Message(8, 0, 1, body + body), kind=2, number=21)
    data += basic(3, 4) + body + body
    found = reader.feed(data)
    assert [m.timestamp for m in found] == [1_000, 1_023, 1_044, 1_065]
    assert [len(m.payload) for m in found] == [4, 8, 8, 8]
    assert {(m.type_id, m.stream_id) for m in found} == {(8, 1)}


def test_type_3_after_type_0_repeats_a_small_time_as_delta_but_not_a_large_one() -> None:
    small = chunks(Message(8, 23, 1, b"ab"))
    large = chunks(Message(8, 3_600_000, 1, b"ab"))
    assert [m.timestamp for m in ChunkReader().feed(small + basic(3, 4) + b"cd")] == [23, 46]
    assert [m.timestamp for m in ChunkReader().feed(large + basic(3, 4) + b"cd")] == [
        3_600_000,
        3_600_000,
    ]


def test_a_delta_wraps_at_32_bits() -> None:
    data = chunks(Message(8, 0xFFFFFFF0, 1, b"ab"))
    data += chunks(Message(8, 0, 1, b"cd"), kind=1, number=0x20)
    assert [m.timestamp for m in ChunkReader().feed(data)] == [0xFFFFFFF0, 0x10]


@pytest.mark.parametrize("csid", [2, 63, 64, 319, 320, 65_599])
def test_chunk_stream_ids_of_one_two_and_three_bytes(csid: int) -> None:
    message = Message(9, 5, 1, payload(300, 9)[:300])
    data = chunks(message, csid=csid)
    for cut in (1, len(data)):
        assert feed_split(ChunkReader(), data, [cut]) == [message]


def test_set_chunk_size_counts_from_the_next_chunk_on() -> None:
    video = Message(9, 0, 1, payload(1_000, 4)[:1_000])
    first, *_ = pieces(video, csid=6)
    resize = chunks(Message(1, 0, 0, (500).to_bytes(4, "big")), csid=2)
    rest = basic(3, 6) + video.payload[128:628] + basic(3, 6) + video.payload[628:]
    found = ChunkReader().feed(first + resize + rest)
    assert [m.type_id for m in found] == [1, 9]
    assert found[1] == video


def test_abort_forgets_the_message() -> None:
    video = Message(9, 0, 1, payload(1_000, 4)[:1_000])
    first, *_ = pieces(video, csid=6)
    abort = chunks(Message(2, 0, 0, (6).to_bytes(4, "big")), csid=2)
    found = ChunkReader().feed(first + abort + chunks(video, csid=6))
    assert [m.type_id for m in found] == [2, 9]
    assert found[1] == video


def hostile() -> dict[str, bytes]:
    many = b"".join(chunks(Message(8, 0, 1, b"x"), csid=c) for c in range(3, 200))
    unfinished = b"".join(
        basic(0, c) + b"\0\0\0" + (7 << 20).to_bytes(3, "big") + b"\x09\0\0\0\0" + bytes(65_536)
        for c in range(3, 67)
    )
    return {
        "a chunk stream that begins with type 3": b"\xc4abc",
        "a message over the limit": b"\x04\0\0\0\xff\xff\xff\x09\x01\0\0\0",
        "too many chunk streams": many,
        "empty messages without end": chunks(Message(8, 0, 1, b"")) + b"\xc4" * 1_000,
        "a message inside a message": next(pieces(Message(9, 0, 1, bytes(500))))
        + chunks(Message(9, 0, 1, b"x")),
        "chunk size 0": chunks(Message(1, 0, 0, bytes(4)), csid=2),
        "chunk size 2^31": chunks(Message(1, 0, 0, b"\x80\0\0\0"), csid=2),
        "chunk size cut short": chunks(Message(1, 0, 0, b"\x01"), csid=2),
        "unfinished messages": chunks(Message(1, 0, 0, b"\0\1\0\0"), csid=2) + unfinished * 4,
    }


@pytest.mark.parametrize("data", hostile().values(), ids=hostile().keys())
def test_hostile_input_is_refused(data: bytes) -> None:
    with pytest.raises(RtmpError):
        ChunkReader(ChunkLimits(partial_bytes=2 << 20)).feed(data)


@given(st.binary(max_size=2_000))
def test_garbage_raises_the_typed_error_only(data: bytes) -> None:
    with contextlib.suppress(RtmpError):
        ChunkReader().feed(data)


@pytest.mark.parametrize("split_bytes", [1, 150, 1_000])
def test_an_extended_timestamp_that_changes_within_a_message_is_refused(split_bytes: int) -> None:
    raw = bytearray(ChunkWriter().encode(4, 8, 1, 0x01000000, payload(500, 1)))
    raw[16 + 128 + 5 + 128 + 1] ^= 0xFF
    with pytest.raises(RtmpError, match="differ in their extended timestamp"):
        feed_split(ChunkReader(), bytes(raw), [split_bytes])


@given(messages(), st.data())
def test_damaged_streams_end_alike_at_any_split(
    given_messages: list[tuple[int, Message]], data: st.DataObject
) -> None:
    writer = ChunkWriter()
    raw = bytearray()
    for csid, m in given_messages:
        raw += writer.encode(csid, m.type_id, m.stream_id, m.timestamp, m.payload)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 600) - 1))] = data.draw(st.integers(0, 255))

    def outcome(cuts: list[int]) -> tuple[list[Message], str]:
        reader = ChunkReader()
        found: list[Message] = []
        position = 0
        try:
            for cut in itertools.cycle(cuts):
                found += reader.feed(bytes(raw[position : position + cut]))
                position += cut
                if position >= len(raw):
                    return found, ""
        except RtmpError as error:
            return found, str(error)
        raise AssertionError

    whole, whole_error = outcome([len(raw)])
    split, split_error = outcome(data.draw(st.lists(st.integers(1, 997), min_size=1, max_size=3)))
    assert split_error == whole_error
    # A feed that ends in an error loses the messages in front of it.
    assert whole == (split if not whole_error else split[: len(whole)])


def test_announced_lengths_take_no_memory_before_the_bytes_arrive() -> None:
    reader = ChunkReader()
    heads = b"".join(
        basic(0, c) + b"\0\0\0" + (8 << 20).to_bytes(3, "big") + b"\x09\0\0\0\0" + bytes(128)
        for c in range(3, 60)
    )
    tracemalloc.start()
    try:
        reader.feed(heads)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
