"""The output: the one place where sessions begin and end and units go out.

In: legs to enter and their units. Out: the present :class:`OutputTimeline`, and an archive of
those that ended a moment ago, for readers that have not seen their end yet.
"""

from __future__ import annotations

import secrets

from sluice_media.contract import IngestConfig, LegAck, RingPin
from sluice_media.hub.clock import Moment, us_of
from sluice_media.hub.leg import Leg
from sluice_media.hub.media_info import MediaMeter, describe
from sluice_media.hub.readers import Readers
from sluice_media.hub.ring import MAX_BYTES
from sluice_media.hub.session import LiveSession, SessionLog
from sluice_media.hub.splicer import Splicer
from sluice_media.hub.timeline import OutputTimeline, Request
from sluice_media.units import TICKS_PER_SECOND, AccessUnit

__all__ = ["Output"]

ADOPTION_SECONDS = 60.0
"""Readers hold out for the resume window and this much more without a hub; so does a map."""
ARCHIVE_SECONDS = 60.0
MEMORY_BYTES = MAX_BYTES
"""Of the timeline that is on and the ended ones together."""
LATE_US = 1_000_000
"""A recorder that has an ended session asks for what came after its last unit, give or take."""
PIN_SECONDS = 900.0
"""How long a Recording's pin keeps what nobody has come for."""
SHORTEST_GAP_SECONDS = 0.1
"""A source that only restarted its clock leaves no gap, whatever one frame takes to come."""

_WRAP = TICKS_PER_SECOND // 1_000 << 32
"""FLV's 32 bits of milliseconds, in ticks."""


