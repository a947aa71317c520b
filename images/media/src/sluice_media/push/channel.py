"""What a connection needs of a protocol: one publish, over RTMP(S) or SRT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice_media.push.failures import Failure
from sluice_media.push.feeder import QueuedUnit


class CodecRefused(Exception):  # noqa: N818  says what it is
    """The target does not take a codec of the stream; the message says what to change."""


@dataclass(slots=True, frozen=True)
class Backlog:
    """How far the bytes have come that were given to a channel."""

    waiting_bytes: int
    """In the channel and in the kernel: unsent, or not yet acknowledged."""
    reach_bytes: int | None = None
    """Up to which byte the target has made room so far, counted from any place: it grows only
    while the target's *application* reads. None: the protocol does not tell."""
    lost_bytes: int = 0
    """Given up on the way, because they would have come too late."""
    is_held_back: bool = False
    """A paced channel waits for the target: what is queued before it is a sign of trouble now."""


class Channel(Protocol):
    """One publish to one target. Used once; every method may raise TargetFailure, CodecRefused
    or OSError, and the connection is over then."""

    paced: bool
    """It sends no faster than the media plays: what is queued before it is no sign of trouble,
    unless its backlog is held back."""

    async def open(self) -> None:
        """Dials and publishes; returns when the target has accepted."""

    async def watch(self) -> Failure:
        """Returns when the target has ended an accepted publish, and why."""

    async def send(self, items: Sequence[QueuedUnit]) -> int:
        """Sends units as fast as the target takes them; the bytes that were given on."""

    async def finish(self, items: Sequence[QueuedUnit], *, goodbye: bool) -> int:
        """Send the last units and wait until everything is out; ``goodbye``: end the publish in
        order before that."""

    def keep_alive(self) -> int:
        """Says something, because there is no media to send; the bytes that it took."""

    def backlog(self) -> Backlog: ...

    def abort(self) -> None:
        """Lets go of everything, at once."""
