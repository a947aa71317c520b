"""The public address for media: a host name in, the candidates of each answer out."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time

import structlog

_RESOLVE_SECONDS = 2.0
_FRESH_SECONDS = 30.0
_MAX_CANDIDATES = 4
_ROUTE_PROBE = ("192.0.2.1", 9)
"""An address of TEST-NET-1 (RFC 5737), used to look up the route. Nothing is sent."""
_log = structlog.get_logger(__name__)


class NoAddress(Exception):  # noqa: N818  names the fact
    """A missing public address; the text gives the reason."""


class PublicAddress:
    """The public address and port for media."""

    def __init__(self, host: str, port: int) -> None:
        """``host`` is an address, a name, or empty for this machine's own address."""
        self._host = host
        self._port = port
        self._resolved: list[str] = []
        self._resolved_at = 0.0

    async def candidates(self) -> list[tuple[str, int]]:
        """Return pairs of address and port, the best first. Raise NoAddress.

        A name that cannot be resolved now keeps its former addresses.
        """
        return [(address, self._port) for address in await self._addresses()]

    async def _addresses(self) -> list[str]:
        if not self._host:
            return [_own_address()]
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(self._host))]
        if time.monotonic() - self._resolved_at < _FRESH_SECONDS and self._resolved:
            return self._resolved
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(
                    self._host, None, family=socket.AF_INET, type=socket.SOCK_DGRAM
                )
        except (OSError, TimeoutError) as error:
            if not self._resolved:
                raise NoAddress(f"the public host {self._host} cannot be resolved") from error
            _log.warning("public_host_not_resolved", host=self._host)
            return self._resolved
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self._resolved, self._resolved_at = addresses[:_MAX_CANDIDATES], time.monotonic()
        return self._resolved


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ROUTE_PROBE)
        except OSError as error:
            raise NoAddress("this machine has no address that others can reach") from error
        return str(probe.getsockname()[0])
