"""The part of a timeline that its gateway must keep in case this hub is lost.

Pure. In: the timeline, the configuration and the readers. Out: the output DTS up to which no reader
can ask the next hub for content, and whether a recorder needs the timeline.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.contract import IngestConfig
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.timeline import OutputTimeline
from sluice_media.hub.spool.policy import RecorderNeed, demand_while_on

TAIL_SECONDS = 8
"""Seconds of media kept behind the slowest reader when there is no recorder. They cover the data on
its way to readers when a hub dies, a reader that reconnects at that moment, and a Recording that
the hub's configuration does not have yet."""


@dataclass(slots=True, frozen=True)
class ReplayNeed:
    """The content that a gateway must keep."""

    free_dts: int | None
    """Output DTS up to which content may be dropped; None: none may."""
    recorded: bool
    """True when a recorder needs the timeline, now or later."""
    grid_dts: int
    """Output DTS at or before which the gateway begins when it sends media to the next hub."""


def replay_need(timeline: OutputTimeline, config: IngestConfig, readers: Readers) -> ReplayNeed:
    """Return the need of a timeline whose session is on air.

    Recorders need the content that they do not hold yet. This includes recorders that a pin
    announces or that ``autoRecord`` will start. Without any recorder, the last 8 s behind the
    slowest reader are enough."""
    demand = demand_while_on(timeline, config, readers)
    present = readers.has_recorders(timeline.started_us)
    tail_dts = _before_tail(timeline, readers)
    oldest = timeline.ring.oldest
    # Without a tail, all content is younger than the tail.
    begin_dts = tail_dts or (oldest.dts if oldest else timeline.last_dts)
    if not demand.any and not present:
        return ReplayNeed(tail_dts, recorded=False, grid_dts=begin_dts)
    free = [_free_dts(need, timeline) for need in demand.needs]
    if present:
        free.append(readers.acked_dts(timeline.id, timeline.started_us))
    if demand.awaits_recording:
        free.append(None)
    known = [dts for dts in free if dts is not None]
    free_dts = min(known) if len(known) == len(free) else None
    # Older content may be sent again too, but the gateway may have dropped it.
    grid_dts = begin_dts if free_dts is None else max(free_dts, begin_dts)
    return ReplayNeed(free_dts, recorded=True, grid_dts=grid_dts)


def _before_tail(timeline: OutputTimeline, readers: Readers) -> int | None:
    oldest = timeline.ring.oldest
    if oldest is None:
        return None
    reached = [reader.reached_dts for reader in readers if reader.timeline is timeline]
    free_dts = min([timeline.last_dts, *reached]) - TAIL_SECONDS * TICKS_PER_SECOND
    return None if free_dts < oldest.dts else free_dts


def _free_dts(need: RecorderNeed, timeline: OutputTimeline) -> int | None:
    """Return the DTS before which a recorder needs nothing: the end of what it holds, or the moment
    from which its Recording starts."""
    if need.acked_dts is not None or need.since_us is None:
        return need.acked_dts
    entry = timeline.ring.entry_before_utc(need.since_us)
    return entry.dts if entry is not None else None
