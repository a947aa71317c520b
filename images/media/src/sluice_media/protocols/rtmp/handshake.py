"""The RTMP handshake, both ends, sans-io.

Sources: Adobe RTMP 1.0 clause 5.2 (C0..C2, S0..S2). The digest ("complex", type 1) form is not in
that text: it is what Flash Media Server and the encoders made for it do, as documented by the
librtmp and nginx-rtmp sources. A client that asks for it puts an HMAC-SHA256 into C1 at one of two
places and wants its answer in S1 and S2; whoever does not gets the simple form.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from enum import Enum, auto

from sluice_media.protocols.rtmp.errors import RtmpError

VERSION = 3
HANDSHAKE_BYTES = 1_536
_DIGEST_BYTES = 32
_DIGEST_OFFSETS = 728
_DIGEST_BASES = (772, 8)
"""Where the four offset bytes stand: after the key block (schema 0) or before it (schema 1)."""

# Constants of the protocol, the same in every implementation; nothing secret about them.
_SALT = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_CLIENT_NAME = b"Genuine Adobe Flash Player 001"
_SERVER_NAME = b"Genuine Adobe Flash Media Server 001"
_SERVER_VERSION = b"\x04\x05\x00\x01"
"""Not zero: tells the client that S1 holds a digest."""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


def _digest_at(block: bytes, base: int) -> int:
    return base + 4 + sum(block[base : base + 4]) % _DIGEST_OFFSETS


def _digest_of(block: bytes, position: int, key: bytes) -> bytes:
    return _hmac(key, block[:position] + block[position + _DIGEST_BYTES :])


def find_digest(block: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The base and the digest of a C1 (or S1) whose digest is right; None when it has none."""
    for base in _DIGEST_BASES:
        position = _digest_at(block, base)
        given = block[position : position + _DIGEST_BYTES]
        if hmac.compare_digest(given, _digest_of(block, position, key)):
            return base, given
    return None


def _make_digest_block(base: int) -> bytes:
    block = b"\x00\x00\x00\x00" + _SERVER_VERSION + os.urandom(HANDSHAKE_BYTES - 8)
    position = _digest_at(block, base)
    digest = _digest_of(block, position, _SERVER_NAME)
    return block[:position] + digest + block[position + _DIGEST_BYTES :]


def _make_digest_answer(client_digest: bytes) -> bytes:
    body = os.urandom(HANDSHAKE_BYTES - _DIGEST_BYTES)
    return body + _hmac(_hmac(_SERVER_NAME + _SALT, client_digest), body)


def _answer(c1: bytes) -> bytes:
    """S0, S1 and S2 for a C1."""
    found = find_digest(c1, _CLIENT_NAME) if c1[4:8] != b"\x00\x00\x00\x00" else None
    if found is None:
        s1 = b"\x00" * 8 + os.urandom(HANDSHAKE_BYTES - 8)
        s2 = c1
    else:
        base, client_digest = found
        s1 = _make_digest_block(base)
        s2 = _make_digest_answer(client_digest)
    return bytes((VERSION,)) + s1 + s2


class _State(Enum):
    HELLO = auto()
    ECHO = auto()
    DONE = auto()


class ServerHandshake:
    """Our end when a publisher calls. Feed it until :attr:`done`, then take :attr:`rest`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = _State.HELLO

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    @property
    def rest(self) -> bytes:
        """What came after the handshake."""
        return bytes(self._buffer) if self.done else b""

    def feed(self, data: bytes) -> bytes:
        """Takes bytes of the client, returns bytes for it. Raises RtmpError for a wrong version.

        C2 is not compared with what was sent: encoders get it wrong, and nothing depends on it.
        """
        self._buffer += data
        reply = b""
        if self._state is _State.HELLO and self._buffer and self._buffer[0] != VERSION:
            raise RtmpError(f"RTMP version {self._buffer[0]} is not supported; is this RTMP?")
        if self._state is _State.HELLO and len(self._buffer) > HANDSHAKE_BYTES:
            reply = _answer(bytes(self._buffer[1 : 1 + HANDSHAKE_BYTES]))
            del self._buffer[: 1 + HANDSHAKE_BYTES]
            self._state = _State.ECHO
        if self._state is _State.ECHO and len(self._buffer) >= HANDSHAKE_BYTES:
            del self._buffer[:HANDSHAKE_BYTES]
            self._state = _State.DONE
        return reply


class ClientHandshake:
    """Our end when we call a server: the simple form, which every server understands."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._c1 = b"\x00" * 8 + os.urandom(HANDSHAKE_BYTES - 8)
        self._state = _State.HELLO

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    @property
    def rest(self) -> bytes:
        """What came after the handshake."""
        return bytes(self._buffer) if self.done else b""

    def start(self) -> bytes:
        """C0 and C1."""
        return bytes((VERSION,)) + self._c1

    def feed(self, data: bytes) -> bytes:
        """Takes bytes of the server, returns bytes for it. Raises RtmpError for a wrong version."""
        self._buffer += data
        reply = b""
        if self._state is _State.HELLO and self._buffer and self._buffer[0] != VERSION:
            raise RtmpError(f"the server answered with RTMP version {self._buffer[0]}; is it RTMP?")
        if self._state is _State.HELLO and len(self._buffer) > HANDSHAKE_BYTES:
            reply = bytes(self._buffer[1 : 1 + HANDSHAKE_BYTES])
            del self._buffer[: 1 + HANDSHAKE_BYTES]
            self._state = _State.ECHO
        if self._state is _State.ECHO and len(self._buffer) >= HANDSHAKE_BYTES:
            del self._buffer[:HANDSHAKE_BYTES]
            self._state = _State.DONE
        return reply
