"""TCP ports that accept both IPv4 and IPv6 when they are bound to ``::``."""

from __future__ import annotations

import socket

_MAPPED = "::ffff:"


def listen_on(bind: str, port: int, backlog: int = 100) -> socket.socket:
    """Return a listening, non-blocking socket. On ``::`` it accepts IPv4, too.

    ``bind`` is an address. Raises OSError when the port cannot be bound.
    """
    if ":" not in bind:
        made = socket.create_server((bind, port), backlog=backlog)
    else:
        both = bind == "::" and socket.has_dualstack_ipv6()
        made = socket.create_server(
            (bind, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=both
        )
    made.setblocking(False)
    return made


def plain_address(host: str) -> str:
    """Return a peer's address, with an IPv4-mapped IPv6 address as plain IPv4."""
    return host.removeprefix(_MAPPED) if "." in host else host
