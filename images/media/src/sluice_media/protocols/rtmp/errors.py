"""Errors of RTMP. Their texts never quote received bytes, which may hold a key."""

from __future__ import annotations


class RtmpError(ValueError):
    """A violation of the protocol or of our limits; the connection cannot be used any more.

    The message describes the peer's fault and may be logged.
    """


class RtmpUrlError(ValueError):
    """An RTMP URL that cannot be used. The message is a sentence for its author, without a key."""
