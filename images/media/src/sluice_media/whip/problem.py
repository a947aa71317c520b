"""Refusals over HTTP: a status, and a sentence for people as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

from aiohttp import web

from sluice_media.contract import LegReason
from sluice_media.publishing.publication import PublishRefused
from sluice_media.publishing.reasons import PublishReason


class Reason(StrEnum):
    """Reasons of refusals: the title of a problem, and a label of metrics."""

    BAD_KEY = LegReason.BAD_KEY.value
    BAD_OFFER = "BadOffer"
    BAD_PATH = PublishReason.BAD_PATH.value
    BUSY = LegReason.BUSY.value
    DISABLED = LegReason.DISABLED.value
    HUB_UNAVAILABLE = PublishReason.HUB_UNAVAILABLE.value
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    NO_BACKUP = "NoBackup"
    NOT_FOUND = "NotFound"
    PROTOCOL_NOT_ALLOWED = LegReason.PROTOCOL_NOT_ALLOWED.value
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    TOO_MANY_FAILURES = PublishReason.TOO_MANY_FAILURES.value
    UNKNOWN_SESSION = "UnknownSession"
    UNKNOWN_STREAM = LegReason.UNKNOWN_STREAM.value
    UNSUPPORTED_CODEC = LegReason.UNSUPPORTED_CODEC.value


_STATUS: Mapping[str, int] = {
    Reason.BAD_KEY: 401,
    Reason.BAD_PATH: 404,
    Reason.BUSY: 409,
    Reason.DISABLED: 403,
    Reason.PROTOCOL_NOT_ALLOWED: 403,
    Reason.TOO_MANY_FAILURES: 429,
    Reason.UNKNOWN_STREAM: 404,
    Reason.UNSUPPORTED_CODEC: 406,
}
_RETRY_AFTER_SECONDS = {429: "60", 503: "2"}


class Problem(Exception):  # noqa: N818  names the fact
    """A refusal that a handler raises. ``detail`` is a sentence for people."""

    def __init__(
        self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """``reason`` is a :class:`Reason`, or a reason of the hub that is not listed there."""
        super().__init__(detail)
        self.status = status
        self.reason = str(reason)
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the HTTP response."""
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
    """Return the problem for a hub's refusal. An unknown reason becomes status 403."""
    return Problem(_STATUS.get(refused.reason, 403), refused.reason, refused.message)
