"""Reasons that only the gateway and WHIP have. Those of the hub are in the contract."""

from __future__ import annotations

from enum import StrEnum


class PublishReason(StrEnum):
    """Reason for which a publisher is refused or ended without its hub's decision."""

    BAD_MODE = "BadMode"
    """The SRT stream id requests another mode than publish."""
    BAD_PATH = "BadPath"
    FINISHED = "Finished"
    """The publisher or the hub has closed the leg."""
    HANDSHAKE_FAILED = "HandshakeFailed"
    HUB_UNAVAILABLE = "HubUnavailable"
    """No hub took the publisher in time."""
    INTERNAL = "Internal"
    OVERLOADED = "Overloaded"
    TOO_MANY_FAILURES = "TooManyFailures"
    """Too many wrong keys came from the address."""
