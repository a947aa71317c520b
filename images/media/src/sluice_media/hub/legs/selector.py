"""Which leg feeds the output, and at which unit it is entered.

In: the legs, the configuration, the moment. Out: a decision; nothing here changes a leg. A switch
costs readers a repeated second, so legs that both jitter must not throw the output to and fro: the
active leg stays as long as it flows, and one that was lost three times in half a minute is not
gone back to before it has been steady, unless there is nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sluice_media.contract import IngestConfig
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.legs.leg import Leg, LegName
from sluice_media.hub.legs.stretches import MAX_REPLAY_TICKS

MAX_REPEAT_US = 2_000_000
"""How much content a switch may show twice, rather than leave a hole."""
PREFER_PRIMARY_SECONDS = 0.3
"""At the start of a session: the backup's keyframe may win a race of a millisecond."""
FLAPPING_LOSSES = 3
FLAPPING_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""A leg that flapped and has flowed for so long without a break is trusted again."""


class Selector:
    def __init__(self) -> None:
        self._losses = {name: deque[float](maxlen=FLAPPING_LOSSES) for name in LegName}

    def lost(self, leg: Leg, now: float) -> None:
        """``leg`` fed the output and does no more, by its own fault."""
        self._losses[leg.name].append(now)

    def flaps(self, leg: Leg, now: float) -> bool:
        """Whether it was lost too often lately, and was not steady since."""
        losses = self._losses[leg.name]
        if len(losses) < FLAPPING_LOSSES or now - losses[0] > FLAPPING_SECONDS:
            return False
        return leg.steady_seconds(now) < STEADY_SECONDS

    def holds(self, active: Leg, config: IngestConfig, now: float) -> bool:
        """Whether the active leg goes on, whatever the others do. One that does not deliver has
        interrupted the stream, however patient ``stallMilliseconds`` is."""
        return active.delivers and active.flows(now, config.stall_milliseconds / 1_000)

    def select(
        self, legs: Sequence[Leg], active: Leg | None, config: IngestConfig, now: float
    ) -> Leg | None:
        """The leg that should feed the output; ``legs`` come in order of preference.

        An active leg that stands still stays when nothing else flows: a connection that was
        silent for a moment goes on where it was."""
        stall = config.stall_milliseconds / 1_000
        if active is not None and self.holds(active, config, now):
            return self._failback(legs, active, config, now) or active
        others = [leg for leg in legs if leg is not active and leg.delivers]
        flowing = [leg for leg in others if leg.flows(now, stall)]
        steady = [leg for leg in flowing if not self.flaps(leg, now)]
        if steady:
            return steady[0]
        if active is not None and (active.delivers or not others):
            return active if active.connected else None
        return next(iter(flowing or others), None)

    def starts_with(self, legs: Sequence[Leg], now: float) -> Leg | None:
        """The leg that a new session begins with; None: none yet."""
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
        """The primary, when it is time to go back to it."""
        if config.failback != "AfterStable" or active.name is LegName.PRIMARY or active.is_pull:
            return None
        primary = next((leg for leg in legs if leg.name is LegName.PRIMARY), None)
        if primary is None or not primary.delivers or self.flaps(primary, now):
            return None
        return primary if primary.steady_seconds(now) >= config.failback_seconds else None


def entry_point(
    leg: Leg, stopped_us: int | None, seen_dts: int | None = None, *, repeat: bool = True
) -> AccessUnit | None:
    """The unit at which to enter ``leg``; None: wait for its next random access point.

    ``stopped_us`` is the wall clock of the content that went out last (None: nothing did yet). The
    last random access point before that moment repeats content, so it may be 2 s older at most,
    and is not taken at all without ``repeat``; else the first one after it is right. ``seen_dts``:
    what the leg has up to this source DTS belongs to a session that is over."""
    entries = leg.entries()
    if stopped_us is None:
        return next((unit for unit in entries if not _was_seen(unit, seen_dts)), None)
    before = [unit for unit in entries if leg.content_us(unit) <= stopped_us]
    if repeat and before and stopped_us - leg.content_us(before[-1]) <= MAX_REPEAT_US:
        return before[-1]
    return next((unit for unit in entries if leg.content_us(unit) > stopped_us), None)


def _was_seen(unit: AccessUnit, seen_dts: int | None) -> bool:
    """Whether it is a repetition. What lies further back than any gateway keeps is another clock:
    the encoder has started anew."""
    return seen_dts is not None and seen_dts - MAX_REPLAY_TICKS < unit.dts <= seen_dts
