"""Interface between a connection and a protocol: one publish, over RTMP(S) or SRT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice_media.push.failures import Failure
from sluice_media.push.feeder import QueuedUnit


class CodecRefused(Exception):  # noqa: N818  the name describes the event
    """The target does not take a codec of the stream. The message names what to change."""


@dataclass(slots=True, frozen=True)
class Backlog:
    """Progress of the bytes that were given to a channel."""

    waiting_bytes: int
    """Bytes in the channel and in the kernel, unsent or not acknowledged yet."""
    reach_bytes: int | None = None
    """Byte position up to which the target has offered room, counted from any origin. It grows only
    while the target's *application* reads. None when the protocol does not report it."""
    lost_bytes: int = 0
    """Bytes that the channel gave up, because they would have arrived too late."""
    is_held_back: bool = False
    """True when a paced channel waits for the target. The queue before it is then a backlog,
    too."""


class Channel(Protocol):
    """One publish to one target, used once. Every method may raise TargetFailure, CodecRefused or
    OSError; the connection is then over."""

    paced: bool
    """True when the channel sends no faster than the media plays. The queue before it then counts
    as backlog only while :attr:`Backlog.is_held_back`."""

    async def open(self) -> None:
        """Dial and publish; return when the target has accepted."""

    async def watch(self) -> Failure:
        """Wait until the target ends an accepted publish; return the cause."""

    async def send(self, items: Sequence[QueuedUnit]) -> int:
        """Send units as fast as the target takes them; return the number of bytes."""

    async def finish(self, items: Sequence[QueuedUnit], *, goodbye: bool) -> int:
        """Send the last units, wait until the queue is empty, and return the number of bytes.

        ``goodbye``: end the publish in order before the connection is closed.
        """

    def keep_alive(self) -> int:
        """Send a message that needs no answer while there is no media; return its bytes."""

    def backlog(self) -> Backlog:
        """Return the present backlog."""

    def abort(self) -> None:
        """Release all resources at once."""
