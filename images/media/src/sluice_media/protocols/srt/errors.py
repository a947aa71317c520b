"""The errors of this package. Their texts never hold a stream id or a passphrase."""

from __future__ import annotations

from sluice_media.protocols.srt.reject import describe_rejection


class SrtError(Exception):
    """Something about SRT; the message is fit for a log."""


class LibraryMissing(SrtError):  # noqa: N818  says what it is
    """There is no libsrt on this machine."""


class CallError(SrtError):
    """A call of libsrt failed."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call} failed with code {code}")
        self.code = code
        """``SRT_ERRNO``."""


class SrtUrlError(SrtError):
    """A URI that cannot be called; the message is a sentence and never quotes the URI."""


class StreamIdError(SrtError):
    """The stream id says nothing that we can serve."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectRefused(SrtError):  # noqa: N818  says what it is
    """The server refused, or the handshake did not come to an end."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{describe_rejection(code)} (code {code})")
        self.code = code
        """1000 and above: the server's own words; below: the library's."""


class ConnectTimeout(SrtError):  # noqa: N818  says what it is
    """Nobody answered."""


class ConnectionLost(SrtError):  # noqa: N818  says what it is
    """The connection is not there any more."""
