"""The output: begins and ends sessions, and appends units to the timeline.

In: legs to enter and their units. Out: the present :class:`OutputTimeline`, and the timelines of
ended sessions for readers that have not read their end record yet.
"""

from __future__ import annotations

import secrets

from sluice_media.contract import IngestConfig, LegAck
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.hub.clock import Moment, us_of
from sluice_media.hub.legs.alignment import OutputTrace, aligned_offset
from sluice_media.hub.legs.leg import Leg
from sluice_media.hub.output.adoption import (
    ADOPTION_SECONDS,
    Adoption,
    KnownPosition,
    is_map,
)
from sluice_media.hub.output.ended_timelines import EndedTimelines
from sluice_media.hub.output.failovers import Failovers, FormatChanges
from sluice_media.hub.output.grid import Grid, resumed_grid
from sluice_media.hub.output.media_info import MediaMeter, describe
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.ring import MAX_BYTES
from sluice_media.hub.output.session import LiveSession, SessionLog, SessionStart
from sluice_media.hub.output.splicer import FIRST_DTS, Splicer
from sluice_media.hub.output.timeline import OutputTimeline, Request
from sluice_media.hub.spool.plan import PIN_SECONDS, SpoolPlan
from sluice_media.hub.spool.policy import same_moment
from sluice_media.hub.spool.session import SpooledSession

MEMORY_BYTES = MAX_BYTES
"""Limit for the rings of all timelines together."""
SHORTEST_GAP_SECONDS = 0.1
"""Minimum length of a reported gap. A source that only restarted its clock is late by about a
frame, which is no gap."""
POSITION_TICKS = TICKS_PER_SECOND // 5
"""Distance between a known position and the next unit. The position is the last DTS of one reader:
reordered pictures, and units that other readers got later, must lie before the next unit."""


