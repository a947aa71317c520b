"""The UDP port of a listener while nobody publishes: libsrt is started by the first caller.

An idle listener of libsrt wakes up two hundred times a second, for 0.4 to 0.8 % of a core. This
one sleeps in the event loop. A caller's first packet is only looked at; libsrt, which gets the same
socket, finds it there. Afterwards the port is taken back without a moment in which it is closed.

Source: draft-sharabayko-srt-01, sections 3 and 3.2.1 (handshake packet).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

_HANDSHAKE = b"\x80\x00\x00\x00"
"""Control packet, of type 0."""
_HANDSHAKE_BYTES = 64
_MAX_LOOKS = 64
"""Before the rest of the event loop has its turn."""
_DISCARD_PORT = 9
_TIMEVAL_BYTES = 16
_LOOPBACK = {"::": "::ffff:127.0.0.1", "0.0.0.0": "127.0.0.1"}  # noqa: S104  it binds nothing


class Doorbell:
    """``on_ring`` is called in the event loop, once until :meth:`take_back`. Raises OSError when
    the port cannot be had."""

    def __init__(self, bind: str, port: int, on_ring: Callable[[], None]) -> None:
        self._bind = bind
        self._on_ring = on_ring
        self._loop = asyncio.get_running_loop()
        self._socket = self._open(port)
        self.port = int(self._socket.getsockname()[1])
        self._loop.add_reader(self._socket, self._look)

    def placeholder(self) -> int:
        """A descriptor for libsrt to bind to, of a socket that hears nobody: its thread begins to
        read before its listener is there, and would drop what it finds."""
        with self._open(0) as made:
            return made.detach()

    def hand_over(self, descriptor: int) -> None:
        """Puts our socket in the place of :meth:`placeholder`'s. libsrt closes it, some seconds
        after its listener; from now on we do not read."""
        with socket.socket(fileno=os.dup(descriptor)) as chosen:
            for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                # The kernel reports twice of what was asked for.
                size = chosen.getsockopt(socket.SOL_SOCKET, buffer) // 2
                self._socket.setsockopt(socket.SOL_SOCKET, buffer, size)
            wait = chosen.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._loop.remove_reader(self._socket)
        # uvloop made it non-blocking; libsrt, which sleeps in its reads, would spin.
        self._socket.setblocking(os.get_blocking(descriptor))
        os.dup2(self._socket.fileno(), descriptor, inheritable=False)

    def take_back(self) -> None:
        """Waits for callers again, on a socket of our own."""
        old = self._socket
        # Allowed only now, so that at the start a port that somebody has is an error.
        old.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket = self._open(self.port, reuse=True)
        # libsrt still reads the old one for some seconds: it hears nobody any more.
        old.connect((self._nowhere(), _DISCARD_PORT))
        old.close()
        self._loop.add_reader(self._socket, self._look)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _open(self, port: int, *, reuse: bool = False) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._bind else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if reuse:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._bind, port))
        except BaseException:
            made.close()
            raise
        return made

    def _nowhere(self) -> str:
        return _LOOPBACK.get(self._bind, self._bind)

    def _look(self) -> None:
        """Leaves a handshake for libsrt, and discards whatever else comes first."""
        for _ in range(_MAX_LOOKS):
            try:
                head = self._socket.recv(_HANDSHAKE_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                if len(head) == _HANDSHAKE_BYTES and head.startswith(_HANDSHAKE):
                    self._loop.remove_reader(self._socket)
                    self._on_ring()
                    return
                self._socket.recv(1, socket.MSG_DONTWAIT)
            except OSError:  # nothing more; or an ICMP error of somebody's, which is over now
                return
