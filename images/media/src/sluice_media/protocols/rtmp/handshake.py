"""The RTMP handshake, server and client (sans-io): bytes in, bytes out.

Sources: Adobe RTMP 1.0 clause 5.2 (C0..C2, S0..S2). The digest form ("complex", type 1) is not in
that text. Flash Media Server and the encoders made for it use it; the sources of librtmp and
nginx-rtmp document it. A client that uses the digest form puts an HMAC-SHA256 into C1 at one of two
positions and expects its answer in S1 and S2. All other clients receive the simple form.
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
"""Positions of the four offset bytes: after the key block (schema 0) or before it (schema 1)."""

# Constants of the protocol, equal in every implementation and not secret.
_SALT = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_CLIENT_NAME = b"Genuine Adobe Flash Player 001"
_SERVER_NAME = b"Genuine Adobe Flash Media Server 001"
_SERVER_VERSION = b"\x04\x05\x00\x01"
"""Version in S1. A value other than zero means that S1 holds a digest."""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


def _digest_at(block: bytes, base: int) -> int:
    return base + 4 + sum(block[base : base + 4]) % _DIGEST_OFFSETS


def _digest_of(block: bytes, position: int, key: bytes) -> bytes:
    return _hmac(key, block[:position] + block[position + _DIGEST_BYTES :])


def find_digest(block: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return the base offset and the digest of a C1 (or S1); None without a valid digest."""
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
    """Return S0, S1 and S2 for a C1."""
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
    """The server side of a handshake. Feed it until :attr:`done`, then take :attr:`rest`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = _State.HELLO

    @property
    def done(self) -> bool:
        """True when the handshake is complete."""
        return self._state is _State.DONE

    @property
    def rest(self) -> bytes:
        """Bytes that arrived after the handshake."""
        return bytes(self._buffer) if self.done else b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the client and return bytes for it.

        Raise RtmpError for a wrong version. C2 is not compared with S1: some encoders send a wrong
        one, and nothing depends on it.
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
    """The client side of a handshake: the simple form, which every server supports."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._c1 = b"\x00" * 8 + os.urandom(HANDSHAKE_BYTES - 8)
        self._state = _State.HELLO

    @property
    def done(self) -> bool:
        """True when the handshake is complete."""
        return self._state is _State.DONE

    @property
    def rest(self) -> bytes:
        """Bytes that arrived after the handshake."""
        return bytes(self._buffer) if self.done else b""

    def start(self) -> bytes:
        """Return C0 and C1."""
        return bytes((VERSION,)) + self._c1

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the server and return bytes for it.

        Raise RtmpError for a wrong version.
        """
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
