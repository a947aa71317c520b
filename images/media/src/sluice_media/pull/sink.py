"""The hub's interface for a pull: open a leg and feed MPEG-TS into it."""

from __future__ import annotations

from typing import Protocol


class BadMedia(ValueError):  # noqa: N818  the word of the API
    """Media that cannot be used. The message is a sentence and must not quote the URI."""


class UnsupportedMedia(BadMedia):
    """Media without a track that Sluice carries."""


class PullLeg(Protocol):
    """One connected source. All methods are called in the event loop."""

    @property
    def delivers(self) -> bool:
        """True from the first random access point of the reference track until the end, or until
        that track was silent for 2 s. Read after each feed and four times a second."""

    def feed(self, data: bytes) -> None:
        """Take whole packets of MPEG-TS.

        Raise BadMedia or UnsupportedMedia; then the leg is closed and the next URI is tried.
        """

    def take_over(self) -> None:
        """Put a standby's leg on air."""

    def close(self, reason: str, message: str) -> None:
        """End the leg. ``reason`` is one word, ``message`` a sentence. Called once."""


class PullSink(Protocol):
    """A hub that takes pulled legs."""

    def open(self, index: int, standby: bool) -> PullLeg:
        """Open a leg for a source whose first bytes have arrived. ``index`` counts from 0."""
