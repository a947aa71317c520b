"""Target of a Restream: its address and its keys, kept apart so that no key is shown anywhere.

A target is a server URI with a separate stream key (a platform's "server" and "stream key"), or one
URI that contains the key. The stream key of an SRT target is its stream id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from sluice_media.contract import ConfigErrorReason
from sluice_media.protocols.rtmp.errors import RtmpUrlError
from sluice_media.protocols.rtmp.url import RtmpUrl, parse_rtmp_url
from sluice_media.protocols.srt.errors import SrtUrlError
from sluice_media.protocols.srt.url import SrtUrl, check_passphrase, parse_srt_url

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,15}):", re.IGNORECASE)
_SCHEMES = ("rtmp", "rtmps", "srt")
_MIN_SCRUBBED_CHARACTERS = 6
"""Minimum length of a part that is removed. Shorter parts are words like ``live``, and removing
those would garble the message."""
_MAX_MESSAGE_CHARACTERS = 200


class InvalidTargetError(ValueError):
    """The target cannot be used as configured. The message is a sentence without any secret."""

    def __init__(self, reason: ConfigErrorReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class Target:
    """A usable target. Neither ``repr`` nor :attr:`redacted` shows a key."""

    url: RtmpUrl | SrtUrl
    ca_pem: str | None = field(default=None, repr=False)
    """PEM certificates that verify an RTMPS target; None for the public authorities."""

    @property
    def redacted(self) -> str:
        """Scheme, host, port and application, for status and logs."""
        return self.url.redacted

    @property
    def place(self) -> str:
        """Host and port of the target, for messages."""
        return self.url.authority

    def scrub(self, text: str) -> str:
        """Return a text of the target for the status: short, printable, and without any part of the
        key or of the application's query."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            if len(secret) >= _MIN_SCRUBBED_CHARACTERS:
                text = text.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in text)[:_MAX_MESSAGE_CHARACTERS]

    def _secrets(self) -> set[str]:
        if isinstance(self.url, SrtUrl):
            return {self.url.stream_id, *re.split(r"[,&/?=]", self.url.stream_id)}
        queries = (self.url.key.partition("?")[2], self.url.app.partition("?")[2])
        secrets = {self.url.key, self.url.key.partition("?")[0], *queries}
        for part in re.split(r"[&;]", "&".join(queries)):
            secrets |= {part, part.partition("=")[2]}
        return secrets


def parse_target(
    uri: SecretStr,
    stream_key: SecretStr | None = None,
    *,
    passphrase: SecretStr | None = None,
    ca: SecretStr | None = None,
) -> Target:
    """Return the target; raise :class:`InvalidTargetError` when it cannot be used.

    RTMP: with ``stream_key``, the whole path of ``uri`` is the application. Without it, the last
    segment of the path and the query are the key. SRT: ``stream_key`` is the stream id.
    """
    scheme = _SCHEME.match(uri.get_secret_value())
    name = scheme[1].lower() if scheme is not None else ""
    if scheme is not None and name not in _SCHEMES:
        raise _invalid(
            f"Targets with the scheme {name} are not supported; use rtmp://, rtmps:// or srt://."
        )
    if passphrase is not None and name in ("rtmp", "rtmps"):
        raise _invalid("Only SRT targets have a passphrase. Remove it, or use an srt:// URI.")
    if ca is not None and name in ("rtmp", "srt"):
        raise _invalid(
            "Only RTMPS targets have an authority's certificate. Remove it, or use an rtmps:// URI."
        )
    text = uri.get_secret_value()
    key = None if stream_key is None else stream_key.get_secret_value()
    try:
        if name == "srt":
            url: RtmpUrl | SrtUrl = _srt_url(text, key, passphrase)
        else:
            url = parse_rtmp_url(text, key)
    except (RtmpUrlError, SrtUrlError) as invalid:
        # The texts of these errors never quote the URI.
        raise _invalid(str(invalid)) from None
    return Target(url, None if ca is None else ca.get_secret_value())


def _srt_url(text: str, key: str | None, passphrase: SecretStr | None) -> SrtUrl:
    url = parse_srt_url(text)
    if key is not None:
        if url.stream_id:
            raise SrtUrlError(
                "The URI has a streamid already. Remove it, or remove the stream key."
            )
        if len(key.encode()) > 512 or not key.isprintable():
            raise SrtUrlError(
                "The stream key cannot be a streamid. Use at most 512 printable bytes."
            )
        url = replace(url, stream_id=key)
    if passphrase is not None:
        if url.passphrase is not None:
            raise SrtUrlError(
                "The URI has a passphrase already. Remove it, or remove the other one."
            )
        url = replace(url, passphrase=check_passphrase(passphrase.get_secret_value()))
    return url


def target_digest(target: Target, namespace: str) -> str:
    """Return the first 16 hex digits of an HMAC-SHA256 over address and key, keyed with the
    namespace.

    Equal targets of one namespace have equal digests. The digest reveals nothing more.
    """
    url = target.url
    host = url.host.lower().removesuffix(".")
    parts = (url.app, url.key) if isinstance(url, RtmpUrl) else ("", url.stream_id)
    text = "\0".join((url.scheme, host, str(url.port), *parts))
    digest = hmac.new(f"sluice target {namespace}".encode(), text.encode(), hashlib.sha256)
    return digest.hexdigest()[:16]


def _invalid(message: str) -> InvalidTargetError:
    return InvalidTargetError(ConfigErrorReason.INVALID_URI, message)
