"""The part of :mod:`sluice_media.publishing.publication` that WHIP uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from pydantic import SecretStr

from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.publication import PublishEnd


class Publication(Protocol):
    """A publisher that a hub has accepted."""

    ended: asyncio.Future[PublishEnd]
    """Done when nothing is taken any more."""

    @property
    def leg(self) -> str:
        """primary or backup, as the key said."""
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
