"""Host and port in the form of a URI."""

from __future__ import annotations


def authority(host: str, port: int | None = None) -> str:
    """Return ``host`` or ``host:port`` (RFC 3986, 3.2), with brackets around an IPv6 address."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
