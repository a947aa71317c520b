"""Check of the addresses that are dialled for a user (against server-side request forgery).

A host and port come in, from a user or from a server that a user chose. Checked addresses go out,
and connections to exactly these. Resolving and dialling are one step on purpose: a second lookup of
a name can return another address (DNS rebinding).

Private ranges are allowed, because cameras have such addresses. The operator's ranges deny the
cluster's own addresses. Sources of the built-in ranges: the IANA special-purpose address
registries, RFC 4291 (2.5.5), RFC 6052, RFC 8215, RFC 3056, RFC 4380, and the clouds' documentation
of their metadata services.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from sluice_media.contract import AddressGuard
from sluice_media.net.happy_eyeballs import first_to_connect, interleaved

Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""A function from a fully qualified name with its trailing dot to addresses. Raises OSError."""

RESOLVE_SECONDS = 3.0
CONNECT_SECONDS = 3.0
"""Timeout of the TCP connect, for each address."""
TLS_SECONDS = 3.0
"""Timeout of the TLS handshake, after the TCP connect."""
MAX_ADDRESSES = 8
"""Maximum number of addresses of one host that are dialled."""

_ALWAYS_DENIED = tuple(
    (ip_network(text), rule)
    for text, rule in (
        # Metadata services come first, so that the message names them and not a wider range.
        ("169.254.169.254/32", "it is a cloud's metadata service"),
        ("100.100.100.200/32", "it is a cloud's metadata service"),
        ("168.63.129.16/32", "it is a cloud's metadata service"),
        ("192.0.0.192/32", "it is a cloud's metadata service"),
        ("fd00:ec2::/32", "it is a cloud's metadata service"),
        ("fd20:ce::254/128", "it is a cloud's metadata service"),
        ("127.0.0.0/8", "it is a loopback address"),
        ("::1/128", "it is a loopback address"),
        ("169.254.0.0/16", "it is a link-local address"),
        ("fe80::/10", "it is a link-local address"),
        ("0.0.0.0/8", "it is an unspecified address"),
        ("::/128", "it is an unspecified address"),
        ("224.0.0.0/4", "it is a multicast address"),
        ("ff00::/8", "it is a multicast address"),
        ("240.0.0.0/4", "it is a reserved address"),
        # The network decides where these contain the IPv4 address, so it cannot be checked.
        ("64:ff9b:1::/48", "it is a local translation of an IPv4 address"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class NotAllowedError(ValueError):
    """A host or address must not be dialled. The message is a sentence that names the rule."""


@dataclass(slots=True, frozen=True)
class AddressRules:
    """The rules for addresses and names (pure)."""

    denied: tuple[_Network, ...]
    allowed: tuple[_Network, ...]
    refused_domains: tuple[str, ...]
    allowed_names: frozenset[str] = frozenset()
    """Names in lower case, with a trailing dot."""

    @classmethod
    def of(cls, guard: AddressGuard) -> AddressRules:
        """Return the configured rules. Raises ValueError when a range is not a CIDR: a rule that
        cannot be read must not be left out."""
        domain = guard.cluster_domain.lower().strip(".")
        return cls(
            denied=tuple(ip_network(text, strict=False) for text in guard.denied),
            allowed=tuple(ip_network(text, strict=False) for text in guard.allowed),
            refused_domains=tuple(d for d in (domain, "svc", "localhost") if d),
            allowed_names=frozenset(f"{n.lower().strip('.')}." for n in guard.allowed_names),
        )

    def check_address(self, address: Address, name: str = "") -> None:
        """Raise NotAllowedError unless the address, and any IPv4 address inside it, may be dialled.

        ``name`` is the name that resolved to the address, as :meth:`host` returns it.
        """
        for form in _forms(address):
            if any(form in network for network in self.allowed):
                continue
            for network, rule in _ALWAYS_DENIED:
                if form in network:
                    raise NotAllowedError(f"The address {address} is not allowed: {rule}.")
            for network in self.denied:
                if form in network and name not in self.allowed_names:
                    raise NotAllowedError(
                        f"The address {address} is not allowed: it is in the denied range "
                        f"{network}."
                    )

    def host(self, host: str) -> Address | str:
        """Return a literal address that may be dialled, or the name to resolve, fully qualified and
        in lower case. Raises NotAllowedError."""
        literal = _literal(host)
        if literal is not None:
            self.check_address(literal)
            return literal
        name = host.lower().removesuffix(".")
        labels = name.split(".")
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise NotAllowedError("The host is not a valid DNS name or IP address.")
        if _NUMBER.fullmatch(labels[-1]):
            # Resolvers read 127.1, 0x7f000001 and 2130706433 as addresses.
            raise NotAllowedError(
                "The host is a number. Write it as an IP address in its usual form."
            )
        if f"{name}." in self.allowed_names:
            return f"{name}."
        for domain in self.refused_domains:
            if name == domain or name.endswith(f".{domain}"):
                raise NotAllowedError(
                    f"The host {name} is not allowed: names below {domain} are the cluster's own."
                )
        return f"{name}."


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _forms(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 addresses inside it that NAT64, 6to4 or Teredo would dial."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped  # the kernel dials exactly this IPv4 address
        return
    # The rules ignore the zone of the address.
    address = IPv6Address(int(address))
    yield address
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield last
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


async def system_resolver(name: str) -> Sequence[str]:
    """Resolve a name with the system's resolver. A trailing dot excludes search domains."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class DialGuard:
    """Resolver, checker and dialler in one. It keeps no addresses between calls."""

    def __init__(self, rules: AddressRules, resolver: Resolver = system_resolver) -> None:
        self.rules = rules
        self._resolver = resolver

    async def addresses(self, host: str) -> tuple[Address, ...]:
        """Return the addresses of a host, IPv4 and IPv6 in turns.

        Raises NotAllowedError when any of them must not be dialled, and ``socket.gaierror`` for a
        name without addresses.
        """
        checked = self.rules.host(host)
        if not isinstance(checked, str):
            return (checked,)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolver(checked)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer in time") from None
        addresses = tuple(dict.fromkeys(ip_address(text) for text in found))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        for address in addresses:
            self.rules.check_address(address, checked)
        return interleaved(addresses)[:MAX_ADDRESSES]

    async def dial(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the checked address that answers first. A context ``tls`` adds TLS for the
        host's name.

        After a failed TLS handshake the other addresses are dialled again. A refused certificate
        ends the search, because the certificate belongs to the name. Raises the errors of
        :meth:`addresses`, and OSError (``ssl.SSLError`` is one).
        """
        addresses = await self.addresses(host)
        name = host.strip("[]").removesuffix(".") if tls else None
        failure: OSError | None = None
        while addresses:
            try:
                address, connected = await first_to_connect(
                    addresses, lambda tried: _connect(tried, port), _close, rank=_silence
                )
            except OSError as error:
                raise failure or error from None
            try:
                async with asyncio.timeout(TLS_SECONDS):
                    return await asyncio.open_connection(
                        sock=connected, ssl=tls, server_hostname=name
                    )
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                failure = failure or error
                addresses = tuple(other for other in addresses if other != address)
        raise failure or TimeoutError()


async def _connect(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, (str(address), port))
    except BaseException:
        made.close()
        raise
    return made


def _close(late: socket.socket) -> None:
    late.close()


_NO_ROUTE = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)


def _silence(error: Exception) -> int:
    """Rank a failure to connect by how little it reveals about the server.

    An answer of the server ranks lowest, a timeout higher, a missing route of this machine highest.
    """
    if isinstance(error, OSError) and error.errno in _NO_ROUTE:
        return 2
    return 1 if isinstance(error, TimeoutError) else 0
