"""Errors of SRT. Their texts never hold a stream id or a passphrase."""

from __future__ import annotations

from sluice_media.protocols.srt.reject import describe_rejection


class SrtError(Exception):
    """An error of SRT; its message may be logged."""


class LibraryMissing(SrtError):  # noqa: N818  names the fact
    """libsrt is not installed on this machine."""


class CallError(SrtError):
    """A failed call of libsrt."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call} failed with code {code}")
        self.code = code
        """``SRT_ERRNO`` of the call."""


class SrtUrlError(SrtError):
    """A URI that cannot be called. The message is a sentence and never quotes the URI."""


class StreamIdError(SrtError):
    """A stream id that we cannot serve."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        """The RejectCode to answer with."""


class ConnectRefused(SrtError):  # noqa: N818  names the fact
    """A call that the server refused, or whose handshake did not finish."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{describe_rejection(code)} (code {code})")
        self.code = code
        """Reject reason: from 1000 on the server chose it, below 1000 libsrt did."""


class ConnectTimeout(SrtError):  # noqa: N818  names the fact
    """A call without an answer."""


class ConnectionLost(SrtError):  # noqa: N818  names the fact
    """A connection that has ended."""
