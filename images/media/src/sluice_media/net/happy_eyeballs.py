"""Connection to the first of several addresses that answers ("Happy Eyeballs", RFC 8305).

The addresses of one host come in, with a function that connects to one of them. The first
connection that succeeds goes out. An address that does not answer delays the next one by a fraction
of a second. Each address has its full timeout. :mod:`.address_guard` resolves the host
and checks its addresses.

Source: RFC 8305, clauses 4 (order of the addresses), 5 (staggered attempts) and 8 (delays).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, zip_longest
from typing import Any, TypeVar

CONNECT_DELAY_SECONDS = 0.25
"""Delay before the next address is tried in parallel to those that have not answered yet."""

_Address = IPv4Address | IPv6Address
_Connection = TypeVar("_Connection")


def interleaved(addresses: Sequence[_Address]) -> tuple[_Address, ...]:
    """Return the addresses with IPv4 and IPv6 in turns, beginning with the first address."""
    first = [a for a in addresses if a.version == addresses[0].version]
    second = [a for a in addresses if a.version != addresses[0].version]
    return tuple(a for a in chain(*zip_longest(first, second)) if a is not None)


async def first_to_connect(
    addresses: Sequence[_Address],
    connect: Callable[[_Address], Coroutine[Any, Any, _Connection]],
    close: Callable[[_Connection], None],
    *,
    delay_seconds: float = CONNECT_DELAY_SECONDS,
    failure: tuple[type[Exception], ...] = (OSError,),
    rank: Callable[[Exception], int],
) -> tuple[_Address, _Connection]:
    """Return the first connection that succeeds, and its address. At least one address is needed.

    ``connect`` has its own timeout and raises a ``failure`` when it cannot connect; then the next
    address is tried at once. ``close`` receives the connections that came too late. When all have
    failed, the failure with the lowest ``rank`` is raised, for the earliest address with that rank.
    """
    waiting = deque(addresses)
    attempts: dict[asyncio.Task[_Connection], _Address] = {}
    failures: dict[_Address, Exception] = {}
    try:
        while waiting or attempts:
            if waiting:
                address = waiting.popleft()
                attempts[asyncio.create_task(connect(address))] = address
            done, _ = await asyncio.wait(
                attempts,
                timeout=delay_seconds if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                address = attempts.pop(attempt)
                try:
                    return address, attempt.result()
                except failure as error:
                    failures[address] = error
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if not isinstance(late, BaseException):
                close(late)
    raise min((failures[address] for address in addresses if address in failures), key=rank)
