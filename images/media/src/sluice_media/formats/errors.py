"""Errors of a container that a publisher sends."""

from __future__ import annotations


class MediaError(ValueError):
    """The bytes are not the announced container, or they have a broken decoder configuration.

    The message is a sentence for the publisher.
    """

    reason = "BadMedia"
    """Reason in a leg's rejection and in metrics: ``LegReason.BAD_MEDIA`` of the contract, which
    the formats do not import."""


class UnsupportedCodec(MediaError):  # noqa: N818  the name is the reason of the API
    """The publisher sends a codec that Sluice does not carry."""

    reason = "UnsupportedCodec"
    """``LegReason.UNSUPPORTED_CODEC`` of the contract."""

    def __init__(self, message: str, codec: str = "") -> None:
        super().__init__(message)
        self.codec = codec
        """Usual name of the codec, or the publisher's own name for it; empty for several codecs."""
