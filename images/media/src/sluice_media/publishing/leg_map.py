"""Where a leg stands, as its last hub said: what the next hub is told, and what it is sent.

Pure. In: acknowledgements. Out: the map for the next hub, and where the replay begins for a hub
that was only silent. The times of a leg are steady for as long as its publisher is connected
(:mod:`sluice_media.timeline.source_clock`), so that a map of now counts for what is kept, too.
"""

from __future__ import annotations

from sluice_media.contract import LegAck
from sluice_media.publishing.retention import Retention
from sluice_media.timeline.source_clock import MOST_APART_TICKS


class LegMap:
    """Keeps the last map of one publisher's leg.

    ``wrap_ticks``: at this time (90 kHz) the container's times begin again at 0; 0: never."""

    def __init__(self, retention: Retention, wrap_ticks: int) -> None:
        self._retention = retention
        self._wrap_ticks = wrap_ticks
        self._last: LegAck | None = None
        self._wrapped = 0
        """Source times here minus those of the present hub."""

    def resume(self) -> LegAck | None:
        """Return the last map, in the source times that the next hub will see."""
        before, self._wrapped = self._wrapped, self._now_wrapped()
        shift = before - self._wrapped
        if self._last is not None and shift:
            self._last = self._last.moved(shift)
        return self._last

    def acknowledged(self, ack: LegAck) -> None:
        """Take the map, and forget what nobody can ask the next hub for."""
        if ack.timeline:  # a hub without a session has none to hand on
            self._last = ack
        self._retention.recorded = ack.recorded
        if ack.acked_dts is not None:
            self._retention.acknowledge(ack.acked_dts + self._wrapped)

    def replay_since(self, first: LegAck) -> int | None:
        """Return the source time from which on a hub lacks media, by its first acknowledgement;
        None: from the beginning of what is kept."""
        before = self._last
        if before is None or not before.feeds or not _is_same_hub(before, first):
            return None
        # One track may lag behind the other.
        return before.source_dts(first.last_out_dts) - MOST_APART_TICKS + self._wrapped

    def _now_wrapped(self) -> int:
        """Return what our times are ahead of those that a hub reads in the replay. The container's
        times begin again at 0, ours do not: FLV's after 49 days."""
        wrap = self._wrap_ticks
        return self._retention.first_dts // wrap * wrap if wrap else 0


def _is_same_hub(before: LegAck, now: LegAck) -> bool:
    """Return whether the hub that answers now is the one that answered before.

    A new hub has another epoch, and no timeline until it has adopted one."""
    return bool(now.timeline) and (now.timeline, now.epoch) == (before.timeline, before.epoch)
