"""How much of a timeline its gateway must keep, in case this hub is lost.

Pure. In: the timeline, the configuration and the readers. Out: the output DTS up to which nobody
could ask the next hub for anything, and whether a recorder is among the readers who could.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.contract import IngestConfig
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.timeline import OutputTimeline
from sluice_media.hub.spool.policy import Claim, demand_while_on

TAIL_SECONDS = 8
"""Kept behind the slowest reader when nobody records. It covers what is on its way to readers when
a hub dies, a reader that reconnects at that moment, and a Recording of which the hub has not heard
yet."""


@dataclass(slots=True, frozen=True)
class ReplayNeed:
    free_dts: int | None
    """Output DTS up to which everything may be forgotten; None: nothing may."""
    recorded: bool
    """A recorder needs the timeline, now or later."""


def replay_need(timeline: OutputTimeline, config: IngestConfig, readers: Readers) -> ReplayNeed:
    """Return the need of a timeline whose session is on.

    Recorders, those that a pin announces and those that ``autoRecord`` will bring need what they do
    not hold yet. Without any of them, a short tail behind the slowest reader is enough."""
    demand = demand_while_on(timeline, config, readers)
    present = readers.has_recorders(timeline.started_us)
    if not demand.any and not present:
        return ReplayNeed(_before_tail(timeline, readers), recorded=False)
    free = [_free_of(claim, timeline) for claim in demand.claims]
    if present:
        free.append(readers.acked_dts(timeline.id, timeline.started_us))
    if demand.waits:
        free.append(None)
    known = [dts for dts in free if dts is not None]
    return ReplayNeed(min(known) if len(known) == len(free) else None, recorded=True)


def _before_tail(timeline: OutputTimeline, readers: Readers) -> int | None:
    oldest = timeline.ring.oldest
    if oldest is None:
        return None
    reached = [reader.reached_dts for reader in readers if reader.timeline is timeline]
    free_dts = min([timeline.last_dts, *reached]) - TAIL_SECONDS * TICKS_PER_SECOND
    return None if free_dts < oldest.dts else free_dts


def _free_of(claim: Claim, timeline: OutputTimeline) -> int | None:
    """Return what a claim does not reach back to: what its recorder holds, or what came before the
    moment that it asks for."""
    if claim.acked_dts is not None or claim.since_us is None:
        return claim.acked_dts
    entry = timeline.ring.entry_before_utc(claim.since_us)
    return entry.dts if entry is not None else None
