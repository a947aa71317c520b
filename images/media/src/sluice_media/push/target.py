"""Where a Restream goes: its address and key, kept apart so that the key is shown nowhere.

A target comes as a server URI and a stream key of its own (what a platform shows as "server" and
"stream key"), or as one URI that holds the key too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.rtmp.errors import RtmpUrlError
from sluice_media.rtmp.url import RtmpUrl, parse_rtmp_url

__all__ = ["InvalidTargetError", "Target", "parse_target", "target_digest"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,15}):", re.IGNORECASE)
_MIN_SCRUBBED_CHARACTERS = 6
"""Shorter parts are words like ``live``; taking those out would garble the sentence."""
_MAX_MESSAGE_CHARACTERS = 200


class InvalidTargetError(ValueError):
    """The target cannot be used as configured; the message is a sentence without any secret."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """``InvalidUri`` or ``SecretKeyMissing``, as in a status."""


@dataclass(slots=True, frozen=True)
class Target:
    """A usable target. Neither ``repr`` nor :attr:`redacted` shows a key."""

    url: RtmpUrl

    @property
    def redacted(self) -> str:
        """Scheme, host, port and application: for status and logs."""
        return self.url.redacted

    @property
    def place(self) -> str:
        """Host and port, for sentences."""
        return self.url.authority

    def scrub(self, text: str) -> str:
        """What the target said, fit for a status: short, printable, without any part of the key
        or of the application's query."""
        queries = (self.url.key.partition("?")[2], self.url.app.partition("?")[2])
        secrets = {self.url.key, self.url.key.partition("?")[0], *queries}
        for part in re.split(r"[&;]", "&".join(queries)):
            secrets |= {part, part.partition("=")[2]}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _MIN_SCRUBBED_CHARACTERS:
                text = text.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in text)[:_MAX_MESSAGE_CHARACTERS]


def parse_target(uri: SecretStr, stream_key: SecretStr | None) -> Target:
    """Reads a target; raises :class:`InvalidTargetError`.

    With ``stream_key`` the whole path of ``uri`` is the application; without, the last segment
    of its path and its query are the key.
    """
    scheme = _SCHEME.match(uri.get_secret_value())
    if scheme is not None and (name := scheme[1].lower()) != "rtmp":
        raise InvalidTargetError(
            "InvalidUri", f"Targets with the scheme {name} are not supported; use rtmp://."
        )
    try:
        url = parse_rtmp_url(
            uri.get_secret_value(), None if stream_key is None else stream_key.get_secret_value()
        )
    except RtmpUrlError as invalid:
        # Its text is made for this: it never quotes the URL.
        raise InvalidTargetError("InvalidUri", str(invalid)) from None
    return Target(url)


def target_digest(target: Target, namespace: str) -> str:
    """Equal for equal targets of one namespace, and tells nothing else: the first 16 hex digits
    of an HMAC-SHA256 over address and key, keyed with the namespace."""
    url = target.url
    text = "\0".join((url.scheme, url.host.lower(), str(url.port), url.app, url.key))
    digest = hmac.new(f"sluice target {namespace}".encode(), text.encode(), hashlib.sha256)
    return digest.hexdigest()[:16]
