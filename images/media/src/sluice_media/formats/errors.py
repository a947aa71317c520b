"""The errors of reading a publisher's container."""

from __future__ import annotations


class MediaError(ValueError):
    """The bytes are not the announced container, or a decoder configuration in them is broken.

    The message is a sentence for the publisher.
    """

    reason = "BadMedia"
    """The reason in a leg's rejection and in metrics."""


class UnsupportedCodec(MediaError):  # noqa: N818  the word is that of the API
    """The publisher sends a codec that Sluice does not carry."""

    reason = "UnsupportedCodec"

    def __init__(self, message: str, codec: str = "") -> None:
        super().__init__(message)
        self.codec = codec
        """The codec's usual name, or as the publisher wrote it. Empty: there are several."""
