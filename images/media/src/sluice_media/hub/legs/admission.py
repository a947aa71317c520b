"""The admission rule: which publishers may connect, and the refusal that the others get. Pure."""

from __future__ import annotations

from sluice_media.contract import IngestConfig, LegHello, LegReason
from sluice_media.hub.clock import Moment
from sluice_media.hub.legs.leg import Leg, LegName

_WITHOUT_BACKUP = frozenset({"WHIP"})
"""Protocols without a backup leg: the encoder opens only one connection, and its audio cannot be
matched to that of another connection."""


class LegRefusedError(Exception):
    """Refusal of a publisher: the HTTP ``status``, a ``reason`` in one word, and a message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


def judge(
    config: IngestConfig,
    name: LegName | None,
    hello: LegHello,
    running: Leg | None,
    now: Moment,
    *,
    stopping: bool,
) -> LegName:
    """Return the leg that the publisher may take, or raise :class:`LegRefusedError`.

    An admitted publisher replaces ``running``, if there is one. The key is checked first, so that
    a publisher with a wrong key learns nothing about the stream."""
    if name is None:
        raise LegRefusedError(401, LegReason.BAD_KEY, "the stream key is wrong")
    if not config.active:
        raise LegRefusedError(
            403, LegReason.DISABLED, "the stream is switched off (spec.active: false)"
        )
    if hello.protocol not in config.protocols:
        allowed = ", ".join(config.protocols)
        raise LegRefusedError(
            403,
            LegReason.PROTOCOL_NOT_ALLOWED,
            f"{hello.protocol} is not allowed here; allowed: {allowed}",
        )
    if name is LegName.BACKUP and hello.protocol in _WITHOUT_BACKUP:
        raise LegRefusedError(
            403, LegReason.PROTOCOL_NOT_ALLOWED, f"{hello.protocol} has no backup leg"
        )
    if stopping or config.drain:
        raise LegRefusedError(
            503, LegReason.DRAINING, "this hub is about to be replaced: try again"
        )
    if running is None or running.hello.connection == hello.connection:
        return name
    silent = running.silent_seconds(now)
    if silent * 1_000 >= config.stall_milliseconds:
        return name
    raise LegRefusedError(409, LegReason.BUSY, "another publisher with this key is on air")
