"""The one error of this package."""

from __future__ import annotations


class CodecError(ValueError):
    """The bytes are no valid configuration or access unit of their codec.

    The message says what is wrong with them, in words fit for a log or a status.
    """