class Output:
    """The splicer, the session and its timeline, which begin and end together."""

    def __init__(self) -> None:
        self.timeline: OutputTimeline | None = None
        self.sessions = SessionLog()
        self.meter = MediaMeter()
        self.splicer = Splicer()
        self.adoption = Adoption(self.sessions)
        self.failovers = Failovers()
        self.format_changes = FormatChanges()
        self.gaps = 0
        self.units = 0
        self._past_pins_broken = 0
        self.ended_timelines = EndedTimelines()
        self.spool_plan = SpoolPlan()
        self.feeder: Leg | None = None
        """The leg whose offset the splicer uses; it may have ended."""
        self._trace = OutputTrace()
        self.traced = False
        """True while there is a second leg, which may carry the same bitstream."""

    @property
    def pins_broken(self) -> int:
        """Number of times that the ring's byte limit dropped pinned content."""
        ring = self.timeline.ring if self.timeline else None
        return self._past_pins_broken + (ring.pins_broken if ring else 0)

    @property
    def stopped_us(self) -> int | None:
        """Wall clock of the content that went out last, microseconds; None without a session."""
        if self.timeline is None:
            return None
        arrived_us = self.timeline.last_us
        dts = self.splicer.last_source()
        made_us = self.feeder.content.utc_us(dts) if self.feeder and dts is not None else None
        return arrived_us if made_us is None else min(arrived_us, made_us)

    def source_offset(self, leg: Leg) -> int:
        """Return output DTS minus source DTS of ``leg``, whose connection fed the output last."""
        if leg is not self.feeder and is_map(leg.resume):
            return leg.resume.out_offset
        return self.splicer.offset + leg.shift

    def fed_by(self, leg: Leg) -> bool:
        """Return whether the connection of ``leg`` fed the output last, with this or an earlier
        post of the leg."""
        feeder = self.feeder
        return feeder is not None and feeder.hello.connection == leg.hello.connection

    def alignment(self, leg: Leg) -> int | None:
        """Return the offset with which ``leg`` continues at the exact next unit; None when its
        bitstream is not the one that went out."""
        if self.timeline is None or leg.formats != self.timeline.formats:
            return None
        if leg.reference != self.splicer.reference:
            return None
        return aligned_offset(self._trace, leg.held_reference())

    @property
    def timelines(self) -> list[OutputTimeline]:
        """All timelines with content, oldest first; the one on air is the last."""
        return [*self.ended_timelines, *([self.timeline] if self.timeline else [])]

    def find(self, request: Request) -> OutputTimeline | None:
        """Return the timeline for a reader's request; None: the reader has to wait."""
        if request.session_us is not None:
            return self.session(request.session_us)
        kept = self.ended_timelines.find(request)
        if kept is not None:
            return kept
        current = self.timeline
        if current is None or current.ring.newest is not None:
            return current
        # The timeline continues after a restart and has no random access point in its ring yet.
        follows = request.timeline == current.id or (
            request.recorder and request.since_us is not None
        )
        return current if follows and current.ring.trimmed_dts is not None else None

    def session(self, started_us: int) -> OutputTimeline | None:
        """Return the timeline of the session that began at ``started_us``, if it has content."""
        for timeline in self.timelines:
            if same_moment(timeline.started_us, started_us) and timeline.holds_content():
                return timeline
        return None

    def restore(self, sessions: list[SpooledSession], config: IngestConfig, now: Moment) -> None:
        """Restore the sessions that an earlier process of this pod left on disk."""
        for spooled in sessions:
            timeline = OutputTimeline.restored(spooled)
            is_on = self.timeline is not None and self.timeline.id == spooled.timeline
            if is_on or spooled.stream_uid != config.uid:
                self.spool_plan.dropped_bytes += spooled.bytes_held
                self.spool_plan.free(timeline)
                continue
            if timeline.ended:
                self.sessions.note_ended(timeline.id)
            self.ended_timelines.add(timeline, now.monotonic)

    def join(self, leg: Leg, offset: int) -> None:
        """Continue with ``leg``, which carries the bitstream of the former leg."""
        leg.resume = None
        leg.stretches.begin(None)
        self.feeder = leg
        self.failovers.note_switch(leg, is_session_on=True)
        self.splicer.join(offset)

    def enter(self, leg: Leg, entry: AccessUnit, config: IngestConfig, now: Moment) -> None:
        """Make ``leg`` feed the output, beginning with ``entry``, which is emitted next."""
        resume, stopped_us, again = leg.resume, self.stopped_us, self.fed_by(leg)
        until, before = self.splicer.latest_source(), self.splicer.offset
        self.feeder = leg
        self._trace.clear()
        self.failovers.note_switch(leg, is_session_on=self.timeline is not None)
        if self.timeline is not None and stopped_us is not None:
            known = again and is_map(resume) and resume.timeline == self.timeline.id
            place = resume.out_offset if known and resume is not None else None
            gap = self._continue(self.timeline, leg, entry, stopped_us, now, offset=place)
            if not again:
                leg.stretches.begin(entry.dts)
            elif place is None and until is not None and until >= entry.dts:
                leg.stretches.begin(None)  # its video and audio do not share a clock
            elif place is None and until is not None:
                leg.stretches.changed(
                    until,
                    before,
                    entry.dts,
                    leg.content_us(entry),
                    gap_seconds=gap,
                    next_run=self.timeline.grid.run,
                )
        elif resume is not None and self.adoption.can_adopt(resume, config, now):
            self._adopt(leg, resume, entry, config, now)
        elif position := self.adoption.position(leg, config, now):
            leg.stretches.begin(entry.dts)
            self._go_on_from(position, leg, entry, config, now)
        else:
            leg.stretches.begin(entry.dts)
            self._new_splicer()
            start = self.splicer.enter(entry)
            fresh = SessionStart(secrets.token_hex(8), 1, entry.utc_us, start)
            timeline = self._open(leg, fresh, config, now, Grid(config.segment_seconds))
            timeline.append_anchor(start, entry.utc_us)
        leg.resume = None
        self.adoption.clear()

    def clock_moved(self, leg: Leg, unit: AccessUnit) -> None:
        """Append an anchor before ``unit``, which is emitted next, because the clock of the active
        leg's source jumps there. No media is missing."""
        if self.timeline is not None:
            dts = unit.dts + self.splicer.offset
            self.timeline.append_anchor(dts, leg.content_us(unit))

    def emit(self, leg: Leg, unit: AccessUnit, now: Moment) -> None:
        """Append a unit of the active leg, which has steady times, to the timeline."""
        timeline, session = self.timeline, self.sessions.current
        if timeline is None or session is None:
            return
        if leg.formats is not timeline.formats:
            self._set_formats(timeline, leg, now)
        if leg.stretches.borders:
            self._repeat_gaps(timeline, leg, unit)
        self.splicer.reference = leg.reference
        out = self.splicer.map(unit)
        if out is None:
            return
        timeline.append_unit(out, is_reference=out.track == leg.reference)
        if self.traced and out.track == leg.reference:
            self._trace.add(out)
        if self.failovers.note_unit(session.last_media, now):
            session.failovers += 1
        self.units += 1
        self.meter.add(out)
        session.last_media = now

    def finish(self, reason: str, now: Moment) -> bool:
        """End the session; return False when there is none."""
        timeline = self.timeline
        if timeline is None:
            return False
        timeline.append_end(reason, self.sessions.finish(reason))
        self.ended_timelines.add(timeline, now.monotonic)
        self._past_pins_broken += timeline.ring.pins_broken
        self.timeline = None
        self.feeder = None
        self._trace.clear()
        return True

    def keep(self, config: IngestConfig, readers: Readers, now: Moment) -> None:
        """Release old content, except content that present or announced recorders do not hold
        yet."""
        self._end_abandoned(config, now)
        current = self.timeline
        if current is not None and config.auto_record:
            current.enable_auto_record()
        wanted: dict[str, float] = {}
        for timeline in self.timelines:
            demand = self.spool_plan.keep(timeline, config, readers, now)
            if demand.any:
                wanted[timeline.id] = PIN_SECONDS
            if timeline is current:
                timeline.ring.pin(self.spool_plan.pin(timeline, demand, now))
        room = MEMORY_BYTES - (current.ring.bytes_held if current else 0)
        self.ended_timelines.discard_unneeded(wanted, now.monotonic, room)

    def _end_abandoned(self, config: IngestConfig, now: Moment) -> None:
        """End sessions that were on air when an earlier process died, when another session has
        begun or when no publisher and no reader can continue them any more.

        The wait begins with this process, because the spool may have been far behind."""
        wait_seconds = config.resume_window_seconds + ADOPTION_SECONDS
        before = now.monotonic if self.timeline is not None else now.monotonic - wait_seconds
        for timeline_id in self.ended_timelines.end_unfinished(before=before, at=now.monotonic):
            self.sessions.note_ended(timeline_id)

    def _continue(
        self,
        timeline: OutputTimeline,
        leg: Leg,
        entry: AccessUnit,
        stopped_us: int,
        now: Moment,
        *,
        offset: int | None,
    ) -> float:
        """Continue the session and return the length of the gap in seconds, 0 without one.

        ``offset`` is that of the same connection before; None: another connection is spliced in."""
        if offset is not None:
            start = entry.dts + offset
            missing = self.splicer.resume(entry, start - entry.dts)
        else:
            start = self.splicer.enter(entry)
            missing = 1
        self._set_formats(timeline, leg, now)
        if not missing:
            return 0.0
        timeline.grid.interrupt()
        made_us = leg.content_us(entry)
        wall_seconds = (made_us - stopped_us) / 1_000_000
        if wall_seconds >= SHORTEST_GAP_SECONDS:
            self.gaps += 1
            timeline.append_gap(start, wall_seconds)
        timeline.append_anchor(start, made_us)
        return wall_seconds if wall_seconds >= SHORTEST_GAP_SECONDS else 0.0

    def _repeat_gaps(self, timeline: OutputTimeline, leg: Leg, unit: AccessUnit) -> None:
        """Append gaps that an earlier hub reported, when ``unit``, which follows, is behind them
        and this timeline does not have them."""
        for next_dts, stretch, _ in leg.stretches.crossed(unit.dts):
            start = next_dts + self.splicer.offset
            if start <= self.splicer.last_dts:
                continue
            if stretch.gap_seconds:
                self.gaps += 1
                timeline.append_gap(start, stretch.gap_seconds)
            timeline.append_anchor(start, us_of(stretch.next_utc))
            timeline.grid.interrupt(stretch.next_run)
            self.splicer.interrupted()

    def _adopt(
        self, leg: Leg, resume: LegAck, entry: AccessUnit, config: IngestConfig, now: Moment
    ) -> None:
        """Continue another hub's timeline and session, with the offset of its map."""
        revived = self._new_splicer(resume.timeline)
        start = entry.dts + resume.out_offset
        missing = self.splicer.resume(entry, start - entry.dts)
        leg.stretches.crossed(entry.dts - 1)  # these borders lie before this timeline's content
        started = resume.session_started_at
        started_us = us_of(started) if started else entry.utc_us
        adopted = SessionStart(resume.timeline, resume.epoch + 1, started_us, start)
        grid = resumed_grid(resume, config.segment_seconds, start, is_whole=not missing)
        timeline = self._open(leg, adopted, config, now, grid, revived)
        if revived is not None and not missing:
            return  # the disk has all earlier records
        ahead = missing or start - resume.last_out_dts
        # Units that are sent again keep the wall clock of their first arrival.
        last_us = us_of(resume.last_out_utc) if resume.last_out_utc else entry.utc_us
        earlier_us = last_us + ahead * 1_000_000 // TICKS_PER_SECOND
        earlier_us -= leg.stretches.missing_us()
        timeline.append_anchor(start, min(entry.utc_us, earlier_us))
        if ahead > TICKS_PER_SECOND:
            self.gaps += 1
            timeline.append_gap(start, ahead / TICKS_PER_SECOND)

    def _go_on_from(
        self,
        position: KnownPosition,
        leg: Leg,
        entry: AccessUnit,
        config: IngestConfig,
        now: Moment,
    ) -> None:
        """Continue another hub's timeline with a leg that has no offset in it.

        Content between the position and ``entry`` may be missing or repeated; this is not known."""
        revived = self._new_splicer(position.timeline)
        start = self.splicer.enter(entry, position.dts + POSITION_TICKS)
        started_us = position.started_us
        if started_us is None:
            started_us = entry.utc_us - (start - FIRST_DTS) * 1_000_000 // TICKS_PER_SECOND
        adopted = SessionStart(position.timeline, position.epoch + 1, started_us, start)
        grid = Grid.inexact(config.segment_seconds, position.numbers, floor=position.dts)
        timeline = self._open(leg, adopted, config, now, grid, revived)
        made_us = leg.content_us(entry)
        waited = now.monotonic - position.known_at.monotonic
        missing = (made_us - position.last_us) / 1_000_000 if position.last_us else waited
        self.gaps += 1
        # The two times may be of two nodes' clocks; the gap is at least as long as the wait here.
        timeline.append_gap(start, max(missing, waited))
        timeline.append_anchor(start, made_us)

    def _open(
        self,
        leg: Leg,
        start: SessionStart,
        config: IngestConfig,
        now: Moment,
        grid: Grid,
        revived: OutputTimeline | None = None,
    ) -> OutputTimeline:
        """Begin a session and return its timeline. ``revived`` is the timeline as restored from
        disk, whose start of the session is exact."""
        self.meter = MediaMeter()
        if revived is None:
            timeline = OutputTimeline(
                id=start.timeline,
                epoch=start.epoch,
                stream_uid=config.uid,
                title=config.title,
                started_us=start.started_us,
                last_dts=start.dts,
                grid=grid,
            )
        else:
            timeline = revived
            timeline.revive(start.epoch, config.title, grid)
        self.sessions.current = LiveSession(
            timeline.id, timeline.started_us, now, leg.hello.protocol
        )
        self.timeline = timeline
        self._set_formats(timeline, leg, now)
        return timeline

    def _new_splicer(self, timeline_id: str = "") -> OutputTimeline | None:
        """Start a new splicer. Return the unfinished timeline that an earlier process left on disk
        under this id; None when there is none."""
        self.splicer = Splicer(before=self.splicer)
        revived = self.ended_timelines.take_unfinished(timeline_id)
        if revived is not None and revived.spooled is not None:
            self.splicer.restore(revived.spooled.progress.tracks)
        return revived

    def _set_formats(self, timeline: OutputTimeline, leg: Leg, now: Moment) -> None:
        """Append a format record when the tracks change."""
        if leg.formats == timeline.formats:
            timeline.formats = leg.formats
            return
        if timeline.formats:
            before, after = describe(timeline.formats), describe(leg.formats)
            self.format_changes.add(before, after, now.utc_us)
        timeline.append_formats(leg.formats)
        self.splicer.take_formats(leg.formats)
        self.meter.take_formats(leg.formats)
        if self.sessions.current is not None:
            self.sessions.current.media = describe(leg.formats)
