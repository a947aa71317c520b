"""SRT URIs of servers that are called: a string in, an SrtUrl out.

The form is ``srt://host:port[?streamid=…&passphrase=…&latency=…&pbkeylen=…&mode=caller]``, as
``srt-live-transmit`` reads it. Everything after the first ``?`` is the query, because stream ids
begin with ``#``. Values are percent-decoded; a ``+`` is a plus.

Source: SRT Access Control (``#!::…`` stream ids); the URI syntax of ``srt-live-transmit``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sluice_media.net.authority import authority
from sluice_media.protocols.srt.errors import SrtUrlError

DEFAULT_LATENCY_MS = 120
MAX_LATENCY_MS = 10_000
_MAX_URL_CHARS = 2_048
_MAX_STREAM_ID_BYTES = 512
_OPTIONS = ("latency", "mode", "passphrase", "pbkeylen", "streamid")
_KEY_BYTES = ("16", "24", "32")


@dataclass(slots=True, frozen=True)
class SrtUrl:
    """The parts of a URI. ``repr`` and :attr:`redacted` show neither stream id nor passphrase."""

    host: str
    """Name or address, an IPv6 address without brackets."""
    port: int
    stream_id: str = field(default="", repr=False)
    passphrase: str | None = field(default=None, repr=False)
    latency_ms: int = DEFAULT_LATENCY_MS
    """Minimum latency. The server may request more."""
    key_bytes: int = 32
    """Length of the AES key, used only with a passphrase."""

    @property
    def scheme(self) -> str:
        return "srt"

    @property
    def authority(self) -> str:
        return authority(self.host, self.port)

    @property
    def redacted(self) -> str:
        """The URI without its query, for messages."""
        return f"srt://{self.authority}"


def parse_srt_url(url: str) -> SrtUrl:
    """Parse a URI. Raise SrtUrlError with a sentence that does not quote the URI."""
    if len(url) > _MAX_URL_CHARS:
        raise SrtUrlError(f"The URI is longer than {_MAX_URL_CHARS} characters.")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise SrtUrlError("The URI holds a space or a control character.")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != "srt":
        raise SrtUrlError("The URI must begin with srt://.")
    place, _, query = rest.partition("?")
    server, _, path = place.partition("/")
    if path:
        raise SrtUrlError("An SRT URI has no path. Put the stream's name into its streamid option.")
    host, port = _host_and_port(server)
    options = _options(query)
    if options.get("mode", "caller") != "caller":
        raise SrtUrlError(
            "Sluice calls the target of an SRT push. Leave mode out of the URI, or set mode=caller."
        )
    return SrtUrl(
        host=host,
        port=port,
        stream_id=_stream_id(options.get("streamid", "")),
        passphrase=_passphrase(options.get("passphrase")),
        latency_ms=_latency(options.get("latency")),
        key_bytes=_key_bytes(options.get("pbkeylen", "32")),
    )


def check_passphrase(passphrase: str) -> str:
    """Return the passphrase when SRT can use it. Raise SrtUrlError."""
    if not 10 <= len(passphrase.encode()) <= 79:
        raise SrtUrlError("The SRT passphrase must have 10 to 79 characters.")
    return passphrase


def _host_and_port(server: str) -> tuple[str, int]:
    if "@" in server:
        raise SrtUrlError("An SRT URI has no user name or password. Use its streamid option.")
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SrtUrlError("The URI's host or port is not valid.") from None
    if not host or parts.netloc != server:
        raise SrtUrlError("The URI has no host.")
    if not port:
        raise SrtUrlError("An SRT URI must name a port, 1 to 65535.")
    return host, port


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in _OPTIONS:
            raise SrtUrlError(
                "The SRT URI has an unknown option. The known ones are: "
                f"{', '.join(_OPTIONS)}. An & in a value is written %26."
            )
        if name in options:
            raise SrtUrlError(f"The SRT URI has the option {name} twice.")
        options[name] = unquote(value)
        if not options[name].isprintable():
            raise SrtUrlError(f"The {name} of the SRT URI holds a control character.")
    return options


def _stream_id(stream_id: str) -> str:
    if len(stream_id.encode()) > _MAX_STREAM_ID_BYTES:
        raise SrtUrlError(f"The SRT streamid is longer than {_MAX_STREAM_ID_BYTES} bytes.")
    return stream_id


def _passphrase(passphrase: str | None) -> str | None:
    return None if passphrase is None else check_passphrase(passphrase)


def _latency(text: str | None) -> int:
    if text is None:
        return DEFAULT_LATENCY_MS
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MAX_LATENCY_MS):
        raise SrtUrlError(f"The SRT latency must be 0 to {MAX_LATENCY_MS} milliseconds.")
    return int(text)


def _key_bytes(text: str) -> int:
    if text not in _KEY_BYTES:
        raise SrtUrlError("The SRT pbkeylen must be 16, 24 or 32.")
    return int(text)
