"""The binding of libsrt through ctypes: the few calls that we use, with types and errors.

ctypes releases the interpreter lock during each call. libsrt keeps the last error per thread, so
each method reads its own. Source: ``srt.h`` of libsrt 1.5.1. Later versions add fields only at the
end of the statistics structure.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util
import functools
import itertools
import socket
import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag

from sluice_media.protocols.srt.errors import CallError, LibraryMissing
from sluice_media.protocols.srt.stats import SrtStats

MAX_PAYLOAD_BYTES = 1_456
"""Maximum size of one message in live mode."""
_SONAMES = ("libsrt-gnutls.so.1.5", "libsrt-openssl.so.1.5", "libsrt.so.1.5")
_NAMES = ("srt-gnutls", "srt-openssl", "srt")
_LOG_CRITICAL = 2
_LIVE = 0
_MAX_EVENTS = 1_024

E_ASYNC_SEND = 6_001
E_ASYNC_RECEIVE = 6_002
_E_TIMEOUT = 6_003


class Option(IntEnum):
    """Socket options: ``SRT_SOCKOPT``."""

    SEND_BLOCKING = 1
    RECEIVE_BLOCKING = 2
    PASSPHRASE = 26
    CONNECT_TIMEOUT_MS = 36
    RECEIVE_LATENCY_MS = 43
    PEER_LATENCY_MS = 44
    STREAM_ID = 46
    TRANSMISSION_TYPE = 50
    ENFORCED_ENCRYPTION = 53
    IPV6_ONLY = 54
    PEER_IDLE_MS = 55
    KEY_LENGTH = 27


class Epoll(IntFlag):
    """Events of a socket: ``SRT_EPOLL_OPT``."""

    IN = 1
    ERROR = 8


class SocketState(IntEnum):
    """States of a socket: ``SRT_SOCKSTATUS``."""

    CONNECTING = 4
    CONNECTED = 5


ListenHook = Callable[[int, int, int | None, bytes | None], int]
"""Function (socket, handshake version, address of the peer's sockaddr, stream id) -> 0 to go on,
-1 to refuse."""
_LISTEN_HOOK = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int, c.c_int, c.c_void_p, c.c_char_p)


class _Counters(c.Structure):
    """Statistics of a socket: ``CBytePerfMon``."""

    _fields_ = [
        ("msTimeStamp", c.c_int64),
        *((name, c.c_int64) for name in ("pktSentTotal", "pktRecvTotal")),
        *((name, c.c_int) for name in (
            "pktSndLossTotal", "pktRcvLossTotal", "pktRetransTotal", "pktSentACKTotal",
            "pktRecvACKTotal", "pktSentNAKTotal", "pktRecvNAKTotal",
        )),
        ("usSndDurationTotal", c.c_int64),
        *((name, c.c_int) for name in (
            "pktSndDropTotal", "pktRcvDropTotal", "pktRcvUndecryptTotal",
        )),
        *((name, c.c_uint64) for name in (
            "byteSentTotal", "byteRecvTotal", "byteRcvLossTotal", "byteRetransTotal",
            "byteSndDropTotal", "byteRcvDropTotal", "byteRcvUndecryptTotal",
        )),
        *((name, c.c_int64) for name in ("pktSent", "pktRecv")),
        *((name, c.c_int) for name in (
            "pktSndLoss", "pktRcvLoss", "pktRetrans", "pktRcvRetrans", "pktSentACK", "pktRecvACK",
            "pktSentNAK", "pktRecvNAK",
        )),
        *((name, c.c_double) for name in ("mbpsSendRate", "mbpsRecvRate")),
        ("usSndDuration", c.c_int64),
        ("pktReorderDistance", c.c_int),
        ("pktRcvAvgBelatedTime", c.c_double),
        ("pktRcvBelated", c.c_int64),
        *((name, c.c_int) for name in ("pktSndDrop", "pktRcvDrop", "pktRcvUndecrypt")),
        *((name, c.c_uint64) for name in (
            "byteSent", "byteRecv", "byteRcvLoss", "byteRetrans", "byteSndDrop", "byteRcvDrop",
            "byteRcvUndecrypt",
        )),
        ("usPktSndPeriod", c.c_double),
        *((name, c.c_int) for name in ("pktFlowWindow", "pktCongestionWindow", "pktFlightSize")),
        *((name, c.c_double) for name in ("msRTT", "mbpsBandwidth")),
        *((name, c.c_int) for name in ("byteAvailSndBuf", "byteAvailRcvBuf")),
        ("mbpsMaxBW", c.c_double),
        *((name, c.c_int) for name in (
            "byteMSS", "pktSndBuf", "byteSndBuf", "msSndBuf", "msSndTsbPdDelay", "pktRcvBuf",
            "byteRcvBuf", "msRcvBuf", "msRcvTsbPdDelay",
        )),
        ("later", c.c_char * 1024),
    ]  # fmt: skip


class Library:
    """The started libsrt, made by :func:`load`. Its methods raise CallError."""

    def __init__(self, shared: c.CDLL) -> None:
        self._lib = shared
        _declare(shared)
        shared.srt_startup()
        # Its log goes to stderr, outside our structured log, and may hold details of peers.
        shared.srt_setloglevel(_LOG_CRITICAL)
        self.receive = shared.srt_recvmsg
        """Function (socket, address of a buffer, its size) -> received bytes, or a negative number
        when :meth:`last_error` holds an error."""

    def last_error(self) -> int:
        """Return the error code of the last call in this thread."""
        return int(self._lib.srt_getlasterror(None))

    # ------------------------------------------------------------------ sockets

    def create(self) -> int:
        """Return a new socket in live mode."""
        handle = self._check("srt_create_socket", self._lib.srt_create_socket())
        self.set_int(handle, Option.TRANSMISSION_TYPE, _LIVE)
        return handle

    def close(self, handle: int) -> None:
        """Close a socket. No effect when it is closed already."""
        self._lib.srt_close(handle)

    def set_int(self, handle: int, option: Option, value: int) -> None:
        """Set a number or a boolean: libsrt takes booleans in the size of an int."""
        raw = c.c_int(value)
        self._set(handle, option, c.byref(raw), c.sizeof(raw))

    def set_bytes(self, handle: int, option: Option, value: bytes) -> None:
        """Set a string."""
        self._set(handle, option, value, len(value))

    def _set(self, handle: int, option: Option, pointer: object, size: int) -> None:
        result = self._lib.srt_setsockflag(handle, option, pointer, size)
        self._check(f"setting {option.name}", result)

    def get_int(self, handle: int, option: Option) -> int:
        """Return a number."""
        raw, size = c.c_int(0), c.c_int(4)
        result = self._lib.srt_getsockflag(handle, option, c.byref(raw), c.byref(size))
        self._check(f"reading {option.name}", result)
        return raw.value

    def bind_descriptor(self, handle: int, descriptor: int) -> None:
        """Use a UDP socket that is bound already. From now on libsrt owns and closes it."""
        self._check("srt_bind_acquire", self._lib.srt_bind_acquire(handle, descriptor))

    def listen(self, handle: int, backlog: int) -> None:
        """Start to listen on a bound socket."""
        self._check("srt_listen", self._lib.srt_listen(handle, backlog))

    def hook(self, handle: int, hook: ListenHook) -> object:
        """Call ``hook`` before each accept, in the libsrt thread that receives for all sockets.

        Return an object that must live as long as the socket.
        """

        def call(
            _: object, ns: int, version: int, peer: int | None, stream_id: bytes | None
        ) -> int:
            return hook(ns, version, peer, stream_id)

        kept = _LISTEN_HOOK(call)
        self._check("srt_listen_callback", self._lib.srt_listen_callback(handle, kept, None))
        return kept

    def accept(self, handle: int) -> int | None:
        """Return the next connection of a non-blocking listener, or None when none waits."""
        accepted = int(self._lib.srt_accept(handle, None, None))
        if accepted >= 0:
            return accepted
        if (error := self.last_error()) == E_ASYNC_RECEIVE:
            return None
        raise CallError("srt_accept", error)

    def connect(self, handle: int, address: bytes) -> None:
        """Begin to connect a non-blocking socket; :meth:`state` returns the progress."""
        self._check("srt_connect", self._lib.srt_connect(handle, address, len(address)))

    def send(self, handle: int, data: bytes) -> bool:
        """Send one message. Return False when the buffer of a non-blocking socket is full."""
        if self._lib.srt_sendmsg(handle, data, len(data), -1, 1) >= 0:
            return True
        if (error := self.last_error()) == E_ASYNC_SEND:
            return False
        raise CallError("srt_sendmsg", error)

    def reject(self, handle: int, code: int) -> None:
        """Set the reason that the peer receives with its refusal."""
        self._lib.srt_setrejectreason(handle, code)

    def reject_reason(self, handle: int) -> int:
        """Return why a call was refused."""
        return int(self._lib.srt_getrejectreason(handle))

    def state(self, handle: int) -> int:
        """Return a SocketState, or another number of ``SRT_SOCKSTATUS``."""
        return int(self._lib.srt_getsockstate(handle))

    def stats(self, handle: int) -> SrtStats:
        """Return the counters of a connection."""
        raw = _Counters()
        self._check("srt_bistats", self._lib.srt_bistats(handle, c.byref(raw), 0, 1))
        return SrtStats(
            rtt_ms=raw.msRTT,
            packets_received=raw.pktRecvTotal,
            send_losses=raw.pktSndLossTotal,
            receive_losses=raw.pktRcvLossTotal,
            receive_retransmitted=raw.pktRcvRetrans,
            receive_dropped=raw.pktRcvDropTotal,
            send_dropped=raw.pktSndDropTotal,
            undecrypted=raw.pktRcvUndecryptTotal,
            send_buffer_ms=raw.msSndBuf,
            send_buffer_bytes=raw.byteSndBuf,
            peer_delay_ms=raw.msSndTsbPdDelay,
            send_dropped_bytes=raw.byteSndDropTotal,
        )

    # ------------------------------------------------------------------ waiting

    def epoll_create(self) -> int:
        """Return a new epoll."""
        return self._check("srt_epoll_create", self._lib.srt_epoll_create())

    def epoll_set(self, epoll: int, handle: int, events: Epoll, *, new: bool = False) -> None:
        """Wait for these events of an SRT socket. With ``new``, add the socket first."""
        raw = c.c_int(events)
        call = self._lib.srt_epoll_add_usock if new else self._lib.srt_epoll_update_usock
        self._check("srt_epoll_update_usock", call(epoll, handle, c.byref(raw)))

    def epoll_add_descriptor(self, epoll: int, descriptor: int) -> None:
        """Wake the epoll when a descriptor of the system becomes readable."""
        raw = c.c_int(Epoll.IN)
        result = self._lib.srt_epoll_add_ssock(epoll, descriptor, c.byref(raw))
        self._check("srt_epoll_add_ssock", result)

    def epoll_remove(self, epoll: int, handle: int) -> None:
        """Remove a socket. No effect when libsrt has removed it: it does so for closed sockets."""
        self._lib.srt_epoll_remove_usock(epoll, handle)

    def epoll_release(self, epoll: int) -> None:
        """Delete an epoll."""
        self._lib.srt_epoll_release(epoll)

    def epoll_wait(self, epoll: int, timeout_ms: int) -> list[int]:
        """Return the SRT sockets that have data or an error.

        The list is empty after the timeout, and when only the descriptor became readable.
        """
        ready, count = (c.c_int * _MAX_EVENTS)(), c.c_int(_MAX_EVENTS)
        woken, woken_count = (c.c_int * 4)(), c.c_int(4)
        result = self._lib.srt_epoll_wait(
            epoll, ready, c.byref(count), None, None, timeout_ms,
            woken, c.byref(woken_count), None, None,
        )  # fmt: skip
        if result < 0:
            if (error := self.last_error()) == _E_TIMEOUT:
                return []
            raise CallError("srt_epoll_wait", error)
        return ready[: count.value]

    def _check(self, call: str, result: int) -> int:
        if result < 0:
            raise CallError(call, self.last_error())
        return result


def _declare(lib: c.CDLL) -> None:
    pointer, number = c.c_void_p, c.c_int
    for name, arguments in {
        "srt_startup": [],
        "srt_setloglevel": [number],
        "srt_getlasterror": [pointer],
        "srt_create_socket": [],
        "srt_close": [number],
        "srt_setsockflag": [number, number, pointer, number],
        "srt_getsockflag": [number, number, pointer, pointer],
        "srt_bind_acquire": [number, number],
        "srt_listen": [number, number],
        "srt_listen_callback": [number, _LISTEN_HOOK, pointer],
        "srt_accept": [number, pointer, pointer],
        "srt_connect": [number, c.c_char_p, number],
        "srt_recvmsg": [number, pointer, number],
        "srt_sendmsg": [number, c.c_char_p, number, number, number],
        "srt_setrejectreason": [number, number],
        "srt_getrejectreason": [number],
        "srt_getsockstate": [number],
        "srt_bistats": [number, pointer, number, number],
        "srt_epoll_create": [],
        "srt_epoll_add_usock": [number, number, pointer],
        "srt_epoll_update_usock": [number, number, pointer],
        "srt_epoll_remove_usock": [number, number],
        "srt_epoll_add_ssock": [number, number, pointer],
        "srt_epoll_release": [number],
        "srt_epoll_wait": [
            number, pointer, pointer, pointer, pointer, c.c_int64,
            pointer, pointer, pointer, pointer,
        ],
    }.items():  # fmt: skip
        function = getattr(lib, name)
        function.argtypes = arguments
        function.restype = number


@functools.cache
def load() -> Library:
    """Return the library, started once per process. Raise LibraryMissing."""
    # find_library() starts other programs, so it runs only when the usual names do not exist.
    found = filter(None, map(ctypes.util.find_library, _NAMES))
    for name in itertools.chain(_SONAMES, found):
        try:
            return Library(c.CDLL(name))
        except (OSError, AttributeError):
            continue
    raise LibraryMissing("libsrt 1.5 is not installed (Debian: libsrt1.5-gnutls)")


# ---------------------------------------------------------------------- addresses


def pack_address(host: str, port: int) -> bytes:
    """Return a ``struct sockaddr`` of Linux. ``host`` is an address, not a name. Raise OSError."""
    if ":" in host:
        raw = socket.inet_pton(socket.AF_INET6, host)
        return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, raw, 0)
    raw = socket.inet_pton(socket.AF_INET, host)
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), raw)


def unpack_address(raw: bytes) -> tuple[str, int]:
    """Return host and port. An IPv4 address mapped into IPv6 is returned as IPv4."""
    family, port = struct.unpack_from("=HH", raw)
    port = socket.ntohs(port)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    if family == socket.AF_INET6:
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        return host.removeprefix("::ffff:"), port
    return "", port
