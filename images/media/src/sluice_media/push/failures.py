"""Why a push failed, in the few classes that a status shows."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["REJECTIONS", "Failure", "FailureClass", "from_os_error", "from_status"]


class FailureClass(StrEnum):
    DNS = "Dns"
    REFUSED = "Refused"
    RESET = "Reset"
    TIMEOUT = "Timeout"
    CLOSED = "Closed"
    BAD_NAME = "BadName"
    UNAUTHORIZED = "Unauthorized"
    TLS = "Tls"
    UNSUPPORTED = "Unsupported"


REJECTIONS = frozenset(
    {
        FailureClass.BAD_NAME,
        FailureClass.UNAUTHORIZED,
        FailureClass.TLS,
        FailureClass.UNSUPPORTED,
    }
)
"""The target said no: trying again at once would only get the publisher banned."""

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


@dataclass(slots=True, frozen=True)
class Failure:
    class_: FailureClass
    message: str
    """A sentence for a person; never holds a key."""

    @property
    def is_rejection(self) -> bool:
        return self.class_ in REJECTIONS


def from_os_error(error: OSError, place: str) -> Failure:
    """What an error of the network means. ``place`` is the redacted address, for the sentence.

    The error's own text is not used: it names addresses, but not what to do.
    """
    if isinstance(error, socket.gaierror):
        return Failure(FailureClass.DNS, f"the name in {place} does not resolve")
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return Failure(FailureClass.TIMEOUT, f"{place} does not answer")
    if isinstance(error, ConnectionRefusedError):
        return Failure(FailureClass.REFUSED, f"{place} refuses connections: nothing listens there")
    if error.errno in _UNREACHABLE:
        return Failure(FailureClass.REFUSED, f"the network has no way to {place}")
    if isinstance(error, ConnectionError) or error.errno in _RESET:
        return Failure(FailureClass.RESET, f"{place} reset the connection")
    return Failure(FailureClass.RESET, f"the connection to {place} failed ({type(error).__name__})")


def from_status(code: str, description: str) -> Failure:
    """What a target's RTMP status of level ``error`` means (RTMP 1.0 clause 7.2 and practice).

    ``description`` must be scrubbed of the key: some servers quote it.
    """
    said = f"{code}: {description}" if description else code
    lowered = f"{code} {description}".lower()
    if "auth" in lowered or "denied" in lowered or "forbidden" in lowered:
        return Failure(
            FailureClass.UNAUTHORIZED,
            f"the target wants another stream key or a login ({said})",
        )
    if code.startswith("NetStream.Publish."):
        return Failure(
            FailureClass.BAD_NAME,
            f"the target refuses the stream key; is it right, and used only once? ({said})",
        )
    if code in ("NetConnection.Connect.Rejected", "NetConnection.Connect.InvalidApp"):
        return Failure(FailureClass.BAD_NAME, f"the target refuses the application path ({said})")
    return Failure(FailureClass.CLOSED, f"the target ended the connection ({said})")
