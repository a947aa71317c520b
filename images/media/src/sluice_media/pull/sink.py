"""What a pull needs of the hub: somewhere to open a leg and to feed MPEG-TS into it."""

from __future__ import annotations

from typing import Protocol


class BadMedia(ValueError):  # noqa: N818  the word is that of the API
    """The media cannot be used. The message is a sentence; it must not quote the URI."""


class UnsupportedMedia(BadMedia):
    """The source sends nothing that Sluice carries."""


class PullLeg(Protocol):
    """One connected source. All methods are called from the loop's thread."""

    @property
    def delivers(self) -> bool:
        """As the life cycle defines it: from the first random access point of the reference track
        until the end, or until that was silent for 2 s. Asked after each feed and four times a
        second."""

    def feed(self, data: bytes) -> None:
        """Takes whole packets of MPEG-TS. Raises BadMedia or UnsupportedMedia; the leg is closed
        after that, and the next URI has its turn."""

    def take_over(self) -> None:
        """A standby that is the one on air from now on."""

    def close(self, reason: str, message: str) -> None:
        """The source is gone. ``reason`` is one word, ``message`` a sentence. Called once."""


class PullSink(Protocol):
    def open(self, index: int, standby: bool) -> PullLeg:
        """A source has answered and its first bytes are there. ``index`` counts from 0."""
