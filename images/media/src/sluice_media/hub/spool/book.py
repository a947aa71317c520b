"""The hub's book of what is on disk and what is to be: kept by the pure core, carried out by the
:class:`~sluice_media.hub.spool.spooler.Spooler`.

In: timelines with those who claim them. Out: which of them are spooled, where their rings are
pinned, which files may go; and the counters of metrics.
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
from sluice_media.hub.spool.policy import Claim, Demand, demand_on, is_held, to_drop
from sluice_media.hub.spool.session import Segment, SpooledSession

PIN_SECONDS = 900.0
"""How long a Recording's pin keeps in memory what nobody has come for."""
FAR_SECONDS = 20.0
FAR_BYTES = 64 << 20
"""A recorder that is so far behind may soon be behind what the ring holds."""
BACKLOG_SECONDS = 180.0
"""How long the ring waits for a disk that takes nothing."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Removal:
    """Files that nobody needs any more."""

    timeline: str
    first_seqs: tuple[int, ...] = ()
    whole: bool = False
    """All of that timeline."""


class SpoolBook:
    def __init__(self) -> None:
        self.enabled = False
        """There is a disk, and somebody who writes."""
        self.removals: deque[Removal] = deque()
        self.written_bytes = 0
        self.failures = 0
        """Times that the disk refused."""
        self.failing = False
        self.dropped_bytes = 0
        """Content that nobody had taken and that the limit, or a broken file, cost."""
        self.holes = 0
        """Times that the ring let go what the disk had not taken."""

    def keep(
        self, timeline: OutputTimeline, config: IngestConfig, readers: Readers, now: Moment
    ) -> Demand:
        """Lets recorders have what they asked for, and returns that."""
        demand = demand_on(timeline, config, readers, now)
        if is_held(timeline, demand):
            timeline.settled = True
            demand = demand_on(timeline, config, readers, now)
        self._look(timeline, demand)
        return demand

    def _look(self, timeline: OutputTimeline, demand: Demand) -> None:
        """Decides whether a timeline is spooled, and frees what recorders hold."""
        by_itself = demand.waits or (timeline.auto and demand.named)
        spooled = timeline.spooled
        if spooled is None:
            far = any(_is_far(timeline, claim) for claim in demand.claims)
            if self.enabled and (by_itself or far) and not timeline.ended:
                timeline.spool()
            return
        floors = [claim.floor(spooled) for claim in demand.claims]
        if not by_itself and not (timeline.ended and demand.any):
            on_disk = any(floor < timeline.ring.first for floor in floors)
            if not on_disk and not any(_is_far(timeline, claim) for claim in demand.claims):
                self.free(timeline)
                return
        if not demand.waits and floors:
            self.remove(spooled, spooled.below(min(floors)))

    def free(self, timeline: OutputTimeline) -> None:
        """Nobody needs anything of it."""
        if timeline.spooled is not None:
            timeline.spooled = None
            self.removals.append(Removal(timeline.id, whole=True))

    def remove(self, spooled: SpooledSession, segments: Sequence[Segment]) -> None:
        if segments:
            seqs = tuple(segment.first_seq for segment in segments)
            self.removals.append(Removal(spooled.timeline, seqs))
        for segment in segments:
            spooled.remove(segment)

    def enforce(self, timelines: Sequence[OutputTimeline], limit_bytes: int) -> None:
        """Drops what is beyond the limit."""
        for spooled, segment in list(to_drop(timelines, limit_bytes)):
            self.lose(spooled, segment)

    def lose(self, spooled: SpooledSession, segment: Segment) -> None:
        """A segment that somebody may still have wanted goes."""
        self.dropped_bytes += segment.bytes_held
        self.remove(spooled, [segment])
        if not spooled.over_limit:
            spooled.over_limit = True
            _log.warning("spool_content_dropped", timeline=spooled.timeline)

    def pin(self, timeline: OutputTimeline, demand: Demand, now: Moment) -> int | None:
        """From where on the ring of a timeline has to stay."""
        ring, spooled = timeline.ring, timeline.spooled
        if spooled is not None and self.enabled:
            waiting = max(spooled.next_seq, ring.first)
            if ring.seconds_behind(waiting) <= BACKLOG_SECONDS:
                return waiting
        oldest_us = now.utc_us - int(PIN_SECONDS * 1_000_000)
        floors = [
            timeline.seq_for_pin(max(claim.since_us or 0, oldest_us), claim.acked_dts)
            for claim in demand.claims
        ]
        return min((floor for floor in floors if floor is not None), default=None)


def _is_far(timeline: OutputTimeline, claim: Claim) -> bool:
    ring = timeline.ring
    seq = timeline.seq_for_pin(claim.since_us or 0, claim.acked_dts)
    if seq is None:
        return False
    return ring.seconds_behind(seq) > FAR_SECONDS or ring.bytes_behind(seq) > FAR_BYTES
