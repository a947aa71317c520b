"""Who may publish: one pure rule, and what a refused publisher is told."""

from __future__ import annotations

from sluice_media.contract import IngestConfig, LegHello
from sluice_media.hub.clock import Moment
from sluice_media.hub.legs.leg import Leg, LegName

_WITHOUT_BACKUP = frozenset({"WHIP"})
"""Their encoders make one connection, and their audio cannot be matched to another one's."""


class LegRefusedError(Exception):
    """A publisher is not taken in. ``status`` is HTTP's, ``reason`` one word for status."""

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
    """Returns the leg it may take, in place of ``running`` if there is one; else raises
    :class:`LegRefusedError`. The key is judged first: who has none learns nothing else."""
    if name is None:
        raise LegRefusedError(401, "BadKey", "the stream key is wrong")
    if not config.active:
        raise LegRefusedError(403, "Disabled", "the stream is switched off (spec.active: false)")
    if hello.protocol not in config.protocols:
        allowed = ", ".join(config.protocols)
        raise LegRefusedError(
            403, "ProtocolNotAllowed", f"{hello.protocol} is not allowed here; allowed: {allowed}"
        )
    if name is LegName.BACKUP and hello.protocol in _WITHOUT_BACKUP:
        raise LegRefusedError(403, "ProtocolNotAllowed", f"{hello.protocol} has no backup leg")
    if stopping or config.drain:
        raise LegRefusedError(503, "Draining", "this hub is about to be replaced: try again")
    if running is None or running.hello.connection == hello.connection:
        return name
    silent = running.silent_seconds(now)
    if silent * 1_000 >= config.stall_milliseconds:
        return name
    raise LegRefusedError(409, "Busy", "another publisher with this key is on air")
