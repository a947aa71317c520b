"""The publisher's address behind proxies (``X-Forwarded-For``).

In: the peer's address, the header's values, and the address ranges of the trusted proxies. Out: the
publisher's address. Each proxy appends the address that it was dialled from. So the list is read
from its end, as far as trusted proxies wrote it. Earlier entries may be forged.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sluice_media.net.listening import plain_address

Range = IPv4Network | IPv6Network
_MAX_HOPS = 32


def publisher_address(peer: str, forwarded_for: Sequence[str], proxies: Sequence[Range]) -> str:
    """Return the nearest address that does not belong to a trusted proxy."""
    found = plain_address(peer)
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops[-_MAX_HOPS:]):
        address = _address(found)
        if address is None or not any(address in proxy for proxy in proxies):
            return found
        before = _address(hop)
        if before is None:
            return found
        found = str(before)
    return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a port: some proxies append one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ip_address(plain_address(text))
    except ValueError:
        return None
