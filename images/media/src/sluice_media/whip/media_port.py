"""The one UDP port of all sessions: each datagram goes to the ICE agent of its session.

A STUN request (RFC 8489) names its session in the user name, ``<our ufrag>:<their ufrag>``. From
then on the request's source address belongs to that session, and all datagrams from this address go
to it. Another session can claim the address only after a silence. So a forged source address does
not cut off a running session.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog

Address = tuple[str, int]

_MAX_ADDRESSES_PER_SESSION = 32
"""Maximum number of source addresses. A browser with many networks has about ten."""
_ADDRESS_SILENCE_SECONDS = 1.0
"""Silence of an address after which a STUN request may claim it for another session. A client may
return with its former port."""
_RECEIVE_BUFFER_BYTES = 4 << 20
_STUN_HEADER_BYTES = 20
_STUN_COOKIE = b"\x21\x12\xa4\x42"
_BINDING_REQUEST = b"\x00\x01"
_USERNAME = 0x0006
_MAX_ATTRIBUTES = 32
_log = structlog.get_logger(__name__)


class PortUser(Protocol):
    """The ICE agent of a session: an asyncio datagram protocol."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


def stun_ufrag(datagram: bytes) -> str | None:
    """Return our user name fragment in a STUN binding request, None for any other datagram."""
    if datagram[:2] != _BINDING_REQUEST or datagram[4:8] != _STUN_COOKIE:
        return None
    position = _STUN_HEADER_BYTES
    for _ in range(_MAX_ATTRIBUTES):
        if position + 4 > len(datagram):
            return None
        kind = int.from_bytes(datagram[position : position + 2], "big")
        length = int.from_bytes(datagram[position + 2 : position + 4], "big")
        start = position + 4
        if kind == _USERNAME:
            ours, _, _ = datagram[start : start + length].partition(b":")
            return ours.decode("ascii", "replace")
        position = start + (length + 3 & ~3)
    return None


class SessionTransport(asyncio.DatagramTransport):
    """One session's share of the port. Closing it leaves the port open."""

    def __init__(self, port: MediaPort, ufrag: str, user: PortUser) -> None:
        super().__init__()
        self._port = port
        self._closing = False
        self.ufrag = ufrag
        self.user = user
        self.addresses: set[Address] = set()

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._closing:
            self._port.send(data, addr)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._port.local_address if name == "sockname" else default

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._port.leave(self)
            asyncio.get_running_loop().call_soon(self.user.connection_lost, None)

    def abort(self) -> None:
        self.close()


@dataclass(slots=True)
class _Owner:
    """The session that owns a source address."""

    session: SessionTransport
    received_at: float
    """Time of the last datagram."""


class MediaPort(asyncio.DatagramProtocol):
    """The shared port. :meth:`open` makes it, and its caller must close it."""

    def __init__(self, on_dropped: Callable[[], None]) -> None:
        self._on_dropped = on_dropped
        self._transport: asyncio.DatagramTransport
        self._sessions: dict[str, SessionTransport] = {}
        self._by_address: dict[Address, _Owner] = {}
        self.local_address: Address = ("", 0)

    @classmethod
    async def open(
        cls, host: str, port: int, on_dropped: Callable[[], None] = lambda: None
    ) -> MediaPort:
        """Bind the port. Raise OSError.

        ``on_dropped`` is called for each datagram that belongs to no session or breaks its parser.
        """
        _, media_port = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(on_dropped), local_addr=(host, port)
        )
        return media_port

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len(self._sessions)

    @property
    def addresses(self) -> int:
        """Number of source addresses that belong to sessions."""
        return len(self._by_address)

    def join(self, ufrag: str, user: PortUser) -> None:
        """Give an agent its share. Raise ValueError when the user name fragment is in use."""
        if ufrag in self._sessions:
            raise ValueError("the ICE user name fragment is in use")
        transport = self._sessions[ufrag] = SessionTransport(self, ufrag, user)
        user.connection_made(transport)

    def leave(self, session: SessionTransport) -> None:
        """Remove a session and its source addresses."""
        self._sessions.pop(session.ufrag, None)
        for address in session.addresses:
            del self._by_address[address]

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram, unless the port is closed."""
        if not self._transport.is_closing():
            self._transport.sendto(data, address)

    def close(self) -> None:
        """Close the port for all sessions."""
        self._transport.close()

    # ------------------------------------------------------------------ asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local_address = transport.get_extra_info("sockname")[:2]
        if (sock := transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):  # the system's limit may be lower
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        address: Address = addr[0], addr[1]
        session = self._session_of(data, address)
        if session is None:
            self._on_dropped()
            return
        try:
            session.user.datagram_received(data, address)
        except Exception as error:
            # A hostile datagram must not close the port for the other sessions.
            self._on_dropped()
            _log.warning("datagram_failed", error=type(error).__name__)

    def error_received(self, exc: Exception) -> None:
        _log.debug("datagram_not_sent", error=type(exc).__name__)

    def _session_of(self, data: bytes, address: Address) -> SessionTransport | None:
        now = asyncio.get_running_loop().time()
        claim = self._by_address.get(address)
        ufrag = stun_ufrag(data)
        named = self._sessions.get(ufrag) if ufrag is not None else None
        if claim is not None:
            taken_over = (
                named is not None
                and named is not claim.session
                and now - claim.received_at > _ADDRESS_SILENCE_SECONDS
            )
            if not taken_over:
                claim.received_at = now
                return claim.session
            claim.session.addresses.discard(address)
        if named is None or len(named.addresses) >= _MAX_ADDRESSES_PER_SESSION:
            return None
        named.addresses.add(address)
        self._by_address[address] = _Owner(named, now)
        return named
