"""URIs of sources: a string in, a PullUri or an error with a sentence out.

The form is ``scheme://[user[:password]@]host[:port][/path][?query]``. The sentences never quote the
URI.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from sluice_media.net.authority import authority

_PORTS = {
    "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443, "rtsp": 554, "rtsps": 322, "srt": None,
}  # fmt: skip
_TLS = frozenset({"rtmps", "https", "rtsps"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15}):")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_MAX_CHARACTERS = 2_048
_SRT_OPTIONS = frozenset({"mode", "streamid", "passphrase", "pbkeylen", "latency"})
_MAX_SRT_LATENCY_MS = 10_000


class InvalidUriError(ValueError):
    """A URI that cannot be pulled. The message gives the reason and at most the URI's scheme."""


@dataclass(slots=True, frozen=True)
class PullUri:
    """The parts of a URI. ``repr`` shows nothing that may be a secret."""

    scheme: str
    host: str
    """Name or address, an IPv6 address without brackets."""
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    target: str = field(default="", repr=False)
    """Path and query as written, with the leading slash."""
    srt: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Checked options of an SRT URI, decoded; latency in milliseconds."""

    @property
    def tls(self) -> bool:
        """True for a scheme over TLS."""
        return self.scheme in _TLS

    @property
    def authority(self) -> str:
        """Host and port."""
        return authority(self.host, self.port)

    @property
    def place(self) -> str:
        """Scheme, host and port: the part of the URI that may be shown."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """URI without user and password. It may still hold a secret."""
        port = None if self.port == _PORTS[self.scheme] else self.port
        return f"{self.scheme}://{authority(self.host, port)}{self.target}"


def parse_pull_uri(text: str) -> PullUri:
    """Parse a URI. Raise InvalidUriError."""
    if len(text) > _MAX_CHARACTERS:
        raise InvalidUriError(f"The URI is longer than {_MAX_CHARACTERS} characters.")
    if not _PRINTABLE.fullmatch(text):
        raise InvalidUriError(
            "The URI is empty, or it holds a space, a control character or a character outside of "
            "ASCII. Percent-encode such characters."
        )
    if "|" in text or "\\" in text:
        raise InvalidUriError("The URI holds a | or a backslash. Percent-encode these characters.")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme not in _PORTS or not text[len(scheme) :].startswith("://"):
        raise InvalidUriError(
            "The URI must begin with rtmp://, rtmps://, srt://, http://, https://, rtsp:// or "
            "rtsps://."
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as invalid:
        raise InvalidUriError("The URI's host or port is not valid.") from invalid
    if not host or "%" in host:
        raise InvalidUriError("The URI has no host, or one that is not valid.")
    port = port if port is not None else _PORTS[scheme]
    if port is None:
        raise InvalidUriError("An SRT URI must name a port.")
    if port == 0:
        raise InvalidUriError("The URI's port must be 1 to 65535.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if scheme == "srt" and (user or password):
        raise InvalidUriError("An SRT URI has no user name or password. Use its streamid option.")
    if any(not c.isprintable() for c in user + password):
        raise InvalidUriError("The user name or the password holds a control character.")
    srt = _srt_options(parts.query) if scheme == "srt" else ()
    if scheme.startswith("rtmp") and not parts.path.strip("/"):
        raise InvalidUriError("The URI has no application. It must look like rtmp://host/app/name.")
    return PullUri(
        scheme=scheme,
        host=host,
        port=port,
        user=user,
        password=password,
        target=target,
        srt=srt,
    )


def _srt_options(query: str) -> tuple[tuple[str, str], ...]:
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as invalid:
        raise InvalidUriError("The query of the SRT URI is not valid.") from invalid
    for name, value in options.items():
        if name not in _SRT_OPTIONS:
            known = ", ".join(sorted(_SRT_OPTIONS))
            raise InvalidUriError(
                f"The SRT URI has an unknown option. The known ones are: {known}."
            )
        if not value.isprintable():
            raise InvalidUriError(f"The SRT option {name} holds a control character.")
    if options.pop("mode", "caller") != "caller":
        raise InvalidUriError(
            "Sluice calls the source of an SRT pull. Leave mode out of the URI, or set mode=caller."
        )
    passphrase = options.get("passphrase")
    if passphrase is not None and not 10 <= len(passphrase.encode()) <= 79:
        raise InvalidUriError("The SRT passphrase must have 10 to 79 characters.")
    if options.get("pbkeylen", "16") not in ("16", "24", "32"):
        raise InvalidUriError("The SRT pbkeylen must be 16, 24 or 32.")
    if len(options.get("streamid", "").encode()) > 512:
        raise InvalidUriError("The SRT streamid is longer than 512 bytes.")
    latency = options.get("latency")
    if latency is not None and not (
        latency.isascii() and latency.isdigit() and int(latency[:9]) <= _MAX_SRT_LATENCY_MS
    ):
        raise InvalidUriError(f"The SRT latency must be 0 to {_MAX_SRT_LATENCY_MS} milliseconds.")
    return tuple(sorted(options.items()))
