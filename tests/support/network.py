"""Capabilities of the machine's network."""

from __future__ import annotations

import socket

import pytest

__all__ = ["BOTH_LOOPBACKS", "needs_ipv6"]


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
BOTH_LOOPBACKS = [
    pytest.param("127.0.0.1", marks=needs_ipv6),
    pytest.param("::1", marks=needs_ipv6),
]
"""Loopback addresses, as parameters of tests that dial a port bound to ``::``."""
