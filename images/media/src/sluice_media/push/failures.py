"""Why a push failed, in the few classes that a status shows."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

from sluice_media.net.address_guard import NotAllowedError
from sluice_media.protocols.srt.errors import ConnectRefused
from sluice_media.protocols.srt.reject import RejectCode


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
    FORBIDDEN = "Forbidden"
    """The cluster's own rules do not allow the address."""


REJECTIONS = frozenset(
    {
        FailureClass.BAD_NAME,
        FailureClass.UNAUTHORIZED,
        FailureClass.TLS,
        FailureClass.UNSUPPORTED,
        FailureClass.FORBIDDEN,
    }
)
"""The target (or our own rules) said no: trying again at once would only get the publisher
banned."""

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


class TargetFailure(Exception):  # noqa: N818  says what it is
    """A connection came to its end, or to nothing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def from_guard(refused: NotAllowedError) -> Failure:
    """An address that may not be dialled."""
    return Failure(
        FailureClass.FORBIDDEN,
        f"{str(refused).rstrip('.')}; the chart's network.allowedRanges and allowedNames make "
        "exceptions",
    )


_EXPIRED, _NOT_YET, _SELF_SIGNED, _SELF_SIGNED_CHAIN = 10, 9, 18, 19
_UNKNOWN_ISSUER, _UNVERIFIED_LEAF = 20, 21
_WRONG_NAME, _WRONG_ADDRESS = 62, 64
_AUTHORITY_WORDS = (
    "is signed by an authority that is not known; "
    "a private authority's certificate has to be named in the Restream"
)
_CERTIFICATE_WORDS = {
    _EXPIRED: "has expired; its owner has to renew it",
    _NOT_YET: "is not valid yet; is the clock right?",
    _SELF_SIGNED: f"is self-signed: it {_AUTHORITY_WORDS}",
    _SELF_SIGNED_CHAIN: _AUTHORITY_WORDS,
    _UNKNOWN_ISSUER: _AUTHORITY_WORDS,
    _UNVERIFIED_LEAF: _AUTHORITY_WORDS,
    _WRONG_NAME: "is for another name; is the server in the URI right?",
    _WRONG_ADDRESS: "is for another address; use the server's name in the URI",
}
"""By ``X509_V_ERR_*`` of OpenSSL."""


def from_tls(error: ssl.SSLError, place: str) -> Failure:
    """What a failed TLS handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _CERTIFICATE_WORDS.get(error.verify_code, "cannot be verified")
        return Failure(FailureClass.TLS, f"the certificate of {place} {words}")
    if error.reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
        words = "does not speak TLS there; use rtmp://, or the port for rtmps"
    else:
        words = "and we found no TLS that both can speak, or it broke off the handshake"
    return Failure(FailureClass.TLS, f"{place} {words}")


_SRT_CLASSES = {
    10: FailureClass.UNAUTHORIZED,
    11: FailureClass.UNAUTHORIZED,
    8: FailureClass.UNSUPPORTED,
    12: FailureClass.UNSUPPORTED,
    13: FailureClass.UNSUPPORTED,
    14: FailureClass.UNSUPPORTED,
    RejectCode.UNAUTHORIZED: FailureClass.UNAUTHORIZED,
    RejectCode.FORBIDDEN: FailureClass.UNAUTHORIZED,
    RejectCode.TOO_MANY_FAILURES: FailureClass.UNAUTHORIZED,
    RejectCode.BAD_REQUEST: FailureClass.BAD_NAME,
    RejectCode.NOT_FOUND: FailureClass.BAD_NAME,
    RejectCode.CONFLICT: FailureClass.BAD_NAME,
    RejectCode.BAD_MODE: FailureClass.UNSUPPORTED,
    RejectCode.UNACCEPTABLE: FailureClass.UNSUPPORTED,
    RejectCode.NOT_SUPPORTED_MEDIA: FailureClass.UNSUPPORTED,
}


def from_srt_refusal(refused: ConnectRefused, place: str) -> Failure:
    """What a refused SRT handshake means; what is not a plain no is tried again soon."""
    class_ = _SRT_CLASSES.get(refused.code, FailureClass.REFUSED)
    return Failure(class_, f"{place} refuses the connection: {refused}")


def from_os_error(error: OSError, place: str) -> Failure:
    """What an error of the network means. ``place`` is the redacted address, for the sentence.

    The error's own text is not used: it names addresses, but not what to do.
    """
    if isinstance(error, ssl.SSLError):
        return from_tls(error, place)
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
