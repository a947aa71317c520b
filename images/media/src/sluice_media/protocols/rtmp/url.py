"""RTMP URLs as platforms publish them: a string in, an RtmpUrl out.

The form is ``rtmp[s]://host[:port]/app[/instance…]/key?query``. No standard defines it, so we
follow the encoders: the stream key is the last path segment with everything after it, verbatim.
Keys hold ``?``, ``&`` and ``=``, and slashes in their query. The rest of the path is the
application.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sluice_media.net.authority import authority
from sluice_media.protocols.rtmp.errors import RtmpUrlError

_PORTS = {"rtmp": 1935, "rtmps": 443}
_MAX_URL_CHARS = 2_048


@dataclass(slots=True, frozen=True)
class RtmpUrl:
    """The parts of a URL. ``repr`` and :attr:`redacted` show no key."""

    scheme: str
    """``rtmp`` or ``rtmps``."""
    host: str
    """Name or address, an IPv6 address without brackets."""
    port: int
    app: str = field(repr=False)
    """Application with instances, perhaps with a query, which may be a secret."""
    key: str = field(repr=False)
    """Stream key with its query, verbatim."""

    @property
    def tls(self) -> bool:
        """True for RTMPS."""
        return self.scheme == "rtmps"

    @property
    def authority(self) -> str:
        """``host``, or ``host:port`` when the port is not the scheme's default."""
        return authority(self.host, None if self.port == _PORTS[self.scheme] else self.port)

    @property
    def tc_url(self) -> str:
        """URL without the key, which is sent with ``connect``."""
        return f"{self.scheme}://{self.authority}/{self.app}"

    @property
    def redacted(self) -> str:
        """URL without key and query, for messages."""
        return f"{self.scheme}://{self.authority}/{self.app.partition('?')[0]}"


def parse_rtmp_url(url: str, stream_key: str | None = None) -> RtmpUrl:
    """Parse a URL. With ``stream_key``, the whole path of the URL is the application.

    Raise RtmpUrlError with a sentence that names the fault and does not quote the URL.
    """
    if len(url) > _MAX_URL_CHARS:
        raise RtmpUrlError(f"The URL is longer than {_MAX_URL_CHARS} characters.")
    if any(c.isspace() or not c.isprintable() for c in url + (stream_key or "")):
        raise RtmpUrlError("The URL or the key holds a space or a control character.")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PORTS:
        raise RtmpUrlError("The URL must begin with rtmp:// or rtmps://.")
    server, _, path = rest.partition("/")
    host, port = _host_and_port(scheme, server)
    app, key = _app_and_key(path, stream_key)
    return RtmpUrl(scheme=scheme, host=host, port=port, app=app, key=key)


def _host_and_port(scheme: str, server: str) -> tuple[str, int]:
    if "@" in server:
        raise RtmpUrlError("The URL must not hold a user name or password.")
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError as invalid:
        raise RtmpUrlError("The URL's host or port is not valid.") from invalid
    if not host or parts.netloc != server:
        raise RtmpUrlError("The URL has no host.")
    if port == 0:
        raise RtmpUrlError("The URL's port must be 1 to 65535.")
    return host, port or _PORTS[scheme]


def _app_and_key(path: str, stream_key: str | None) -> tuple[str, str]:
    if stream_key is not None:
        app, key = path.rstrip("/"), stream_key
    else:
        before_query = path.partition("?")[0]
        if "/" in before_query.strip("/"):
            head, _, last = before_query.rpartition("/")
            app, key = head, last + path[len(before_query) :]
        else:
            # One segment before the query: `app?auth=…/key`, as some CDNs require.
            app, _, key = path.rpartition("/")
    if not app.strip("/"):
        raise RtmpUrlError("The URL has no application. It must look like rtmp://host/app/key.")
    if not key or key.startswith("?"):
        raise RtmpUrlError("The URL has no stream key. It must look like rtmp://host/app/key.")
    return app.strip("/"), key
