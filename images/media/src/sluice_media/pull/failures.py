"""Failures of tries: an outcome for metrics and a sentence for the producer.

FFmpeg's output is never shown, not even redacted: an RTMP server's refusal may quote the key in any
form. The output is only searched for known texts.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Reasons for the end of a try: a label of metrics and the reason of a leg's end."""

    INVALID_URI = "InvalidUri"
    NOT_ALLOWED = "NotAllowed"
    DNS = "Dns"
    REFUSED = "Refused"
    RESET = "Reset"
    TIMEOUT = "Timeout"
    TLS = "Tls"
    UNAUTHORIZED = "Unauthorized"
    NOT_FOUND = "NotFound"
    SERVER_ERROR = "ServerError"
    REDIRECTED = "Redirected"
    NO_MEDIA = "NoMedia"
    UNSUPPORTED = "Unsupported"
    STALLED = "Stalled"
    ENDED = "Ended"
    FAILED = "Failed"
    STOPPED = "Stopped"
    """Stopped by Sluice: the configuration changed, or another source took over."""


@dataclass(slots=True, frozen=True)
class PullFailure:
    """The end of a try."""

    outcome: Outcome
    message: str
    """Sentence for the producer. It shows at most scheme, host and port of the URI."""


_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})


def from_dial_error(error: OSError, place: str) -> PullFailure:
    """Return the failure for a network error. ``place`` is scheme, host and port."""
    if isinstance(error, socket.gaierror):
        return PullFailure(Outcome.DNS, f"The name in {place} does not resolve.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return PullFailure(
            Outcome.TLS, f"The certificate of {place} is not valid: {error.verify_message}."
        )
    if isinstance(error, ssl.SSLError):
        return PullFailure(Outcome.TLS, f"{place} breaks the TLS protocol.")
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return PullFailure(Outcome.TIMEOUT, f"{place} does not answer.")
    if isinstance(error, ConnectionRefusedError):
        return PullFailure(Outcome.REFUSED, f"{place} refuses connections: nothing listens there.")
    if error.errno in _UNREACHABLE:
        return PullFailure(Outcome.REFUSED, f"The network has no route to {place}.")
    return PullFailure(Outcome.RESET, f"{place} reset the connection.")


def from_http_status(status: int, place: str) -> PullFailure | None:
    """Return the failure for a status of HTTP or RTSP, or None for a status below 400."""
    if status < 400:
        return None
    if status in (401, 407):
        return PullFailure(
            Outcome.UNAUTHORIZED, f"{place} requires another user name or password ({status})."
        )
    if status == 403:
        return PullFailure(Outcome.UNAUTHORIZED, f"{place} forbids access ({status}).")
    if status in (404, 410):
        return PullFailure(Outcome.NOT_FOUND, f"{place} has no such stream ({status}).")
    if status < 500:
        return PullFailure(Outcome.SERVER_ERROR, f"{place} refuses the request ({status}).")
    return PullFailure(Outcome.SERVER_ERROR, f"{place} has an internal error ({status}).")


_STATUS = re.compile(r"(?:HTTP error|method \w+ failed:|Server returned) (\d)(\d\d|XX)")
_SIGNS: tuple[tuple[str, Outcome, str], ...] = (
    ("Connection refused", Outcome.REFUSED, "{} refuses connections: nothing listens there."),
    ("Connection timed out", Outcome.TIMEOUT, "{} does not answer."),
    ("Incorrect passphrase", Outcome.UNAUTHORIZED, "{} requires another passphrase."),
    ("Connection to srt:", Outcome.TIMEOUT, "{} does not answer, or refuses the stream id."),
    ("Server error:", Outcome.NOT_FOUND, "{} refuses the application or the stream name."),
    ("Connection reset by peer", Outcome.RESET, "{} reset the connection."),
    ("not in whitelist", Outcome.NOT_ALLOWED, "{} refers to a place that is not allowed."),
    ("does not contain any stream", Outcome.NO_MEDIA, "{} sends neither video nor audio."),
    ("matches no streams", Outcome.NO_MEDIA, "{} sends neither video nor audio."),
    ("Invalid data found", Outcome.NO_MEDIA, "{} sends nothing that can be read as media."),
    ("Could not find codec parameters", Outcome.NO_MEDIA, "{} sends no media that can be read."),
    ("Could not write header", Outcome.UNSUPPORTED, "{} sends codecs that Sluice cannot carry."),
)


def from_stderr(lines: Sequence[str], place: str) -> PullFailure | None:
    """Return the failure for FFmpeg's output, or None when it holds no known text."""
    text = "\n".join(lines)
    status = _STATUS.search(text)
    if status is not None:
        number = int(status[1]) * 100 + (0 if status[2] == "XX" else int(status[2]))
        return from_http_status(number, place)
    for sign, outcome, sentence in _SIGNS:
        if sign in text:
            return PullFailure(outcome, sentence.format(place))
    return None
