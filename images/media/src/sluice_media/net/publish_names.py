"""Syntax of the names in a publish address, for every protocol (pure)."""

from __future__ import annotations

import re

_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_MAX_STREAM_CHARS = 40
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
"""Characters and length that an HTTP header can carry."""


def fault_of_names(namespace: str, stream: str) -> str | None:
    """Return the fault of the two names, without quoting them; None when both are valid."""
    if not _DNS_LABEL.fullmatch(namespace) or not _DNS_LABEL.fullmatch(stream):
        return "namespace and stream are lower-case letters, digits and hyphens"
    if len(stream) > _MAX_STREAM_CHARS:
        return f"a stream's name has at most {_MAX_STREAM_CHARS} characters"
    return None


def is_key(text: str) -> bool:
    """Return whether ``text`` may be a publisher's key."""
    return _KEY.fullmatch(text) is not None
