"""The state of a leg, as its last hub acknowledged it (pure).

In: acknowledgements. Out: the map for the next hub, and the begin of the replay for a hub that was
only silent. The times of a leg are steady while its publisher is connected
(:mod:`sluice_media.timeline.source_clock`), so the newest map is valid for all kept media.
"""

from __future__ import annotations

from sluice_media.contract import LegAck
from sluice_media.publishing.retention import Retention
from sluice_media.timeline.source_clock import MOST_APART_TICKS


class LegMap:
    """Keeps the last map of one publisher's leg."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self.last: LegAck | None = None
        """The map for the next hub."""

    def acknowledged(self, ack: LegAck) -> None:
        """Keep the map, and drop the media that no reader can ask the next hub for."""
        if ack.timeline:  # a hub without a session has none to hand on
            self.last = ack
        self._retention.recorded = ack.recorded
        if ack.acked_dts is not None:
            self._retention.acknowledge(ack.acked_dts)

    def replay_since(self, first: LegAck) -> int | None:
        """Return the source time after which a hub lacks media, by its first acknowledgement.

        None: it lacks all kept media.
        """
        before = self.last
        if before is None or not before.feeds or not _is_same_hub(before, first):
            return None
        # One track may lag behind the other.
        return before.source_dts(first.last_out_dts) - MOST_APART_TICKS


def _is_same_hub(before: LegAck, now: LegAck) -> bool:
    """Return whether the hub that answers now is the one that answered before.

    A new hub has another epoch, and no timeline until it has adopted one."""
    return bool(now.timeline) and (now.timeline, now.epoch) == (before.timeline, before.epoch)
