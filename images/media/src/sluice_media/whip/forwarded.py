"""Where a request comes from when a proxy in front of us passes it on (``X-Forwarded-For``).

In: the peer's address, the header's values, and the address ranges of the proxies that are
trusted. Out: the publisher's address. Each proxy appends the address that it was dialled from, so
the list is read from its end, and only as far as trusted proxies wrote it: what stands before that
may be anybody's invention.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sluice_media.net.listening import plain_address

Range = IPv4Network | IPv6Network
_MAX_HOPS = 32


def publisher_address(peer: str, forwarded_for: Sequence[str], proxies: Sequence[Range]) -> str:
    """Return the last address that a trusted proxy vouches for, or the peer's own."""
    found = plain_address(peer)
    named = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(named[-_MAX_HOPS:]):
        address = _address(found)
        if address is None or not any(address in proxy for proxy in proxies):
            return found
        before = _address(hop)
        if before is None:
            return found
        found = str(before)
    return found


def _address(words: str) -> IPv4Address | IPv6Address | None:
    """Return an address that may come with a port, as some proxies write it."""
    if words.startswith("["):
        words = words[1:].partition("]")[0]
    elif words.count(":") == 1:
        words = words.partition(":")[0]
    try:
        return ip_address(plain_address(words))
    except ValueError:
        return None
