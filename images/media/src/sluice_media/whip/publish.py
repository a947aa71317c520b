"""What WHIP asks of whoever brings units to a hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from pydantic import SecretStr

from sluice_media.units import AccessUnit, TrackFormat

__all__ = ["HubUnavailable", "Publication", "Publish", "PublishEnd", "PublishRefused"]


class PublishRefused(Exception):  # noqa: N818  says what it is
    """The publisher is not taken. ``reason`` is BadKey, BadPath, Busy, Disabled,
    ProtocolNotAllowed, UnknownStream, TooManyFailures or UnsupportedCodec; ``message`` a sentence
    for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class HubUnavailable(Exception):  # noqa: N818  says what it is
    """No hub took the publisher in time; another try may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PublishEnd(Protocol):
    """Why a publication is over."""

    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...


class Publication(Protocol):
    """A publisher that a hub has accepted."""

    @property
    def leg(self) -> str:
        """primary or backup, as the key said."""
        ...

    @property
    def ended(self) -> asyncio.Future[PublishEnd]:
        """Done when nothing is taken any more."""
        ...

    def take_formats(self, formats: Sequence[TrackFormat]) -> None:
        """All tracks, at first and whenever one changes."""

    def take_unit(self, unit: AccessUnit) -> None:
        """The next unit, in source times: 90 kHz, unwrapped."""

    async def finish(self) -> None:
        """The publisher has ended. To be called in any case."""


Publish = Callable[[str, str, SecretStr, str], Awaitable[Publication]]
"""(namespace, stream, key, remote address) -> an accepted publication. Raises PublishRefused or
HubUnavailable."""
