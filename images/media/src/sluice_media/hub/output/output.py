"""The output: the one place where sessions begin and end and units go out.

In: legs to enter and their units. Out: the present :class:`OutputTimeline`, and an archive of
those that ended a moment ago, for readers that have not seen their end yet.
"""

from __future__ import annotations

import secrets

from sluice_media.contract import IngestConfig, LegAck, RecordableSession
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.hub.clock import Moment, us_of
from sluice_media.hub.legs.alignment import OutputTrace, aligned_offset
from sluice_media.hub.legs.leg import Leg
from sluice_media.hub.output.adoption import ADOPTION_SECONDS, Adoption, Position, is_map, unwrapped
from sluice_media.hub.output.ended_timelines import Shelf
from sluice_media.hub.output.failovers import Failovers, FormatChanges
from sluice_media.hub.output.media_info import MediaMeter, describe
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.ring import MAX_BYTES
from sluice_media.hub.output.session import LiveSession, SessionLog
from sluice_media.hub.output.splicer import FIRST_DTS, Splicer
from sluice_media.hub.output.timeline import OutputTimeline, Request
from sluice_media.hub.spool.book import PIN_SECONDS, SpoolBook
from sluice_media.hub.spool.policy import recordable, same_moment
from sluice_media.hub.spool.session import SpooledSession

MEMORY_BYTES = MAX_BYTES
"""Of the timeline that is on and the ended ones together."""
SHORTEST_GAP_SECONDS = 0.1
"""A source that only restarted its clock leaves no gap, whatever one frame takes to come."""
POSITION_TICKS = TICKS_PER_SECOND // 5
"""A position names the last DTS that somebody saw; pictures shown ahead of their turn, and what
others saw later, must lie before what comes next."""


