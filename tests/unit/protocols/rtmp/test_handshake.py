"""Both forms of the handshake, at any split of the bytes."""

from __future__ import annotations

import hashlib
import hmac
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.handshake import HANDSHAKE_BYTES, ClientHandshake, ServerHandshake

_PLAYER = b"Genuine Adobe Flash Player 001"
_SERVER = b"Genuine Adobe Flash Media Server 001"
_SALT = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")


def sha(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def digest_position(block: bytes, base: int) -> int:
    return sum(block[base : base + 4]) % 728 + base + 4


def c1_with_digest(base: int) -> bytes:
    block = bytearray(b"\x00\x00\x00\x00\x80\x00\x07\x02" + os.urandom(1528))
    at = digest_position(bytes(block), base)
    block[at : at + 32] = sha(_PLAYER, bytes(block[:at] + block[at + 32 :]))
    return bytes(block)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_simple_form_between_our_two_sides(cuts: list[int]) -> None:
    client, server = ClientHandshake(), ServerHandshake()
    to_server = client.start()
    to_client = b""
    step = 0
    while not (client.done and server.done):
        size = cuts[step % len(cuts)]
        step += 1
        to_client += server.feed(to_server[:size])
        to_server = to_server[size:] + client.feed(to_client[:size])
        to_client = to_client[size:]
        assert step < 10_000
    assert not server.rest
    assert not client.rest


def test_the_simple_answer_repeats_c1() -> None:
    server = ServerHandshake()
    c1 = bytes(8) + os.urandom(1528)
    answer = server.feed(b"\x03" + c1)
    assert len(answer) == 1 + 2 * HANDSHAKE_BYTES
    assert answer[0] == 3
    assert answer[5:9] == bytes(4)
    assert answer[1 + HANDSHAKE_BYTES :] == c1


@pytest.mark.parametrize("base", [772, 8], ids=["schema 0", "schema 1"])
def test_a_digest_is_answered_with_a_digest(base: int) -> None:
    server = ServerHandshake()
    c1 = c1_with_digest(base)
    answer = server.feed(b"\x03" + c1)
    s1, s2 = answer[1 : 1 + HANDSHAKE_BYTES], answer[1 + HANDSHAKE_BYTES :]
    assert s1[4:8] != bytes(4)
    at = digest_position(s1, base)
    assert s1[at : at + 32] == sha(_SERVER, s1[:at] + s1[at + 32 :])
    client_at = digest_position(c1, base)
    key = sha(_SERVER + _SALT, c1[client_at : client_at + 32])
    assert s2[-32:] == sha(key, s2[:-32])


def test_a_version_without_a_digest_gets_the_simple_form() -> None:
    c1 = b"\x00\x00\x00\x00\x09\x00\x7c\x02" + os.urandom(1528)
    assert ServerHandshake().feed(b"\x03" + c1)[1 + HANDSHAKE_BYTES :] == c1


def test_bytes_after_the_handshake_are_kept() -> None:
    server = ServerHandshake()
    server.feed(b"\x03" + bytes(HANDSHAKE_BYTES) + bytes(HANDSHAKE_BYTES) + b"more")
    assert server.done
    assert server.rest == b"more"


@pytest.mark.parametrize("first", [b"\x06", b"G", b"\x16"], ids=["RTMPE", "HTTP", "TLS"])
def test_another_protocol_is_refused_at_its_first_byte(first: bytes) -> None:
    with pytest.raises(RtmpError, match="version"):
        ServerHandshake().feed(first)
    with pytest.raises(RtmpError, match="version"):
        ClientHandshake().feed(first)
