"""Reject codes of SRT: the reasons for refusing a connection.

Sources: ``access_control.h`` and ``srt.h`` of libsrt 1.5 (``SRT_REJX_*``, ``SRT_REJ_*``); SRT
Access Control Guidelines. Codes below 1000 are libsrt's. Codes from 1000 on are the application's;
those from 1400 on follow HTTP's status codes.
"""

from __future__ import annotations

from enum import IntEnum


class RejectCode(IntEnum):
    """Codes that our listener answers with."""

    BAD_REQUEST = 1400
    """The stream id cannot be read."""
    UNAUTHORIZED = 1401
    """Wrong key."""
    OVERLOAD = 1402
    """The gateway has its maximum of connections."""
    FORBIDDEN = 1403
    """The stream is not active."""
    NOT_FOUND = 1404
    """No such stream."""
    BAD_MODE = 1405
    """The caller requests to watch; the listener only takes publishers."""
    UNACCEPTABLE = 1406
    """The stream does not take SRT."""
    CONFLICT = 1409
    """The stream has a publisher already."""
    NOT_SUPPORTED_MEDIA = 1415
    """The stream id requests a type other than a stream."""
    INTERNAL = 1500
    UNAVAILABLE = 1503
    """No verdict yet, or no hub at the moment: the caller may try again."""
    TOO_MANY_FAILURES = 2429
    """Too many wrong keys from this address. Codes from 2000 on are free for applications."""


_REASONS = {
    0: "the handshake failed",
    1: "a system error at the server",
    2: "the server refused the connection",
    3: "the server is out of resources",
    4: "the handshake is not valid",
    5: "the server has too many waiting connections",
    6: "an internal error of libsrt",
    7: "the socket was closed",
    8: "the SRT versions do not match",
    9: "a rendezvous collision",
    10: "wrong passphrase",
    11: "one side encrypts and the other does not",
    12: "one side uses message mode and the other stream mode",
    13: "the congestion controls do not match",
    14: "the packet filters do not match",
    15: "the connection groups do not match",
    16: "no answer",
    RejectCode.BAD_REQUEST: "the stream id cannot be read",
    RejectCode.UNAUTHORIZED: "wrong key",
    RejectCode.OVERLOAD: "the server is overloaded",
    RejectCode.FORBIDDEN: "publishing is not allowed",
    RejectCode.NOT_FOUND: "no such stream",
    RejectCode.BAD_MODE: "the server does not allow this mode",
    RejectCode.UNACCEPTABLE: "the stream does not take SRT",
    RejectCode.TOO_MANY_FAILURES: "too many wrong keys from this address",
    RejectCode.CONFLICT: "the stream has a publisher already",
    RejectCode.NOT_SUPPORTED_MEDIA: "the server takes streams only",
    RejectCode.INTERNAL: "an internal error of the server",
    RejectCode.UNAVAILABLE: "the service is not available at the moment",
}


def describe_rejection(code: int) -> str:
    """Return the reason in a few words, for a log or a status."""
    return _REASONS.get(code, "the server refused the connection")