class Output:
    """The splicer, the session and its timeline, which live and die together."""

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
        self._past_clamped = 0
        self._past_dropped = 0
        self._past_pins_broken = 0
        self.shelf = Shelf()
        self.book = SpoolBook()
        self.feeder: Leg | None = None
        """The leg whose offset the splicer has; it may have ended."""
        self._trace = OutputTrace()
        self.traced = False
        """Whether there is a second leg that may turn out to be the same."""

    @property
    def clamped_units(self) -> int:
        """Units, over all sessions, whose DTS did not grow by itself."""
        return self._past_clamped + self.splicer.clamped

    @property
    def dropped_units(self) -> int:
        """Units, over all sessions, older than their splice or out of step."""
        return self._past_dropped + self.splicer.dropped

    @property
    def pins_broken(self) -> int:
        """How often a limit took content that a Recording had asked for."""
        ring = self.timeline.ring if self.timeline else None
        return self._past_pins_broken + (ring.pins_broken if ring else 0)

    @property
    def stopped_us(self) -> int | None:
        """Wall clock of the content that went out last; None before the first of a session."""
        if self.timeline is None:
            return None
        arrived_us = self.timeline.last_us
        dts = self.splicer.last_source()
        made_us = self.feeder.content.utc_us(dts) if self.feeder and dts is not None else None
        return arrived_us if made_us is None else min(arrived_us, made_us)

    def source_offset(self, leg: Leg) -> int:
        """Output DTS minus source DTS of ``leg``, whose connection fed the output last."""
        if leg is not self.feeder and is_map(leg.resume):
            return leg.resume.out_offset
        return self.splicer.offset + leg.shift

    def fed_by(self, leg: Leg) -> bool:
        """Return whether the connection of ``leg`` fed the output last, as this leg or before."""
        feeder = self.feeder
        return feeder is not None and feeder.hello.connection == leg.hello.connection

    def alignment(self, leg: Leg) -> int | None:
        """The offset that goes on with ``leg`` at the very unit that is next; None: its bitstream
        is not the one that went out."""
        if self.timeline is None or leg.formats != self.timeline.formats:
            return None
        if leg.reference != self.splicer.reference:
            return None
        return aligned_offset(self._trace, leg.held_reference())

    @property
    def timelines(self) -> list[OutputTimeline]:
        """All of which there is anything, the one that is on last."""
        return [*self.shelf, *([self.timeline] if self.timeline else [])]

    def find(self, request: Request) -> OutputTimeline | None:
        """The timeline that a reader gets when it asks like this; None: it has to wait."""
        if request.session_us is not None:
            return self.session(request.session_us)
        kept = self.shelf.find(request)
        if kept is not None:
            return kept
        current = self.timeline
        if current is None or current.ring.newest is not None:
            return current
        # It goes on from what an earlier process left, with no random access point so far.
        follows = request.timeline == current.id or (
            request.recorder and request.since_us is not None
        )
        return current if follows and current.ring.trimmed_dts is not None else None

    def session(self, started_us: int) -> OutputTimeline | None:
        """The session that began then, if anything of it is held."""
        for timeline in self.timelines:
            if same_moment(timeline.started_us, started_us) and timeline.holds_content():
                return timeline
        return None

    def recordable(self, config: IngestConfig) -> list[RecordableSession]:
        """What ``autoRecord`` asks Recordings for, oldest first."""
        return recordable(self.timelines, config)

    def restore(self, sessions: list[SpooledSession], config: IngestConfig, now: Moment) -> None:
        """Takes in what an earlier process of this pod left on disk."""
        for spooled in sessions:
            timeline = OutputTimeline.restored(spooled)
            is_on = self.timeline is not None and self.timeline.id == spooled.timeline
            if is_on or spooled.stream_uid != config.uid:
                self.book.dropped_bytes += spooled.bytes_held
                self.book.free(timeline)
                continue
            if timeline.ended:
                self.sessions.note_ended(timeline.id)
            self.shelf.put(timeline, now.monotonic)

    def join(self, leg: Leg, offset: int) -> None:
        """``leg`` goes on with the very bitstream of the one before."""
        leg.resume = None
        leg.stretches.begin(None)
        self.feeder = leg
        self.failovers.entered(leg, goes_on=True)
        self.splicer.join(offset)

    def enter(self, leg: Leg, entry: AccessUnit, config: IngestConfig, now: Moment) -> None:
        """``leg`` feeds the output from now on, beginning with ``entry``, which is emitted next."""
        resume, stopped_us, again = leg.resume, self.stopped_us, self.fed_by(leg)
        until, before = self.splicer.latest_source(), self.splicer.offset
        self.feeder = leg
        self._trace.clear()
        self.failovers.entered(leg, goes_on=self.timeline is not None)
        if self.timeline is not None and stopped_us is not None:
            known = again and is_map(resume) and resume.timeline == self.timeline.id
            place = resume.out_offset if known and resume is not None else None
            gap = self._continue(self.timeline, leg, entry, stopped_us, now, offset=place)
            if not again:
                leg.stretches.begin(entry.dts)
            elif place is None and until is not None and until >= entry.dts:
                leg.stretches.begin(None)  # its pictures do not count in the times of its sound
            elif place is None and until is not None:
                leg.stretches.changed(until, before, entry.dts, leg.content_us(entry), gap)
        elif resume is not None and self.adoption.fits(resume, config, now):
            self._adopt(leg, resume, entry, config, now)
        elif position := self.adoption.position(leg, config, now):
            leg.stretches.begin(entry.dts)
            self._go_on_from(position, leg, entry, config, now)
        else:
            leg.stretches.begin(entry.dts)
            self._new_splicer()
            start = self.splicer.enter(entry)
            name = secrets.token_hex(8)
            timeline = self._open(leg, (name, 1), entry.utc_us, start, config, now)
            timeline.append_anchor(start, entry.utc_us)
        leg.resume = None
        self.adoption.has_begun()

    def clock_moved(self, leg: Leg, unit: AccessUnit) -> None:
        """The source of the active leg goes on in other times from ``unit`` on, which is emitted
        next. Nothing is missing; an anchor says where it happened."""
        if self.timeline is not None:
            dts = unit.dts + self.splicer.offset
            self.timeline.append_anchor(dts, leg.content_us(unit))

    def emit(self, leg: Leg, unit: AccessUnit, now: Moment) -> None:
        """One unit of the active leg, in its steady times."""
        timeline, session = self.timeline, self.sessions.current
        if timeline is None or session is None:
            return
        if leg.formats is not timeline.formats:
            self._set_formats(timeline, leg, now)
        if leg.stretches.borders:
            self._say_again(timeline, leg, unit)
        self.splicer.reference = leg.reference
        out = self.splicer.map(unit)
        if out is None:
            return
        timeline.append_unit(out)
        if self.traced and out.track == leg.reference:
            self._trace.add(out)
        if self.failovers.went_out(session.last_media, now):
            session.failovers += 1
        self.units += 1
        self.meter.add(out)
        session.last_media = now

    def finish(self, reason: str, now: Moment) -> bool:
        """Ends the session; False when none is on."""
        timeline = self.timeline
        if timeline is None:
            return False
        timeline.append_end(reason, self.sessions.finish(reason))
        self.shelf.put(timeline, now.monotonic)
        self._past_pins_broken += timeline.ring.pins_broken
        self.timeline = None
        self.feeder = None
        self._trace.clear()
        return True

    def keep(self, config: IngestConfig, readers: Readers, now: Moment) -> None:
        """Lets old content go, but for what recorders asked for, or are still to ask for, and do
        not hold yet."""
        self._end_what_is_lost(config, now)
        current = self.timeline
        if current is not None and config.auto_record:
            current.record_by_itself()
        wanted: dict[str, float] = {}
        for timeline in self.timelines:
            demand = self.book.keep(timeline, config, readers, now)
            if demand.any:
                wanted[timeline.id] = PIN_SECONDS
            if timeline is current:
                timeline.ring.pin(self.book.pin(timeline, demand, now))
        room = MEMORY_BYTES - (current.ring.bytes_held if current else 0)
        self.shelf.clear_up(wanted, now.monotonic, room)

    def _end_what_is_lost(self, config: IngestConfig, now: Moment) -> None:
        """The session that was on when an earlier process died is over when another one is on,
        or when nobody can come back to it any more. The wait begins with this process: the disk
        may have been far behind."""
        patience = config.resume_window_seconds + ADOPTION_SECONDS
        for timeline in self.shelf.unfinished(
            before=now.monotonic if self.timeline is not None else now.monotonic - patience
        ):
            timeline.append_end("WindowPassed", timeline.last_us)
            self.shelf.restart(timeline, now.monotonic)
            self.sessions.note_ended(timeline.id)

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
        """The session goes on. ``offset``: that of the same connection before; None: it is not the
        same, and is spliced. Returns the length of the gap in seconds, 0 without one."""
        if offset is not None:
            start = unwrapped(entry.dts + offset, timeline.last_dts)
            missing = self.splicer.resume(entry, start - entry.dts)
        else:
            start = self.splicer.enter(entry)
            missing = 1
        self._set_formats(timeline, leg, now)
        if not missing:
            return 0.0
        made_us = leg.content_us(entry)
        wall_seconds = (made_us - stopped_us) / 1_000_000
        if wall_seconds >= SHORTEST_GAP_SECONDS:
            self.gaps += 1
            timeline.append_gap(start, wall_seconds)
        timeline.append_anchor(start, made_us)
        return wall_seconds if wall_seconds >= SHORTEST_GAP_SECONDS else 0.0

    def _say_again(self, timeline: OutputTimeline, leg: Leg, unit: AccessUnit) -> None:
        """Gaps that an earlier hub has said, if ``unit``, which follows, is behind them and they
        are new to this timeline."""
        for next_dts, stretch, _ in leg.stretches.crossed(unit.dts):
            start = next_dts + self.splicer.offset
            if start <= self.splicer.last_dts:
                continue
            if stretch.gap_seconds:
                self.gaps += 1
                timeline.append_gap(start, stretch.gap_seconds)
            timeline.append_anchor(start, us_of(stretch.next_utc))
            self.splicer.interrupted()

    def _adopt(
        self, leg: Leg, resume: LegAck, entry: AccessUnit, config: IngestConfig, now: Moment
    ) -> None:
        """Another hub's timeline and session go on here, in the same times."""
        revived = self._new_splicer(resume.timeline)
        start = unwrapped(entry.dts + resume.out_offset, resume.last_out_dts)
        missing = self.splicer.resume(entry, start - entry.dts)
        leg.stretches.crossed(entry.dts - 1)  # they are in what this timeline never had
        started = resume.session_started_at
        started_us = us_of(started) if started else entry.utc_us
        name = (resume.timeline, resume.epoch + 1)
        timeline = self._open(leg, name, started_us, start, config, now, revived)
        if revived is not None and not missing:
            return  # the disk has all that was before
        ahead = missing or start - resume.last_out_dts
        # What is sent again came in earlier: its wall clock is that of the first time.
        last_us = us_of(resume.last_out_utc) if resume.last_out_utc else entry.utc_us
        earlier_us = last_us + ahead * 1_000_000 // TICKS_PER_SECOND
        earlier_us -= leg.stretches.missing_us()
        timeline.append_anchor(start, min(entry.utc_us, earlier_us))
        if ahead > TICKS_PER_SECOND:
            self.gaps += 1
            timeline.append_gap(start, ahead / TICKS_PER_SECOND)

    def _go_on_from(
        self, position: Position, leg: Leg, entry: AccessUnit, config: IngestConfig, now: Moment
    ) -> None:
        """Another hub's timeline goes on here with a leg that has no place in it: what lies
        between is missing, or comes twice, nobody can tell."""
        revived = self._new_splicer(position.timeline)
        start = self.splicer.enter(entry, position.dts + POSITION_TICKS)
        started_us = position.started_us
        if started_us is None:
            started_us = entry.utc_us - (start - FIRST_DTS) * 1_000_000 // TICKS_PER_SECOND
        name = (position.timeline, position.epoch + 1)
        timeline = self._open(leg, name, started_us, start, config, now, revived)
        made_us = leg.content_us(entry)
        waited = now.monotonic - position.known_at.monotonic
        missing = (made_us - position.last_us) / 1_000_000 if position.last_us else waited
        self.gaps += 1
        # Clocks of two nodes: it is not missing for less than we have been waiting.
        timeline.append_gap(start, max(missing, waited))
        timeline.append_anchor(start, made_us)

    def _open(
        self,
        leg: Leg,
        name: tuple[str, int],
        started_us: int,
        start: int,
        config: IngestConfig,
        now: Moment,
        revived: OutputTimeline | None = None,
    ) -> OutputTimeline:
        """A timeline called (id, epoch), and its session. ``revived`` is what the disk has of
        it."""
        self.meter = MediaMeter()
        if revived is None:
            timeline = OutputTimeline(*name, config.uid, config.title, started_us, start)
        else:
            timeline, started_us = revived, revived.started_us
            timeline.goes_on(name[1], config.title)
        self.sessions.current = LiveSession(name[0], started_us, now, leg.hello.protocol)
        self.timeline = timeline
        self._set_formats(timeline, leg, now)
        return timeline

    def _new_splicer(self, timeline_id: str | None = None) -> OutputTimeline | None:
        """Returns the timeline of that name as an earlier process left it, if it did."""
        self._past_clamped += self.splicer.clamped
        self._past_dropped += self.splicer.dropped
        self.splicer = Splicer()
        revived = self.shelf.take(timeline_id) if timeline_id is not None else None
        if revived is not None and revived.spooled is not None:
            self.splicer.restore(revived.spooled.progress.tracks)
        return revived

    def _set_formats(self, timeline: OutputTimeline, leg: Leg, now: Moment) -> None:
        """Says so when the tracks are not what they were."""
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
