"""The errors of this package."""

from __future__ import annotations

__all__ = ["FlvError", "UnsupportedCodec"]


class FlvError(ValueError):
    """The bytes are no FLV, or a decoder configuration in them is broken.

    The message is a sentence for the publisher.
    """

    reason = "BadMedia"
    """In one word of the API."""


class UnsupportedCodec(FlvError):  # noqa: N818  the word is that of the API
    """The publisher sends a codec that Sluice does not carry."""

    reason = "UnsupportedCodec"

    def __init__(self, message: str, codec: str) -> None:
        super().__init__(message)
        self.codec = codec
        """Its name, as people know it or as the publisher wrote it."""
