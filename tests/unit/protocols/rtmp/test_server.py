"""The server side: the orders of commands of encoders, refusals and limits."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp import (
    BAD_NAME,
    Media,
    PlayRefused,
    PublishRequested,
    PublishStopped,
    RtmpError,
    ServerEvent,
    ServerSession,
)
from sluice_media.protocols.rtmp.chunk import ChunkReader
from sluice_media.protocols.rtmp.handshake import HANDSHAKE_BYTES
from sluice_media.protocols.rtmp.messages import Command, Message, parse_command
from tests.unit.protocols.rtmp.wire import chunks, command, hello, obs_commands

SERVER_HELLO_BYTES = 1 + 2 * HANDSHAKE_BYTES


class Peer:
    """A publisher that sends prepared bytes, and parses the answers."""

    def __init__(self) -> None:
        self.session = ServerSession()
        self.reader = ChunkReader()
        self.send(hello())
        assert len(self.session.take_output()) == SERVER_HELLO_BYTES

    def send(self, data: bytes) -> list[ServerEvent]:
        return self.session.feed(data)

    def answers(self) -> list[Message]:
        return self.reader.feed(self.session.take_output())

    def commands(self) -> list[Command]:
        return [parse_command(m) for m in self.answers() if m.type_id == 20]

    def published(self) -> Peer:
        self.send(obs_commands())
        self.session.accept_publish()
        self.answers()
        return self


def test_obs_order_is_answered_and_accepted() -> None:
    peer = Peer()
    (publish,) = peer.send(obs_commands())
    assert isinstance(publish, PublishRequested)
    assert (publish.app, publish.stream_key) == ("ns", "stream?token")

    before = peer.commands()
    assert [(c.name, c.transaction) for c in before] == [("_result", n) for n in (1, 2, 3, 4)]
    assert before[0].properties(1)["code"] == "NetConnection.Connect.Success"
    assert "hvc1" in before[0].properties(0)["fourCcList"]  # type: ignore[operator]
    assert before[3].arguments[1] == 1.0

    peer.session.accept_publish()
    after = peer.commands()
    assert [c.name for c in after] == ["onFCPublish", "onStatus"]
    assert after[1].properties(1)["code"] == "NetStream.Publish.Start"
    assert peer.session.publishing


def test_a_classic_encoder_receives_nothing_of_enhanced_rtmp() -> None:
    peer = Peer()
    peer.send(command("connect", 1.0, {"app": "ns"}))
    (connected,) = peer.commands()
    assert "fourCcList" not in connected.properties(0)


def test_a_refusal_has_bad_name_and_the_reason() -> None:
    peer = Peer()
    peer.send(obs_commands())
    peer.commands()
    peer.session.reject_publish(BAD_NAME, "BadKey: the stream key is wrong")
    (status,) = peer.commands()
    assert status.properties(1) == {
        "level": "error",
        "code": "NetStream.Publish.BadName",
        "description": "BadKey: the stream key is wrong",
    }
    assert not peer.session.publishing


def test_media_comes_out_as_flv_payloads() -> None:
    peer = Peer().published()
    meta = amf0.encode("onMetaData", {"width": 640.0})
    events = peer.send(
        chunks(Message(18, 0, 1, amf0.encode("@setDataFrame") + meta), csid=4)
        + chunks(Message(9, 40, 1, b"picture" * 100), csid=6)
        + chunks(Message(8, 23, 1, b"sound"), csid=5)
        + chunks(Message(15, 50, 1, b"\x00" + meta), csid=7)
    )
    assert events == [
        Media(18, 0, meta),
        Media(9, 40, b"picture" * 100),
        Media(8, 23, b"sound"),
        Media(18, 50, meta),
    ]


def test_awaited_bytes_count_up_to_the_next_event() -> None:
    peer = Peer()
    assert peer.session.awaited_bytes == 1  # a command may have any length
    peer.published()
    assert peer.session.awaited_bytes == 13  # more than the header of a message
    picture = chunks(Message(9, 40, 1, b"picture" * 100), csid=6)
    assert not peer.send(picture[:300])
    assert peer.session.awaited_bytes == len(picture) - 300
    assert peer.send(picture[300:])
    assert peer.session.awaited_bytes == 13


def test_media_before_publish_is_dropped_and_media_before_the_answer_is_returned() -> None:
    peer = Peer()
    peer.send(command("connect", 1.0, {"app": "ns"}))
    assert not peer.send(chunks(Message(9, 0, 1, b"early"), csid=6))
    peer.send(command("publish", 5.0, None, "stream?token", "live", stream_id=1))
    assert peer.send(chunks(Message(9, 7, 1, b"eager"), csid=6)) == [Media(9, 7, b"eager")]


def test_an_aggregate_message_is_split() -> None:
    def tag(type_id: int, timestamp: int, body: bytes) -> bytes:
        head = bytes((type_id,)) + len(body).to_bytes(3, "big") + timestamp.to_bytes(3, "big")
        return head + bytes(4) + body + (11 + len(body)).to_bytes(4, "big")

    peer = Peer().published()
    body = tag(9, 100, b"one") + tag(8, 110, b"two") + tag(3, 0, b"?")
    events = peer.send(chunks(Message(22, 5_000, 1, body), csid=4))
    assert events == [Media(9, 5_000, b"one"), Media(8, 5_010, b"two")]
    with pytest.raises(RtmpError, match="aggregate"):
        peer.send(chunks(Message(22, 0, 1, body[:-30]), csid=5))


@pytest.mark.parametrize("ending", ["FCUnpublish", "deleteStream", "closeStream"])
def test_the_end_of_a_stream(ending: str) -> None:
    peer = Peer().published()
    assert peer.send(command(ending, 6.0, None, "stream")) == [PublishStopped()]
    assert not peer.send(command("deleteStream", 7.0, None, 1.0))
    assert not peer.send(chunks(Message(9, 0, 1, b"late"), csid=6))


def test_a_stream_may_be_published_again_on_the_same_connection() -> None:
    peer = Peer().published()
    peer.send(command("FCUnpublish", 6.0, None, "stream"))
    (event,) = peer.send(command("publish", 8.0, None, "stream?token", "live", stream_id=1))
    assert isinstance(event, PublishRequested)


def test_amf3_commands_are_read() -> None:
    peer = Peer()
    connect = b"\x00" + amf0.encode("connect", 1.0, {"app": "ns", "objectEncoding": 3.0})
    assert peer.send(chunks(Message(17, 0, 0, connect), csid=3)) == []
    (answer,) = peer.commands()
    assert answer.properties(1)["objectEncoding"] == 0.0


def test_play_is_refused_with_a_status() -> None:
    peer = Peer()
    peer.send(command("connect", 1.0, {"app": "ns"}))
    peer.commands()
    assert peer.send(command("play", 5.0, None, "stream", stream_id=1)) == [PlayRefused()]
    (status,) = peer.commands()
    assert status.properties(1)["code"] == "NetStream.Play.Failed"


def test_minor_commands_are_answered_or_ignored() -> None:
    peer = Peer()
    peer.send(command("connect", 1.0, {"app": "ns"}) + command("_checkbw", 2.0, None))
    peer.send(command("getStreamLength", 3.0, None, "stream"))
    connected, length = peer.commands()
    assert (length.name, length.transaction, length.arguments) == ("_result", 3.0, [None, 0.0])
    assert connected.name == "_result"


def test_a_ping_is_answered() -> None:
    peer = Peer().published()
    peer.send(chunks(Message(4, 0, 0, b"\x00\x06\x00\x00\x12\x34"), csid=2))
    (pong,) = peer.answers()
    assert (pong.type_id, pong.payload) == (4, b"\x00\x07\x00\x00\x12\x34")


def test_acknowledgements_follow_the_window_of_the_publisher() -> None:
    peer = Peer().published()
    peer.send(chunks(Message(5, 0, 0, (50_000).to_bytes(4, "big")), csid=2))
    video = chunks(Message(9, 0, 1, bytes(20_000)), csid=6)
    acks = []
    for _ in range(10):
        peer.send(video)
        acks += [int.from_bytes(m.payload, "big") for m in peer.answers() if m.type_id == 3]
    assert 3 <= len(acks) <= 4
    assert all(b - a >= 50_000 for a, b in itertools.pairwise(acks))


@pytest.mark.parametrize(
    "data",
    [
        command("publish", 5.0, None, "stream?token", "live"),
        command("connect", 1.0, {"app": "ns"}) * 2,
        obs_commands() + command("publish", 9.0, None, "other", "live"),
        command("connect", 1.0, {"app": "x" * 2_000}),
        command("connect", 1.0, {"app": "ns"}) + command("createStream", 2.0, None) * 40,
        chunks(Message(20, 0, 0, b"\x05\x05"), csid=3),
        chunks(Message(20, 0, 0, b"\x02\xff\xff"), csid=3),
    ],
    ids=[
        "publish before connect",
        "connect twice",
        "publish twice",
        "a name without end",
        "streams without end",
        "a command without a name",
        "a command cut short",
    ],
)
def test_hostile_commands_are_refused(data: bytes) -> None:
    with pytest.raises(RtmpError):
        Peer().send(data)


def test_no_repr_shows_a_key() -> None:
    events = Peer().send(obs_commands(app="ns/canary", key="stream?canary"))
    assert "canary" not in repr(events)
    with pytest.raises(RtmpError) as refused:
        Peer().send(obs_commands(key="stream?canary" * 100))
    assert "canary" not in repr(refused.value)


def capture() -> bytes:
    media = b"".join(
        chunks(Message(9, 40 * n, 1, bytes(300 + n)), csid=6)
        + chunks(Message(8, 23 * n, 1, bytes(90)), csid=5)
        for n in range(12)
    )
    return obs_commands() + media + command("FCUnpublish", 6.0, None, "stream")


def play_back(data: bytes, cuts: list[int]) -> list[ServerEvent]:
    session = ServerSession()
    events: list[ServerEvent] = []
    raw = hello() + data
    position = 0
    for cut in itertools.cycle(cuts):
        for event in session.feed(raw[position : position + cut]):
            events.append(event)
            if isinstance(event, PublishRequested) and session.publish_requested:
                session.accept_publish()
        session.take_output()
        position += cut
        if position >= len(raw):
            return events
    raise AssertionError


@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=4))
def test_events_do_not_depend_on_how_bytes_arrive(cuts: list[int]) -> None:
    assert play_back(capture(), cuts) == play_back(capture(), [1 << 20])


@given(st.data())
def test_a_damaged_capture_raises_the_typed_error_only(data: st.DataObject) -> None:
    raw = bytearray(capture())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RtmpError):
        play_back(bytes(raw), [1_024])


@given(st.binary(max_size=600))
def test_garbage_after_the_handshake_raises_the_typed_error_only(data: bytes) -> None:
    with contextlib.suppress(RtmpError):
        play_back(data, [100])
