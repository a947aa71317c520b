"""Why a connection is refused, as SRT says it.

Sources: ``access_control.h`` and ``srt.h`` of libsrt 1.5 (``SRT_REJX_*``, ``SRT_REJ_*``); SRT
Access Control Guidelines. Codes from 1000 on are the application's, in the manner of HTTP.
"""

from __future__ import annotations

from enum import IntEnum


class RejectCode(IntEnum):
    """What we answer with."""

    BAD_REQUEST = 1400
    """The stream id cannot be read."""
    UNAUTHORIZED = 1401
    """Wrong key."""
    OVERLOAD = 1402
    """More connections than the gateway takes."""
    FORBIDDEN = 1403
    """The stream is not active."""
    NOT_FOUND = 1404
    """No such stream."""
    BAD_MODE = 1405
    """Somebody wants to watch; here one publishes."""
    UNACCEPTABLE = 1406
    """The stream does not take SRT."""
    CONFLICT = 1409
    """Somebody publishes there already."""
    NOT_SUPPORTED_MEDIA = 1415
    """The stream id asks for something else than a stream."""
    INTERNAL = 1500
    UNAVAILABLE = 1503
    """Not known yet, or no hub at the moment: try again."""
    TOO_MANY_FAILURES = 2429
    """Too many wrong keys from this address. From 2000 on the codes are the application's own."""


_REASONS = {
    0: "the handshake failed",
    1: "a system error at the server",
    2: "the server refused the connection",
    3: "the server is out of resources",
    4: "the handshake is broken",
    5: "the server has too many waiting connections",
    6: "an error of the library",
    7: "the socket was closed",
    8: "the versions do not fit",
    9: "a rendezvous collision",
    10: "wrong passphrase",
    11: "one side encrypts and the other does not",
    12: "message and stream mode do not fit",
    13: "the congestion controls do not fit",
    14: "the packet filters do not fit",
    15: "connection groups do not fit",
    16: "no answer",
    RejectCode.BAD_REQUEST: "the stream id cannot be read",
    RejectCode.UNAUTHORIZED: "wrong key",
    RejectCode.OVERLOAD: "the server is overloaded",
    RejectCode.FORBIDDEN: "publishing is not allowed",
    RejectCode.NOT_FOUND: "no such stream",
    RejectCode.BAD_MODE: "the server does not allow this mode",
    RejectCode.UNACCEPTABLE: "the stream does not take SRT",
    RejectCode.TOO_MANY_FAILURES: "too many wrong keys from this address",
    RejectCode.CONFLICT: "somebody publishes there already",
    RejectCode.NOT_SUPPORTED_MEDIA: "the server takes streams only",
    RejectCode.INTERNAL: "an internal error of the server",
    RejectCode.UNAVAILABLE: "the service is not available at the moment",
}


def describe_rejection(code: int) -> str:
    """A few words for a log or a status."""
    return _REASONS.get(code, "the server refused the connection")