class Output:
    """The splicer, the session and its timeline, which live and die together."""

    def __init__(self) -> None:
        self.timeline: OutputTimeline | None = None
        self.sessions = SessionLog()
        self.meter = MediaMeter()
        self.splicer = Splicer()
        self.gaps = 0
        self.units = 0
        self._past_clamped = 0
        self._past_dropped = 0
        self._past_pins_broken = 0
        self._archive: list[tuple[OutputTimeline, float]] = []
        self._fed_by: str | None = None
        """Connection whose offset the splicer has."""

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
        """Wall clock of the last unit; None before the first of a session."""
        return self.timeline.last_us if self.timeline else None

    def find(self, request: Request) -> OutputTimeline | None:
        """The timeline that a reader gets when it asks like this; None: it has to wait."""
        for ended, _ in self._archive:
            if request.timeline == ended.id:
                return ended
            if (
                request.timeline is None
                and request.since_us is not None
                and request.since_us < ended.last_us - LATE_US
            ):
                # It came too late for a session that it asked for.
                return ended
        current = self.timeline
        return current if current is not None and current.ring.newest is not None else None

    def seen_dts(self, leg: Leg, config: IngestConfig, now: Moment) -> int | None:
        """Source DTS up to which ``leg`` sends again what a session that is over has put out.

        A gateway whose hub was out of reach for longer than the resume window still has up to a
        minute of that session; played again, it would be old news, and late for good."""
        resume = leg.resume
        if self.timeline is not None or resume is None or resume.stream_uid != config.uid:
            return None
        if not resume.timeline or self._may_adopt(resume, config, now):
            return None
        return resume.last_out_dts - resume.out_offset

    def enter(self, leg: Leg, entry: AccessUnit, config: IngestConfig, now: Moment) -> None:
        """``leg`` feeds the output from now on, beginning with ``entry``, which is emitted next."""
        resume, leg.resume = leg.resume, None
        again = self._fed_by == leg.hello.connection
        self._fed_by = leg.hello.connection
        if self.timeline is not None:
            known = again and resume is not None and resume.timeline == self.timeline.id
            self._continue(self.timeline, leg, entry, known=known)
        elif resume is not None and self._may_adopt(resume, config, now):
            self._adopt(leg, resume, entry, config, now)
        else:
            self._new_splicer()
            start = self.splicer.enter(entry)
            name = secrets.token_hex(8)
            timeline = self._open(leg, (name, 1), entry.utc_us, start, config, now)
            timeline.append_anchor(start, entry.utc_us)

    def emit(self, leg: Leg, unit: AccessUnit, now: Moment) -> None:
        """One unit of the active leg, in its source's times."""
        timeline, session = self.timeline, self.sessions.current
        if timeline is None or session is None:
            return
        if leg.formats is not timeline.formats:
            self._set_formats(timeline, leg)
        self.splicer.reference = leg.reference
        out = self.splicer.map(unit)
        if out is None:
            return
        timeline.append_unit(out)
        self.units += 1
        self.meter.add(out)
        session.last_media = now

    def finish(self, reason: str, now: Moment) -> bool:
        """Ends the session; False when none is on."""
        timeline = self.timeline
        if timeline is None:
            return False
        timeline.append_end(reason, self.sessions.finish(reason))
        self._archive.append((timeline, now.monotonic))
        self._past_pins_broken += timeline.ring.pins_broken
        self.timeline = None
        self._fed_by = None
        return True

    def keep(self, pins: list[RingPin], readers: Readers, now: Moment) -> None:
        """Lets old content go, but for what Recordings asked for and do not hold yet."""
        kept: list[tuple[OutputTimeline, float]] = []
        held = self.timeline.ring.bytes_held if self.timeline else 0
        for timeline, ended_at in reversed(self._archive):
            wanted = any(
                us_of(pin.since) <= timeline.last_us
                and (readers.acked_by(pin.recording_uid, timeline.id) or 0) < timeline.last_dts
                for pin in pins
            )
            seconds = PIN_SECONDS if wanted else ARCHIVE_SECONDS
            held += timeline.ring.bytes_held
            if now.monotonic - ended_at < seconds and held <= MEMORY_BYTES:
                kept.append((timeline, ended_at))
        self._archive = kept[::-1]
        if self.timeline is not None:
            self._pin(self.timeline, pins, readers, now)

    def _pin(
        self, timeline: OutputTimeline, pins: list[RingPin], readers: Readers, now: Moment
    ) -> None:
        oldest_us = now.utc_us - int(PIN_SECONDS * 1_000_000)
        floors = [
            timeline.seq_for_pin(
                max(us_of(pin.since), oldest_us), readers.acked_by(pin.recording_uid, timeline.id)
            )
            for pin in pins
        ]
        timeline.ring.pin(min((floor for floor in floors if floor is not None), default=None))

    def _continue(
        self, timeline: OutputTimeline, leg: Leg, entry: AccessUnit, *, known: bool
    ) -> None:
        """The session goes on: with the same connection's clock if it is known, else spliced."""
        if known:
            start = _unwrap(entry.dts + self.splicer.offset, timeline.last_dts)
            missing = self.splicer.resume(entry, start - entry.dts)
        else:
            start = self.splicer.enter(entry)
            missing = 1
        self._set_formats(timeline, leg)
        if not missing:
            return
        wall_seconds = (entry.utc_us - timeline.last_us) / 1_000_000
        if wall_seconds >= SHORTEST_GAP_SECONDS:
            self.gaps += 1
            timeline.append_gap(start, wall_seconds)
        timeline.append_anchor(start, entry.utc_us)

    def _adopt(
        self, leg: Leg, resume: LegAck, entry: AccessUnit, config: IngestConfig, now: Moment
    ) -> None:
        """Another hub's timeline and session go on here, in the same times."""
        self._new_splicer()
        start = _unwrap(entry.dts + resume.out_offset, resume.last_out_dts)
        self.splicer.resume(entry, start - entry.dts)
        started = resume.session_started_at
        started_us = us_of(started) if started else entry.utc_us
        name = (resume.timeline, resume.epoch + 1)
        timeline = self._open(leg, name, started_us, start, config, now)
        ahead = start - resume.last_out_dts
        # What is sent again came in earlier: its wall clock is that of the first time.
        last_us = us_of(resume.last_out_utc) if resume.last_out_utc else entry.utc_us
        earlier_us = last_us + ahead * 1_000_000 // TICKS_PER_SECOND
        timeline.append_anchor(start, min(entry.utc_us, earlier_us))
        if ahead > TICKS_PER_SECOND:
            self.gaps += 1
            timeline.append_gap(start, ahead / TICKS_PER_SECOND)

    def _may_adopt(self, resume: LegAck, config: IngestConfig, now: Moment) -> bool:
        """Whether a map is our stream's, and of a session that is not over."""
        if resume.stream_uid != config.uid or not resume.timeline or resume.last_out_utc is None:
            return False
        if self.sessions.has_ended(resume.timeline):
            return False
        age_us = now.utc_us - us_of(resume.last_out_utc)
        return age_us <= (config.resume_window_seconds + ADOPTION_SECONDS) * 1_000_000

    def _open(
        self,
        leg: Leg,
        name: tuple[str, int],
        started_us: int,
        start: int,
        config: IngestConfig,
        now: Moment,
    ) -> OutputTimeline:
        """A timeline called (id, epoch), and its session."""
        self.meter = MediaMeter()
        self.sessions.current = LiveSession(name[0], started_us, now, leg.hello.protocol)
        timeline = OutputTimeline(*name, config.uid, config.title, started_us, start)
        self.timeline = timeline
        self._set_formats(timeline, leg)
        return timeline

    def _new_splicer(self) -> None:
        self._past_clamped += self.splicer.clamped
        self._past_dropped += self.splicer.dropped
        self.splicer = Splicer()

    def _set_formats(self, timeline: OutputTimeline, leg: Leg) -> None:
        """Says so when the tracks are not what they were."""
        if leg.formats == timeline.formats:
            timeline.formats = leg.formats
            return
        timeline.append_formats(leg.formats)
        self.splicer.take_formats(leg.formats)
        self.meter.take_formats(leg.formats)
        if self.sessions.current is not None:
            self.sessions.current.media = describe(leg.formats)


def _unwrap(dts: int, near: int) -> int:
    """An output DTS computed from a source clock that was unwrapped anew: whole turns of that
    clock's 32 bits of milliseconds may be missing."""
    return dts + round((near - dts) / _WRAP) * _WRAP
