"""The hub of one stream: legs, selector and output. Pure: every call brings the present moment,
nothing here waits, reads a clock or touches a socket.

In: legs asking to be admitted, their formats and units, configuration, ticks.
Out: ``output`` (what readers get), status words, and ``revision``, which grows with every change
that status or a heartbeat shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.contract import IngestConfig, LegAck, LegEnd, LegHello, Rejection
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.hub.clock import Moment, datetime_of
from sluice_media.hub.legs.admission import LegRefusedError, judge
from sluice_media.hub.legs.leg import Leg, LegName, LegState
from sluice_media.hub.legs.selector import Selector, entry_point
from sluice_media.hub.output.adoption import is_map, whole_turns
from sluice_media.hub.output.output import Output
from sluice_media.hub.output.readers import Reader, Readers
from sluice_media.hub.output.replay_need import replay_need
from sluice_media.hub.spool.session import SpooledSession

NO_RANDOM_ACCESS_SECONDS = 10.0
KEEP_SECONDS = 1.0
"""Between two looks at what old content may go."""
REJECTION_SECONDS = 5.0
"""A refusal of the same kind shows anew this often at most: a flood of wrong keys must not
become a flood of status updates."""
DRAINING = "Draining"
_PREFERENCE = tuple(LegName)


class Hub:
    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.readers = Readers()
        self.output = Output()
        self.stopping = False
        """The pod is going away: no new legs."""
        self.revision = 0
        self.last_rejection: Rejection | None = None
        self.no_random_access = False
        self._legs: dict[LegName, Leg] = {}
        self._active: Leg | None = None
        self._selector = Selector()
        self._kept_at = 0.0
        self._words: tuple[object, ...] = ()

    @property
    def delivering(self) -> bool:
        """The output advances."""
        has_session = self.output.timeline is not None
        return has_session and self._active is not None and self._active.delivers

    @property
    def active(self) -> Leg | None:
        """The leg that feeds the output, be it silent at the moment."""
        return self._active

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Connected legs, in order of preference."""
        return tuple(self._legs[name] for name in _PREFERENCE if name in self._legs)

    def leg(self, name: LegName) -> Leg | None:
        return self._legs.get(name)

    def attach(self, reader: Reader, now: Moment) -> None:
        """Takes a reader in. Where it was may be all that is known of a timeline."""
        self.readers.attach(reader)
        if self.output.timeline is None:
            self.output.adoption.asked(reader.request, now)

    def ack(self, leg: Leg) -> LegAck:
        """What the leg's gateway is told now. ``timeline`` is empty without a session."""
        timeline = self.output.timeline
        if timeline is None:
            return LegAck(
                stream_uid=self.config.uid,
                timeline="",
                epoch=0,
                leg=leg.name,
                recorded=self.config.auto_record or bool(self.config.pins),
                out_offset=0,
                last_out_dts=0,
            )
        # A leg that is posted again has its place from the start, unless another leg has taken it.
        feeds = leg is self._active or (self._active is None and self.output.fed_by(leg))
        need = replay_need(timeline, self.config, self.readers)
        shift, begins_dts = leg.shift, leg.stretches.begins_dts if feeds else None
        ack = LegAck(
            stream_uid=self.config.uid,
            timeline=timeline.id,
            epoch=timeline.epoch,
            leg=leg.name,
            feeds=feeds,
            recorded=need.recorded,
            out_offset=self.output.source_offset(leg) if feeds else 0,
            begins_dts=None if begins_dts is None else begins_dts - shift,
            earlier=leg.stretches.earlier(shift) if feeds else (),
            last_out_dts=timeline.last_dts,
            last_out_utc=datetime_of(timeline.last_us),
            session_started_at=datetime_of(timeline.started_us),
        )
        if not feeds:
            acked_dts = None if leg.held_dts is None else leg.held_dts - shift
        elif need.free_dts is None:
            acked_dts = None
        else:
            acked_dts = ack.source_dts(need.free_dts)
            leg.stretches.forget(acked_dts + shift)
        return ack.model_copy(update={"acked_dts": acked_dts})

    def judge(self, name: LegName | None, hello: LegHello, now: Moment) -> LegName:
        """The leg that a publisher could have now. ``name`` is the leg that its key stands for,
        None for a key that stands for none. Raises :class:`LegRefusedError`."""
        running = self._legs.get(name) if name is not None else None
        try:
            return judge(self.config, name, hello, running, now, stopping=self.stopping)
        except LegRefusedError as refused:
            if refused.reason != DRAINING:
                self._rejected(refused.reason, now)
            raise

    def admit(self, name: LegName | None, hello: LegHello, now: Moment) -> Leg:
        """Takes a publisher in, if :meth:`judge` lets it."""
        return self._open(self.judge(name, hello, now), hello, now)

    def open_pulled(self, hello: LegHello, now: Moment) -> Leg:
        """Takes a pulled source in, in a place that is free, else in that of the one which does
        not feed the output."""
        free = [name for name in _PREFERENCE if name not in self._legs]
        spare = [leg.name for leg in self.legs if leg is not self._active]
        return self._open((free + spare)[0], hello, now)

    def _open(self, name: LegName, hello: LegHello, now: Moment) -> Leg:
        running = self._legs.get(name)
        if running is not None:
            self.end_leg(running, LegEnd(reason="TakenOver", message="its publisher is back"), now)
        leg = Leg(name, hello.model_copy(update={"resume": self._place_of(hello)}), now)
        self._legs[name] = leg
        self.output.traced = len(self._legs) > 1
        self._settle()
        return leg

    def _place_of(self, hello: LegHello) -> LegAck | None:
        """The map of a connection. When it is posted again, this hub itself knows best: its gateway
        may not have got the last acknowledgements."""
        feeder, told = self.output.feeder, hello.resume
        if feeder is None or feeder.hello.connection != hello.connection:
            return told
        own = self.ack(feeder)
        if not is_map(own):
            return told
        # The container's times may have begun again.
        return own.moved(whole_turns(own.out_offset - told.out_offset)) if is_map(told) else own

    def take_formats(self, leg: Leg, formats: Sequence[TrackFormat]) -> None:
        """The leg's tracks, all of them, whenever its headers say something new."""
        if leg.connected:
            leg.take_formats(formats)

    def take_unit(self, leg: Leg, unit: AccessUnit, now: Moment) -> None:
        """The leg's next unit, in its own times."""
        if not leg.has_track(unit.track) or not leg.connected:
            return
        output = self.output
        after_silence = leg.state is LegState.SILENT
        steady = leg.steady(unit, now)
        if steady is None:
            output.splicer.dropped += 1
            return
        unit = steady
        if leg is self._active:
            if output.splicer.in_step(unit, after_silence=after_silence):
                if leg.clock.moved and unit.track == leg.reference:
                    output.clock_moved(leg, unit)
                if leg.arrived(unit, now):
                    output.emit(leg, unit, now)
                if after_silence:
                    self._settle()
                return
            if unit.track != leg.reference:
                output.splicer.dropped += 1
                return
            # It left media out, or began anew after a silence: it has to be entered anew.
            leg.restart()
            self._selector.lost(leg, now.monotonic)
            self._active = None
        leg.hold(unit, now)
        self._choose(now)
        self._settle()

    def leave_out(self, leg: Leg, codec: str) -> None:
        """The leg's sound has a codec that is not carried; empty: no longer."""
        leg.left_out = codec
        self._settle()

    def reject_media(self, leg: Leg, reason: str, message: str, now: Moment) -> None:
        """The leg sends what cannot be used: ``UnsupportedCodec`` or ``BadMedia``."""
        self._rejected(reason, now)
        self.end_leg(leg, LegEnd(reason=reason, message=message), now)

    def end_leg(self, leg: Leg, end: LegEnd | None, now: Moment) -> None:
        """The leg is over: by itself (``end`` is None) or because the hub says so."""
        leg.finish(end)
        if self._legs.get(leg.name) is leg:
            del self._legs[leg.name]
            self.output.traced = len(self._legs) > 1
        if self._active is leg:
            if end is None:
                self._selector.lost(leg, now.monotonic)
            self._active = None
        if end is None or end.reason != DRAINING:
            # This hub's last moment is no time for a switch: readers would be ahead of the map
            # that the next hub gets.
            self._choose(now)
        self._settle()

    def tick(self, now: Moment) -> None:
        """Lets time pass; called several times a second."""
        self.output.adoption.tick(now)
        stall_seconds = self.config.stall_milliseconds / 1_000
        for leg in self.legs:
            leg.tick(now, stall_seconds)
        self._choose(now)
        session = self.output.sessions.current
        if (
            session is not None
            and not self.delivering
            and session.window_passed(now, self.config.resume_window_seconds)
        ):
            self._finish("WindowPassed", now)
        self.no_random_access = any(_lacks_random_access(leg, now) for leg in self.legs)
        if now.monotonic - self._kept_at >= KEEP_SECONDS:
            self._kept_at = now.monotonic
            self.readers.tick(now)
            self._keep(now)
        self._settle()

    def configure(self, config: IngestConfig, now: Moment) -> None:
        """Takes a new configuration; ``active: false`` ends legs and session at once."""
        self.config = config
        if not config.active:
            # The session first: no leg is to take over from one that is about to end as well.
            self._finish("Disabled", now)
            for leg in self.legs:
                self.end_leg(leg, LegEnd(reason="Disabled", message="the stream is off"), now)
        backup = self._legs.get(LegName.BACKUP)
        if backup is not None and not config.backup and not backup.is_pull:
            self.end_leg(backup, LegEnd(reason="Disabled", message="there is no backup leg"), now)
        self._keep(now)
        self._settle()

    def restore(self, sessions: list[SpooledSession], now: Moment) -> None:
        """Takes in what an earlier process of this pod left on disk."""
        self.output.restore(sessions, self.config, now)
        self._keep(now)
        self._settle()

    def _keep(self, now: Moment) -> None:
        self.readers.expected = frozenset(pin.recording_uid for pin in self.config.pins)
        self.output.keep(self.config, self.readers, now)

    def _choose(self, now: Moment) -> None:
        """Switches when another leg should feed the output, and can be entered."""
        active = self._active
        chosen = self._select(now)
        if chosen is None or chosen is active:
            return
        failed = active is None or not self._selector.holds(active, self.config, now.monotonic)
        switched = self._join(chosen, now) or self._enter(chosen, now, repeat=failed)
        if switched and failed and active is not None:
            self._selector.lost(active, now.monotonic)

    def _select(self, now: Moment) -> Leg | None:
        legs, config, adoption = self.legs, self.config, self.output.adoption
        if self.output.timeline is not None:
            return self._selector.select(legs, self._active, config, now.monotonic)
        mapped = adoption.mapped(legs, config, now)
        if mapped is not None and mapped.delivers:
            return mapped
        first = self._selector.starts_with(legs, now.monotonic)
        return None if first is None or adoption.waits(first, legs, config, now) else first

    def _join(self, chosen: Leg, now: Moment) -> bool:
        """Goes on at the very next unit, if ``chosen`` carries what went out so far."""
        offset = self.output.alignment(chosen)
        if offset is None:
            return False
        self._active = chosen
        self.output.join(chosen, offset)
        self._emit_held(chosen, chosen.entered(), now)
        return True

    def _enter(self, chosen: Leg, now: Moment, *, repeat: bool) -> bool:
        """Goes on at a random access point of ``chosen``, if there is a right one."""
        output = self.output
        seen_dts = None
        if output.timeline is None:
            seen_dts = output.adoption.over_until(chosen.resume, self.config, now)
        entry = entry_point(chosen, output.stopped_us, seen_dts, repeat=repeat)
        if entry is None:
            return False
        units = chosen.look_back.from_(entry)
        chosen.entered()
        self._active = chosen
        output.enter(chosen, entry, self.config, now)
        self._emit_held(chosen, units, now)
        return True

    def _emit_held(self, leg: Leg, units: Sequence[AccessUnit], now: Moment) -> None:
        splicer = self.output.splicer
        for unit in units:
            if splicer.in_step(unit):
                self.output.emit(leg, unit, now)
            else:
                splicer.dropped += 1

    def _finish(self, reason: str, now: Moment) -> None:
        if self.output.finish(reason, now):
            self._active = None
            for leg in self.legs:
                leg.restart()

    def _rejected(self, reason: str, now: Moment) -> None:
        at = datetime_of(now.utc_us)
        last = self.last_rejection
        if (
            last is not None
            and last.reason == reason
            and (at - last.at).total_seconds() < REJECTION_SECONDS
        ):
            return
        self.last_rejection = Rejection(reason=reason, at=at)
        self._settle()

    def _settle(self) -> None:
        """Counts a revision when a word of status or heartbeat has changed."""
        timeline = self.output.timeline
        words = (
            timeline.id if timeline else None,
            timeline.formats if timeline else None,
            self.delivering,
            tuple((leg.hello.connection, leg.state) for leg in self.legs),
            self._active.hello.connection if self._active else None,
            self._active.left_out if self._active else "",
            self.output.failovers.count,
            self.output.format_changes.count,
            self.last_rejection,
            self.no_random_access,
            len(self.output.sessions.past),
        )
        if words != self._words:
            self._words = words
            self.revision += 1


def _lacks_random_access(leg: Leg, now: Moment) -> bool:
    """Pictures come, but for long none that decoding can start at."""
    return (
        leg.reference is not None
        and leg.reference == leg.video_track
        and now.monotonic - leg.last_picture_at < NO_RANDOM_ACCESS_SECONDS
        and now.monotonic - leg.last_random_access_at > NO_RANDOM_ACCESS_SECONDS
    )
