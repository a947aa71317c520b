"""Error of this package."""

from __future__ import annotations


class CodecError(ValueError):
    """The bytes are not a valid configuration or access unit of their codec.

    The message names the fault, for a log or a status.
    """
