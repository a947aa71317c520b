"""The plan of the spool: pure decisions that the
:class:`~sluice_media.hub.spool.spooler.Spooler` carries out.

In: timelines and the demand for them. Out: the timelines to spool, the pins of their rings, the
files to delete, and the counters for the metrics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sluice_media.contract import IngestConfig
from sluice_media.hub.clock import Moment
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.timeline import OutputTimeline
from sluice_media.hub.spool.policy import Demand, RecorderNeed, demand_on, is_held, to_drop
from sluice_media.hub.spool.session import Segment, SpooledSession

PIN_SECONDS = 900.0
"""Time for which a Recording's pin keeps content in memory before its recorder connects."""
FAR_SECONDS = 20.0
FAR_BYTES = 64 << 20
"""Distance at which the timeline of a recorder is spooled, because the ring may soon drop content
that the recorder needs."""
BACKLOG_SECONDS = 180.0
"""Media time for which the ring waits for a disk that accepts no writes."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Removal:
    """Files to delete."""

    timeline: str
    first_seqs: tuple[int, ...] = ()
    whole: bool = False
    """True to delete all files of the timeline."""


class SpoolPlan:
    """The decisions on which sessions are on disk, and the spool's counters."""

    def __init__(self) -> None:
        self.enabled = False
        """True once the disk was loaded and a spooler writes to it."""
        self.removals: deque[Removal] = deque()
        self.written_bytes = 0
        self.failures = 0
        """Number of disk operations that failed."""
        self.failing = False
        self.dropped_bytes = 0
        """Bytes that were dropped for the limit, or with a damaged file, before all recorders had
        them."""
        self.holes = 0
        """Number of times that the ring dropped content before it was written to disk."""

    def keep(
        self, timeline: OutputTimeline, config: IngestConfig, readers: Readers, now: Moment
    ) -> Demand:
        """Update the plan for one timeline, and return the demand for it."""
        demand = demand_on(timeline, config, readers, now)
        if is_held(timeline, demand):
            timeline.fully_recorded = True
            demand = demand_on(timeline, config, readers, now)
        self._decide(timeline, demand)
        return demand

    def _decide(self, timeline: OutputTimeline, demand: Demand) -> None:
        """Decide whether the timeline is spooled; delete the segments that no recorder needs."""
        is_kept = demand.awaits_recording or (timeline.auto and demand.named)
        spooled = timeline.spooled
        if spooled is None:
            is_far = any(_is_far_behind(timeline, need) for need in demand.needs)
            if self.enabled and (is_kept or is_far) and not timeline.ended:
                timeline.spool()
            return
        floors = [need.floor(spooled) for need in demand.needs]
        if not is_kept and not (timeline.ended and demand.any):
            on_disk = any(floor < timeline.ring.first for floor in floors)
            if not on_disk and not any(_is_far_behind(timeline, need) for need in demand.needs):
                self.free(timeline)
                return
        if not demand.awaits_recording and floors:
            self.remove(spooled, spooled.below(min(floors)))

    def free(self, timeline: OutputTimeline) -> None:
        """Stop spooling a timeline, and delete its files."""
        if timeline.spooled is not None:
            timeline.spooled = None
            self.removals.append(Removal(timeline.id, whole=True))

    def remove(self, spooled: SpooledSession, segments: Sequence[Segment]) -> None:
        """Delete segments of a session."""
        if segments:
            seqs = tuple(segment.first_seq for segment in segments)
            self.removals.append(Removal(spooled.timeline, seqs))
        for segment in segments:
            spooled.remove(segment)

    def enforce(self, timelines: Sequence[OutputTimeline], limit_bytes: int) -> None:
        """Drop the oldest segments beyond the limit."""
        for spooled, segment in list(to_drop(timelines, limit_bytes)):
            self.lose(spooled, segment)

    def lose(self, spooled: SpooledSession, segment: Segment) -> None:
        """Drop a segment that a recorder may still need."""
        self.dropped_bytes += segment.bytes_held
        self.remove(spooled, [segment])
        if not spooled.over_limit:
            spooled.over_limit = True
            _log.warning("spool_content_dropped", timeline=spooled.timeline)

    def pin(self, timeline: OutputTimeline, demand: Demand, now: Moment) -> int | None:
        """Return the sequence number from which the timeline's ring must keep its records; None
        for no pin."""
        ring, spooled = timeline.ring, timeline.spooled
        if spooled is not None and self.enabled:
            waiting = max(spooled.next_seq, ring.first)
            if ring.seconds_behind(waiting) <= BACKLOG_SECONDS:
                return waiting
        oldest_us = now.utc_us - int(PIN_SECONDS * 1_000_000)
        floors = [
            timeline.seq_for_pin(max(need.since_us or 0, oldest_us), need.acked_dts)
            for need in demand.needs
        ]
        return min((floor for floor in floors if floor is not None), default=None)


def _is_far_behind(timeline: OutputTimeline, need: RecorderNeed) -> bool:
    ring = timeline.ring
    seq = timeline.seq_for_pin(need.since_us or 0, need.acked_dts)
    if seq is None:
        return False
    return ring.seconds_behind(seq) > FAR_SECONDS or ring.bytes_behind(seq) > FAR_BYTES
