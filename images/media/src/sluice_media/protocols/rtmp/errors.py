"""The errors of this package. Their texts never quote the wire, which may hold a key."""

from __future__ import annotations


class RtmpError(ValueError):
    """The peer broke the protocol or one of our limits; the connection cannot be used any more.

    The message says what the peer did, in words fit for a log.
    """


class RtmpUrlError(ValueError):
    """An RTMP URL that cannot be used; the message is a sentence for its author, without a key."""
