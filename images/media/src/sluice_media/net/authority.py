"""Host and port as a URI writes them."""

from __future__ import annotations


def authority(host: str, port: int | None = None) -> str:
    """``host`` or ``host:port`` (RFC 3986, 3.2); an IPv6 address, given without brackets, in
    them."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
