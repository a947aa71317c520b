"""Signed playback URLs (pure).

A signed URL has the segment ``~<expiry>~<mac>`` before the stream's path. ``expiry`` is a Unix time
in seconds. ``mac`` is the HMAC-SHA256 (RFC 2104) of ``/<namespace>/<stream>/<expiry>`` under one of
the stream's signing keys, in lower-case hexadecimal digits. A user's web application can make it:

    mac = hmac.new(key, f"/{namespace}/{stream}/{expiry}".encode(), "sha256").hexdigest()
    url = f"https://{host}/~{expiry}~{mac}/{namespace}/{stream}/"
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_AGE_SECONDS = 30
"""Time for which the edge may use a verdict again. A removed key is refused after this time."""
_TOKEN = re.compile(r"(\d{1,12})~([0-9a-f]{64})")


class Verdict(StrEnum):
    """Decision about a request."""

    ALLOW = "allow"
    DENY = "deny"
    EXPIRED = "expired"


class Decision(NamedTuple):
    """A verdict, and for how many seconds it is valid."""

    verdict: Verdict
    max_age_seconds: int


def sign(namespace: str, stream: str, key: str, expiry: int) -> str:
    """Return the token ``<expiry>~<mac>`` of a URL that is valid until ``expiry``."""
    message = f"/{namespace}/{stream}/{expiry}".encode()
    return f"{expiry}~{hmac.new(key.encode(), message, hashlib.sha256).hexdigest()}"


def judge(token: str, namespace: str, stream: str, keys: Sequence[str], now: float) -> Decision:
    """Return the decision about a token of a stream whose URLs must be signed.

    The comparison takes equally long for every wrong token. A token with a wrong MAC is denied, and
    not called expired."""
    match = _TOKEN.fullmatch(token)
    expiry = int(match[1]) if match else 0
    is_signed = False
    for key in keys:
        is_signed |= hmac.compare_digest(
            sign(namespace, stream, key, expiry).encode(), token.encode()
        )
    if match is None or not is_signed:
        return Decision(Verdict.DENY, MAX_AGE_SECONDS)
    if now >= expiry:
        return Decision(Verdict.EXPIRED, MAX_AGE_SECONDS)
    return Decision(Verdict.ALLOW, max(1, min(MAX_AGE_SECONDS, int(expiry - now))))
