"""TCP ports that take IPv4 and IPv6 alike when they are bound to ``::``."""

from __future__ import annotations

import socket

_MAPPED = "::ffff:"


def listen_on(bind: str, port: int, backlog: int = 100) -> socket.socket:
    """A listening socket, not blocking; asyncio's own would take IPv6 alone on ``::``.

    ``bind`` is an address. Raises OSError when the port cannot be had.
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
    """A peer's address; IPv4 that came in over such a port in its own form."""
    return host.removeprefix(_MAPPED) if "." in host else host
