"""The choice of the active leg, and of the unit at which the output switches to it.

In: the legs, the configuration, the moment. Out: a decision; no leg is changed here. A switch may
repeat up to 2 s for readers, so two legs that both jitter must not cause switch after switch: the
active leg stays while its media flows. A leg that was lost three times in 30 s is chosen again
only after 10 s without an interruption, or when no other leg delivers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sluice_media.contract import IngestConfig
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.legs.leg import Leg, LegName
from sluice_media.hub.legs.stretches import MAX_REPLAY_TICKS

MAX_REPEAT_US = 2_000_000
"""Maximum repeated content at a switch, microseconds. A repetition is better than a gap."""
PREFER_PRIMARY_SECONDS = 0.3
"""Time for which a new session waits for the primary, because the backup's first keyframe may
arrive a millisecond earlier."""
FLAPPING_LOSSES = 3
FLAPPING_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""Time without an interruption after which a leg that flapped may be chosen again."""


class Selector:
    """Recent losses of each leg, and the choice that follows from them."""

    def __init__(self) -> None:
        self._losses = {name: deque[float](maxlen=FLAPPING_LOSSES) for name in LegName}

    def note_loss(self, leg: Leg, now: float) -> None:
        """Note that the active leg failed."""
        self._losses[leg.name].append(now)

    def flaps(self, leg: Leg, now: float) -> bool:
        """Return whether the leg was lost too often lately, and has not been steady since."""
        losses = self._losses[leg.name]
        if len(losses) < FLAPPING_LOSSES or now - losses[0] > FLAPPING_SECONDS:
            return False
        return leg.steady_seconds(now) < STEADY_SECONDS

    def stays(self, active: Leg, config: IngestConfig, now: float) -> bool:
        """Return whether the active leg stays active without regard to the others.

        A leg that does not deliver loses its place, even when ``stallMilliseconds`` is longer."""
        return active.delivers and active.flows(now, config.stall_milliseconds / 1_000)

    def select(
        self, legs: Sequence[Leg], active: Leg | None, config: IngestConfig, now: float
    ) -> Leg | None:
        """Return the leg that should feed the output; ``legs`` come in order of preference.

        An active leg that has stopped stays active while no other leg flows, because it may
        continue after a short silence."""
        stall = config.stall_milliseconds / 1_000
        if active is not None and self.stays(active, config, now):
            return self._failback(legs, active, config, now) or active
        others = [leg for leg in legs if leg is not active and leg.delivers]
        flowing = [leg for leg in others if leg.flows(now, stall)]
        steady = [leg for leg in flowing if not self.flaps(leg, now)]
        if steady:
            return steady[0]
        if active is not None and (active.delivers or not others):
            return active if active.connected else None
        return next(iter(flowing or others), None)

    def select_first(self, legs: Sequence[Leg], now: float) -> Leg | None:
        """Return the leg with which a new session begins; None when no leg is ready."""
        ready = [leg for leg in legs if leg.delivers]
        if not ready:
            return None
        first = ready[0]
        if first.name is LegName.PRIMARY or first.is_pull:
            return first
        return first if now - first.delivers_since >= PREFER_PRIMARY_SECONDS else None

    def _failback(
        self, legs: Sequence[Leg], active: Leg, config: IngestConfig, now: float
    ) -> Leg | None:
        """Return the primary when ``failback`` asks to switch back to it, else None."""
        if config.failback != "AfterStable" or active.name is LegName.PRIMARY or active.is_pull:
            return None
        primary = next((leg for leg in legs if leg.name is LegName.PRIMARY), None)
        if primary is None or not primary.delivers or self.flaps(primary, now):
            return None
        return primary if primary.steady_seconds(now) >= config.failback_seconds else None


def entry_point(
    leg: Leg, stopped_us: int | None, seen_dts: int | None = None, *, repeat: bool = True
) -> AccessUnit | None:
    """Return the unit at which to enter ``leg``; None: wait for its next random access point.

    ``stopped_us`` is the wall clock of the content that went out last; None before a session. With
    ``repeat``, the last random access point before that moment is used if it is at most 2 s older,
    because it repeats content. Otherwise the first one after that moment is used. Units up to the
    source DTS ``seen_dts`` belong to a session that has ended."""
    entries = leg.entries()
    if stopped_us is None:
        return next((unit for unit in entries if not _was_seen(unit, seen_dts)), None)
    before = [unit for unit in entries if leg.content_us(unit) <= stopped_us]
    if repeat and before and stopped_us - leg.content_us(before[-1]) <= MAX_REPEAT_US:
        return before[-1]
    return next((unit for unit in entries if leg.content_us(unit) > stopped_us), None)


def _was_seen(unit: AccessUnit, seen_dts: int | None) -> bool:
    """Return whether the unit belongs to the ended session.

    A DTS further back than any gateway keeps is of another clock: the encoder has restarted."""
    return seen_dts is not None and seen_dts - MAX_REPLAY_TICKS < unit.dts <= seen_dts
