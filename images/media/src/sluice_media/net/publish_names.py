"""The words of a publish address that every protocol has: what they may look like (pure)."""

from __future__ import annotations

import re

_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_MAX_STREAM_CHARS = 40
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
"""What an HTTP header can carry."""


def fault_of_names(namespace: str, stream: str) -> str | None:
    """What is wrong with them, in words that quote neither; None: nothing."""
    if not _DNS_LABEL.fullmatch(namespace) or not _DNS_LABEL.fullmatch(stream):
        return "namespace and stream are lower-case letters, digits and hyphens"
    if len(stream) > _MAX_STREAM_CHARS:
        return f"a stream's name has at most {_MAX_STREAM_CHARS} characters"
    return None


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None
