"""Signatures of S3 requests without a body (pure; the caller passes the clock).

obstore signs its own requests, but it can neither list nor abort multipart uploads. Source: AWS
Signature Version 4, "Create a signed AWS API request"; Amazon S3 API Reference, "Authenticating
Requests: Using the Authorization Header".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_EMPTY = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-._~"


def encoded_query(query: Mapping[str, str]) -> str:
    """Return the query as it is signed and must be sent: sorted, with all but RFC 3986's unreserved
    characters encoded."""
    pairs = sorted((_quote(key), _quote(value)) for key, value in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def signed_headers(
    method: str,
    url: str,
    query: Mapping[str, str],
    *,
    access_key: str,
    secret_key: str,
    session_token: str | None,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """Return the headers of a request to ``url`` (path encoded, without query)."""
    parts = urlsplit(url)
    moment = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    if session_token is not None:
        headers["x-amz-security-token"] = session_token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            method,
            parts.path or "/",
            encoded_query(query),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            _EMPTY,
        ]
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, digest])
    key = f"AWS4{secret_key}".encode()
    for part in (moment[:8], region, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    return headers


def _quote(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
