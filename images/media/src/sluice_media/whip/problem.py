"""Refusals as HTTP says them: a status, and a sentence for people as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from sluice_media.publishing.publication import PublishRefused

_STATUS = {
    "BadKey": 401,
    "BadPath": 404,
    "Busy": 409,
    "Disabled": 403,
    "ProtocolNotAllowed": 403,
    "TooManyFailures": 429,
    "UnknownStream": 404,
    "UnsupportedCodec": 406,
}
_RETRY_AFTER_SECONDS = {429: "60", 503: "2"}


class Problem(Exception):  # noqa: N818  says what it is
    """Raised by handlers; ``reason`` is one word, ``detail`` a sentence for people."""

    def __init__(
        self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        headers = self.headers
        if self.status in _RETRY_AFTER_SECONDS:
            headers.setdefault("Retry-After", _RETRY_AFTER_SECONDS[self.status])
        if self.status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="whip"')
        body = {"status": self.status, "title": self.reason, "detail": self.detail}
        return web.Response(
            status=self.status,
            text=json.dumps(body),
            content_type="application/problem+json",
            headers=headers,
        )


def problem_of(refused: PublishRefused) -> Problem:
    """A refusal by the hub. A reason that is new to us is still a refusal: 403."""
    return Problem(_STATUS.get(refused.reason, 403), refused.reason, refused.message)
