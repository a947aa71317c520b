"""Which leg feeds the output, and at which unit it is entered. Two pure rules."""

from __future__ import annotations

from collections.abc import Iterable

from sluice_media.hub.leg import Leg
from sluice_media.units import TICKS_PER_SECOND, AccessUnit

__all__ = ["entry_point", "select"]

MAX_REPEAT_US = 2_000_000
"""How much content a switch may show twice, rather than leave a hole."""
MAX_REPLAY_TICKS = 70 * TICKS_PER_SECOND
"""Gateways keep a minute, and what one group of pictures is longer."""


def select(legs: Iterable[Leg], active: Leg | None) -> Leg | None:
    """The leg that should feed the output. ``legs`` come in order of preference.

    The active leg stays as long as it delivers, and also when nothing else does: a connection
    that was silent for a moment goes on where it was."""
    if active is not None and active.delivers:
        return active
    for leg in legs:
        if leg.delivers:
            return leg
    return active if active is not None and active.connected else None


def entry_point(leg: Leg, stopped_us: int | None, seen_dts: int | None = None) -> AccessUnit | None:
    """The unit at which to enter ``leg``; None: wait for its next random access point.

    ``stopped_us`` is the wall clock of the last unit that went out (None: nothing did yet). The
    last random access point before that moment repeats content, so it may be 2 s older at most;
    else the first one after it is right. ``seen_dts``: what the leg has up to this source DTS
    belongs to a session that is over."""
    entries = leg.entries()
    if stopped_us is None:
        return next((unit for unit in entries if not _was_seen(unit, seen_dts)), None)
    before = [unit for unit in entries if unit.utc_us <= stopped_us]
    if before and stopped_us - before[-1].utc_us <= MAX_REPEAT_US:
        return before[-1]
    after = [unit for unit in entries if unit.utc_us > stopped_us]
    return after[0] if after else None


def _was_seen(unit: AccessUnit, seen_dts: int | None) -> bool:
    """Whether it is a repetition. What lies further back than any gateway keeps is another clock:
    the encoder has started anew."""
    return seen_dts is not None and seen_dts - MAX_REPLAY_TICKS < unit.dts <= seen_dts
