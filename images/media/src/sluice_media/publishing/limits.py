"""Limits per address: connections at a time, and wrong keys in a row."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sluice_media.publishing.settings import PublishingSettings

_MAX_ADDRESSES = 20_000
"""Maximum number of addresses remembered for failures or publishers. The oldest are forgotten
first."""
_COMES_BACK_SECONDS = 600
"""Time after its last publisher for which an address may use the reserved connections."""


class TooManyConnections(Exception):  # noqa: N818  says what it is
    """The gateway, or this address, has its maximum of connections."""


class AddressLimits:
    def __init__(self, settings: PublishingSettings, clock: Callable[[], float]) -> None:
        """``clock`` returns monotonic seconds."""
        self._settings = settings
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._failures: dict[str, deque[float]] = {}
        self._blocked_until: dict[str, float] = {}
        self._published_at: dict[str, float] = {}

    @contextmanager
    def connection(self, address: str, *, granted: bool = False) -> Iterator[None]:
        """Count a connection while the context lasts. Raises TooManyConnections.

        Some connections are reserved for publishers that come back: for an address that has
        published lately, and for a connection that its hub has ``granted`` already.
        """
        per_address = self._settings.max_connections_per_address
        places = self._settings.max_connections
        if self._open.total() >= places:
            raise TooManyConnections("the gateway has reached its limit of connections")
        reserved = int(places * self._settings.reserved_share)
        if self._open.total() >= places - reserved and not (granted or self._comes_back(address)):
            raise TooManyConnections(
                "the last connections are reserved for publishers that come back"
            )
        if per_address and self._open[address] >= per_address:
            raise TooManyConnections("the address has reached its limit of connections")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def published(self, address: str) -> None:
        """Note that a publisher of the address was accepted, or has ended."""
        self._published_at.pop(address, None)
        self._published_at[address] = self._clock()
        if len(self._published_at) > _MAX_ADDRESSES:
            del self._published_at[next(iter(self._published_at))]

    def _comes_back(self, address: str) -> bool:
        at = self._published_at.get(address)
        return at is not None and self._clock() - at < _COMES_BACK_SECONDS

    def is_blocked(self, address: str) -> bool:
        """Return whether the address sent too many wrong keys lately."""
        until = self._blocked_until.get(address)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._blocked_until[address]
        return False

    def failed(self, address: str) -> None:
        """Count a wrong key."""
        if not self._settings.max_failures:
            return
        now = self._clock()
        failures = self._failures.pop(address, None) or deque()
        self._failures[address] = failures  # newest last, so that the first is the oldest
        failures.append(now)
        while failures[0] < now - self._settings.failure_window_seconds:
            failures.popleft()
        if len(failures) >= self._settings.max_failures:
            del self._failures[address]
            self._blocked_until[address] = now + self._settings.failure_penalty_seconds
        for table in (self._failures, self._blocked_until):
            if len(table) > _MAX_ADDRESSES:
                del table[next(iter(table))]
