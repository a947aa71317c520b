"""Causes of a failed push: a class for the status and a sentence for the user.

The sentences begin in lower case and have no full stop: the operator quotes them after a colon.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from sluice_media.contract import TargetErrorClass
from sluice_media.net.address_guard import NotAllowedError
from sluice_media.protocols.srt.errors import ConnectRefused
from sluice_media.protocols.srt.reject import RejectCode

REJECTIONS = frozenset(
    {
        TargetErrorClass.BAD_NAME,
        TargetErrorClass.UNAUTHORIZED,
        TargetErrorClass.TLS,
        TargetErrorClass.UNSUPPORTED,
        TargetErrorClass.FORBIDDEN,
    }
)
"""Classes of a refusal, by the target or by the cluster's own rules. Frequent retries would only
get the publisher banned."""

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


@dataclass(slots=True, frozen=True)
class Failure:
    """Cause of a failed push."""

    class_: TargetErrorClass
    message: str
    """Sentence for the user; never contains a key."""

    @property
    def is_rejection(self) -> bool:
        return self.class_ in REJECTIONS


class TargetFailure(Exception):  # noqa: N818  the name describes the event
    """A connection ended, or could not be made."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def from_guard(refused: NotAllowedError) -> Failure:
    """Return the failure for an address that may not be dialled."""
    return Failure(
        TargetErrorClass.FORBIDDEN,
        f"{str(refused).rstrip('.')}; an administrator can allow it with the chart's "
        "network.allowedRanges or network.allowedNames",
    )


_EXPIRED, _NOT_YET, _SELF_SIGNED, _SELF_SIGNED_CHAIN = 10, 9, 18, 19
_UNKNOWN_ISSUER, _UNVERIFIED_LEAF = 20, 21
_WRONG_NAME, _WRONG_ADDRESS = 62, 64
_NAME_AUTHORITY = "for a private authority, set caSecretRef in the Restream"
_UNKNOWN_AUTHORITY = f"is signed by an unknown authority; {_NAME_AUTHORITY}"
_CERTIFICATE_PROBLEMS = {
    _EXPIRED: "has expired; the owner of the target must renew it",
    _NOT_YET: "is not valid yet; check the clocks of the node and of the target",
    _SELF_SIGNED: f"is self-signed, by an unknown authority; {_NAME_AUTHORITY}",
    _SELF_SIGNED_CHAIN: _UNKNOWN_AUTHORITY,
    _UNKNOWN_ISSUER: _UNKNOWN_AUTHORITY,
    _UNVERIFIED_LEAF: _UNKNOWN_AUTHORITY,
    _WRONG_NAME: "is for another name; check the server name in the URI",
    _WRONG_ADDRESS: "is for another address; use the server's name in the URI",
}
"""Problem of a certificate, by ``X509_V_ERR_*`` of OpenSSL."""


def from_tls(error: ssl.SSLError, place: str) -> Failure:
    """Return the failure for a TLS handshake; ``place`` is the redacted address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = _CERTIFICATE_PROBLEMS.get(error.verify_code, "cannot be verified")
        return Failure(TargetErrorClass.TLS, f"the certificate of {place} {problem}")
    if error.reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
        problem = "does not speak TLS at this port; use rtmp://, or the port for rtmps"
    else:
        problem = "broke off the TLS handshake, or supports no TLS version that Sluice supports"
    return Failure(TargetErrorClass.TLS, f"{place} {problem}")


_SRT_CLASSES = {
    10: TargetErrorClass.UNAUTHORIZED,
    11: TargetErrorClass.UNAUTHORIZED,
    8: TargetErrorClass.UNSUPPORTED,
    12: TargetErrorClass.UNSUPPORTED,
    13: TargetErrorClass.UNSUPPORTED,
    14: TargetErrorClass.UNSUPPORTED,
    RejectCode.UNAUTHORIZED: TargetErrorClass.UNAUTHORIZED,
    RejectCode.FORBIDDEN: TargetErrorClass.UNAUTHORIZED,
    RejectCode.TOO_MANY_FAILURES: TargetErrorClass.UNAUTHORIZED,
    RejectCode.BAD_REQUEST: TargetErrorClass.BAD_NAME,
    RejectCode.NOT_FOUND: TargetErrorClass.BAD_NAME,
    RejectCode.CONFLICT: TargetErrorClass.BAD_NAME,
    RejectCode.BAD_MODE: TargetErrorClass.UNSUPPORTED,
    RejectCode.UNACCEPTABLE: TargetErrorClass.UNSUPPORTED,
    RejectCode.NOT_SUPPORTED_MEDIA: TargetErrorClass.UNSUPPORTED,
}


def from_srt_refusal(refused: ConnectRefused, place: str) -> Failure:
    """Return the failure for a refused SRT handshake.

    A code that is no clear refusal becomes Refused, which is tried again soon.
    """
    class_ = _SRT_CLASSES.get(refused.code, TargetErrorClass.REFUSED)
    return Failure(class_, f"{place} refuses the connection: {refused}")


def from_os_error(error: OSError, place: str) -> Failure:
    """Return the failure for a network error; ``place`` is the redacted address.

    The error's own text is not used: it contains addresses, but not what to do.
    """
    if isinstance(error, ssl.SSLError):
        return from_tls(error, place)
    if isinstance(error, socket.gaierror):
        return Failure(TargetErrorClass.DNS, f"the name in {place} does not resolve")
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return Failure(TargetErrorClass.TIMEOUT, f"{place} does not answer")
    if isinstance(error, ConnectionRefusedError):
        return Failure(
            TargetErrorClass.REFUSED, f"{place} refuses connections: nothing listens there"
        )
    if error.errno in _UNREACHABLE:
        return Failure(TargetErrorClass.REFUSED, f"the network has no route to {place}")
    if isinstance(error, ConnectionError) or error.errno in _RESET:
        return Failure(TargetErrorClass.RESET, f"{place} reset the connection")
    return Failure(
        TargetErrorClass.RESET, f"the connection to {place} failed ({type(error).__name__})"
    )


def from_status(code: str, description: str) -> Failure:
    """Return the failure for an RTMP status of level ``error`` (RTMP 1.0 clause 7.2 and practice).

    The caller removes the key from ``description``: some servers quote it.
    """
    answer = f"{code}: {description}" if description else code
    lowered = f"{code} {description}".lower()
    if "auth" in lowered or "denied" in lowered or "forbidden" in lowered:
        return Failure(
            TargetErrorClass.UNAUTHORIZED,
            f"the target requires another stream key or a login; it answers: {answer}",
        )
    if code.startswith("NetStream.Publish."):
        return Failure(
            TargetErrorClass.BAD_NAME,
            "the target refuses the stream key; check that it is right and that no other publisher "
            f"uses it; it answers: {answer}",
        )
    if code in ("NetConnection.Connect.Rejected", "NetConnection.Connect.InvalidApp"):
        return Failure(
            TargetErrorClass.BAD_NAME,
            f"the target refuses the application path of the URI; it answers: {answer}",
        )
    return Failure(
        TargetErrorClass.CLOSED, f"the target ended the connection; it answers: {answer}"
    )
