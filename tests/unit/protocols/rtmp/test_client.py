"""The client side, against our own server side and against unusual servers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp import (
    ClientSession,
    Closed,
    CodecsNotAnnounced,
    ConnectRejected,
    Media,
    MessageType,
    PublishAccepted,
    PublishRejected,
    PublishRequested,
    PublishStopped,
    RtmpError,
    ServerEvent,
    ServerSession,
)
from sluice_media.protocols.rtmp.chunk import ChunkReader
from sluice_media.protocols.rtmp.handshake import HANDSHAKE_BYTES
from sluice_media.protocols.rtmp.messages import Message, parse_command
from tests.support.rtmp import media_message
from tests.support.rtmp_wire import run
from tests.unit.protocols.rtmp.wire import chunks, command

KEY = "live_12345?bandwidthtest=true&x=/a/b"


def client(chunk_bytes: int = 4_096) -> ClientSession:
    return ClientSession(
        app="app/inst", tc_url="rtmp://h/app/inst", stream_key=KEY, chunk_bytes=chunk_bytes
    )


@pytest.mark.parametrize("chunk_bytes", [128, 4_096, 65_536])
@pytest.mark.parametrize("step", [1, 977, 1 << 20])
def test_publishing_to_our_own_server(chunk_bytes: int, step: int) -> None:
    ours, server = client(chunk_bytes), ServerSession()
    _, asked = run(ours, server, step)
    (publish,) = [e for e in asked if isinstance(e, PublishRequested)]
    assert (publish.app, publish.stream_key) == ("app/inst", KEY)
    server.accept_publish()
    accepted, _ = run(ours, server, step)
    assert accepted == [PublishAccepted()]

    meta = amf0.encode("onMetaData", {"width": 640.0})
    sent = [
        Media(18, 0, meta),
        Media(9, 0, b"v" * 10_000),
        Media(8, 5, b"a" * 300),
        Media(9, 0x1000000, b"v" * 200),
        Media(9, 0x1000028, b"w" * 5_000),
    ]
    data = b"".join(media_message(ours, m.type_id, m.timestamp_ms, m.payload) for m in sent)
    got: list[ServerEvent] = []
    for start in range(0, len(data), step):
        got += server.feed(data[start : start + step])
    assert got == sent
    assert server.feed(ours.close()) == [PublishStopped()]


def test_the_order_is_the_one_of_flash_media_live_encoder() -> None:
    ours, server = client(), ServerSession()
    names = []
    reader = ChunkReader()
    greeting = ours.take_output()
    server.feed(greeting)
    ours.feed(server.take_output())
    rest = ours.take_output()
    server.feed(rest)
    stream = rest[HANDSHAKE_BYTES:]
    while stream:
        names += [parse_command(m).name for m in reader.feed(stream) if m.type_id == 20]
        ours.feed(server.take_output())
        stream = ours.take_output()
        server.feed(stream)
    assert names == ["connect", "releaseStream", "FCPublish", "createStream", "publish"]


def test_a_refusal_of_the_key_has_code_and_description_without_the_key() -> None:
    ours, server = client(), ServerSession()
    run(ours, server)
    server.reject_publish("NetStream.Publish.BadName", f"BadKey: {KEY} is wrong")
    events, _ = run(ours, server)
    assert events == [PublishRejected("NetStream.Publish.BadName", "BadKey: *** is wrong")]
    with pytest.raises(RuntimeError):
        media_message(ours, MessageType.VIDEO, 0, b"x")
    assert ours.close() == b""


def test_a_running_publish_that_is_cut() -> None:
    ours, server = client(), ServerSession()
    run(ours, server)
    server.accept_publish()
    run(ours, server)
    server.end_publish("NetStream.Publish.BadName", "TakenOver: another publisher came")
    events, _ = run(ours, server)
    assert events == [Closed("NetStream.Publish.BadName", "TakenOver: another publisher came")]


def connected() -> ClientSession:
    """Return a client that has sent its connect command."""
    ours = client()
    hello = ours.take_output()
    ours.feed(b"\x03" + bytes(HANDSHAKE_BYTES) + hello[1:])
    ours.take_output()
    return ours


def status(level: str, code: str, description: str = "") -> dict[str, amf0.Value]:
    return {"level": level, "code": code, "description": description}


def test_a_refused_connect() -> None:
    why = status("error", "NetConnection.Connect.Rejected", "app not found")
    events = connected().feed(command("_error", 1.0, None, why))
    assert events == [ConnectRejected("NetConnection.Connect.Rejected", "app not found")]


def test_a_server_without_release_stream_is_published_to() -> None:
    ours = connected()
    ours.feed(command("_result", 1.0, {}, status("status", "NetConnection.Connect.Success")))
    assert not ours.feed(command("_error", 2.0, None, status("error", "x")))
    assert not ours.feed(command("_error", 3.0, None, status("error", "x")))
    ours.feed(command("_result", 4.0, None, 7.0))
    assert not ours.feed(command("onBWDone", 0.0, None))
    events = ours.feed(
        command("onStatus", 0.0, None, status("status", "NetStream.Publish.Start"), stream_id=7)
    )
    assert events == [PublishAccepted()]
    (picture,) = read_messages(media_message(ours, MessageType.VIDEO, 0, b"x" * 10))
    assert picture.stream_id == 7


def read_messages(data: bytes) -> list[Message]:
    reader = ChunkReader()
    reader.chunk_bytes = 4_096
    return reader.feed(data)


def test_create_stream_refused_and_answered_with_nonsense() -> None:
    ours = connected()
    ours.feed(command("_result", 1.0, {}, {}))
    assert ours.feed(command("_error", 4.0, None, status("error", "Nope", "full"))) == [
        PublishRejected("Nope", "full")
    ]
    other = connected()
    other.feed(command("_result", 1.0, {}, {}))
    with pytest.raises(RtmpError, match="number"):
        other.feed(command("_result", 4.0, None, None))


def test_metadata_is_sent_as_set_data_frame() -> None:
    ours, server = client(), ServerSession()
    run(ours, server)
    server.accept_publish()
    run(ours, server)
    metadata = amf0.encode("onMetaData", {})
    (message,) = read_messages(media_message(ours, MessageType.DATA, 0, metadata))
    assert amf0.decode(message.payload) == ["@setDataFrame", "onMetaData", {}]


def test_a_ping_of_the_server_is_answered() -> None:
    ours = connected()
    ours.feed(chunks(Message(4, 0, 0, b"\x00\x06\x00\x00\x00\x01"), csid=2))
    (pong,) = read_messages(ours.take_output())
    assert pong.payload == b"\x00\x07\x00\x00\x00\x01"


@given(st.binary(max_size=600))
def test_garbage_of_a_server_raises_the_typed_error_only(data: bytes) -> None:
    with contextlib.suppress(RtmpError):
        connected().feed(data)
    with contextlib.suppress(RtmpError):
        client().feed(b"\x03" + data)


def test_a_server_that_announces_the_codec_is_published_to() -> None:
    ours = ClientSession(app="a", tc_url="rtmp://h/a", stream_key=KEY, needs=["hvc1"])
    _, asked = run(ours, ServerSession())
    assert any(isinstance(event, PublishRequested) for event in asked)


@pytest.mark.parametrize(
    ("properties", "takes"),
    [
        ({}, False),
        ({"fourCcList": ["av01"]}, False),
        ({"fourCcList": ["av01", "hvc1"]}, True),
        ({"fourCcList": ["*"]}, True),
        ({"capsEx": 1.0, "videoFourCcInfoMap": {"hvc1": 1.0}}, True),
        ({"videoFourCcInfoMap": {"hvc1": 0.0}}, False),
        ({"fourCcList": 7.0, "videoFourCcInfoMap": "hvc1"}, False),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_announced_codecs_are_read_from_the_answer_to_connect(
    properties: dict[str, amf0.Value], takes: bool, place: int
) -> None:
    ours = ClientSession(app="a", tc_url="rtmp://h/a", stream_key=KEY, needs=["hvc1"])
    ours.take_output()
    zeros = bytes(HANDSHAKE_BYTES)
    ours.feed(b"\x03" + zeros + zeros)
    objects: list[amf0.Value] = [{}, {"code": "NetConnection.Connect.Success"}]
    objects[place] = {**objects[place], **properties}  # type: ignore[dict-item]
    events = ours.feed(command("_result", 1.0, *objects))
    assert events == ([] if takes else [CodecsNotAnnounced(("hvc1",))])
    assert ours.takes("hvc1") is takes
    assert (b"publish" in ours.take_output()) is False


def test_an_acknowledgement_keeps_a_silent_connection_open_and_counts_bytes() -> None:
    ours, server = client(), ServerSession()
    run(ours, server)
    [message] = ChunkReader().feed(ours.acknowledge())
    assert message.type_id == 3
    assert int.from_bytes(message.payload, "big") == ours._link.received_bytes > 0
    assert server.feed(ours.acknowledge()) == []
