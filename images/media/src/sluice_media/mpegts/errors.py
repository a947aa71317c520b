"""The errors of reading a transport stream."""

from __future__ import annotations

__all__ = ["TsError", "UnsupportedCodec"]


class TsError(ValueError):
    """The bytes are no MPEG transport stream. The message is a sentence for the publisher."""

    reason = "BadMedia"
    """In one word of the API."""


class UnsupportedCodec(TsError):  # noqa: N818  the word is that of the API
    """The publisher sends nothing that Sluice carries."""

    reason = "UnsupportedCodec"
