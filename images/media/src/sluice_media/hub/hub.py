"""The hub of one stream: joins legs, selector and output.

Pure: it does no I/O and reads no clock; the caller passes the present moment.

In: legs that ask for admission, their formats and units, configuration, ticks. Out: ``output`` for
readers, the values of the status, and ``revision``, which grows with every change that the status
or a heartbeat shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.contract import (
    IngestConfig,
    LegAck,
    LegEnd,
    LegHello,
    LegReason,
    Rejection,
    SessionEndReason,
)
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.hub.clock import Moment, datetime_of
from sluice_media.hub.legs.admission import LegRefusedError, judge
from sluice_media.hub.legs.leg import Leg, LegName, LegState
from sluice_media.hub.legs.selector import Selector, entry_point
from sluice_media.hub.output.adoption import is_map
from sluice_media.hub.output.output import Output
from sluice_media.hub.output.readers import Reader, Readers
from sluice_media.hub.output.replay_need import replay_need
from sluice_media.hub.spool.session import SpooledSession

NO_RANDOM_ACCESS_SECONDS = 10.0
"""Time without a random access point, while video arrives, after which the status reports it."""
KEEP_SECONDS = 1.0
"""Interval at which old content is released."""
REJECTION_SECONDS = 5.0
"""Minimum interval between two status updates for refusals with the same reason: a flood of wrong
keys must not become a flood of status updates."""
_PREFERENCE = tuple(LegName)


class Hub:
    """The legs of one stream, the choice of the active one, and the output it feeds."""

    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.readers = Readers()
        self.output = Output()
        self.stopping = False
        """The pod is terminating: new legs are refused."""
        self.revision = 0
        self.last_rejection: Rejection | None = None
        self.no_random_access = False
        self._legs: dict[LegName, Leg] = {}
        self._active: Leg | None = None
        self._selector = Selector()
        self._kept_at = 0.0
        self._last_state: tuple[object, ...] = ()

    @property
    def delivering(self) -> bool:
        """Return whether the output advances."""
        has_session = self.output.timeline is not None
        return has_session and self._active is not None and self._active.delivers

    @property
    def active(self) -> Leg | None:
        """The leg that feeds the output; it may be silent at the moment."""
        return self._active

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Connected legs, in order of preference."""
        return tuple(self._legs[name] for name in _PREFERENCE if name in self._legs)

    def leg(self, name: LegName) -> Leg | None:
        return self._legs.get(name)

    def attach(self, reader: Reader, now: Moment) -> None:
        """Add a reader.

        The position in its request may be the only information about an earlier hub's timeline."""
        self.readers.attach(reader)
        if self.output.timeline is None:
            self.output.adoption.note_request(reader.request, now)

    def ack(self, leg: Leg) -> LegAck:
        """Return the present acknowledgement for the leg's gateway. Its ``timeline`` is empty
        without a session."""
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
        # A reconnected leg keeps its place in the output until another leg takes it.
        is_on_air = leg is self._active or (self._active is None and self.output.fed_by(leg))
        need = replay_need(timeline, self.config, self.readers)
        shift, begins_dts = leg.shift, leg.stretches.begins_dts if is_on_air else None
        ack = LegAck(
            stream_uid=self.config.uid,
            timeline=timeline.id,
            epoch=timeline.epoch,
            leg=leg.name,
            is_on_air=is_on_air,
            recorded=need.recorded,
            out_offset=self.output.source_offset(leg) if is_on_air else 0,
            begins_dts=None if begins_dts is None else begins_dts - shift,
            earlier=leg.stretches.earlier(shift) if is_on_air else (),
            last_out_dts=timeline.last_dts,
            last_out_utc=datetime_of(timeline.last_us),
            session_started_at=datetime_of(timeline.started_us),
            grid=timeline.leg_grid(need.grid_dts),
        )
        if not is_on_air:
            acked_dts = None if leg.held_dts is None else leg.held_dts - shift
        elif need.free_dts is None:
            acked_dts = None
        else:
            acked_dts = ack.source_dts(need.free_dts)
            leg.stretches.forget(acked_dts + shift)
        return ack.model_copy(update={"acked_dts": acked_dts})

    def judge(self, name: LegName | None, hello: LegHello, now: Moment) -> LegName:
        """Return the leg that a publisher may take now, or raise :class:`LegRefusedError`.

        ``name`` is the leg of the publisher's key; None for a wrong key."""
        running = self._legs.get(name) if name is not None else None
        try:
            return judge(self.config, name, hello, running, now, stopping=self.stopping)
        except LegRefusedError as refused:
            if refused.reason != LegReason.DRAINING:
                self._rejected(refused.reason, now)
            raise

    def admit(self, name: LegName | None, hello: LegHello, now: Moment) -> Leg:
        """Admit a publisher and return its leg. Raises as :meth:`judge` does."""
        return self._open(self.judge(name, hello, now), hello, now)

    def open_pulled(self, hello: LegHello, now: Moment) -> Leg:
        """Add a pulled source, in a free place or in that of the leg that is not active."""
        free = [name for name in _PREFERENCE if name not in self._legs]
        spare = [leg.name for leg in self.legs if leg is not self._active]
        return self._open((free + spare)[0], hello, now)

    def _open(self, name: LegName, hello: LegHello, now: Moment) -> Leg:
        running = self._legs.get(name)
        if running is not None:
            end = LegEnd(reason=LegReason.TAKEN_OVER, message="the publisher has connected again")
            self.end_leg(running, end, now)
        leg = Leg(name, hello.model_copy(update={"resume": self._place_of(hello)}), now)
        self._legs[name] = leg
        self.output.traced = len(self._legs) > 1
        self._count_revision()
        return leg

    def _place_of(self, hello: LegHello) -> LegAck | None:
        """Return the map of a connection.

        For a connection that fed this hub before, the hub's own map is newer than the gateway's,
        which may lack the last acknowledgements."""
        feeder, given = self.output.feeder, hello.resume
        if feeder is None or feeder.hello.connection != hello.connection:
            return given
        own = self.ack(feeder)
        return own if is_map(own) else given

    def take_formats(self, leg: Leg, formats: Sequence[TrackFormat]) -> None:
        """Set the formats of all tracks of the leg; called when its headers change."""
        if leg.connected:
            leg.take_formats(formats)

    def take_unit(self, leg: Leg, unit: AccessUnit, now: Moment) -> None:
        """Process the leg's next unit, which has source times."""
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
                    self._count_revision()
                return
            if unit.track != leg.reference:
                output.splicer.dropped += 1
                return
            # Media is missing, or the clock changed after a silence: splice the leg in again.
            leg.restart()
            self._selector.note_loss(leg, now.monotonic)
            self._active = None
        leg.hold(unit, now)
        self._choose(now)
        self._count_revision()

    def leave_out(self, leg: Leg, codec: str) -> None:
        """Note the codec of the leg's audio when it is not carried; empty when it is."""
        leg.left_out = codec
        self._count_revision()

    def reject_media(self, leg: Leg, reason: str, message: str, now: Moment) -> None:
        """End a leg whose media cannot be used, with ``UnsupportedCodec`` or ``BadMedia``."""
        self._rejected(reason, now)
        self.end_leg(leg, LegEnd(reason=reason, message=message), now)

    def end_leg(self, leg: Leg, end: LegEnd | None, now: Moment) -> None:
        """End a leg: its connection closed (``end`` is None), or the hub ends it."""
        leg.finish(end)
        if self._legs.get(leg.name) is leg:
            del self._legs[leg.name]
            self.output.traced = len(self._legs) > 1
        if self._active is leg:
            if end is None:
                self._selector.note_loss(leg, now.monotonic)
            self._active = None
        if end is None or end.reason != LegReason.DRAINING:
            # No switch while the hub drains: readers would be ahead of the map that the next hub
            # gets.
            self._choose(now)
        self._count_revision()

    def tick(self, now: Moment) -> None:
        """Process timeouts. Called several times a second."""
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
            self._finish(SessionEndReason.WINDOW_PASSED, now)
        self.no_random_access = any(_lacks_random_access(leg, now) for leg in self.legs)
        if now.monotonic - self._kept_at >= KEEP_SECONDS:
            self._kept_at = now.monotonic
            self.readers.tick(now)
            self._keep(now)
        self._count_revision()

    def configure(self, config: IngestConfig, now: Moment) -> None:
        """Apply a new configuration; ``active: false`` ends legs and session at once."""
        self.config = config
        if not config.active:
            # End the session first: otherwise each leg that ends would switch to the next one.
            self._finish(SessionEndReason.DISABLED, now)
            for leg in self.legs:
                end = LegEnd(
                    reason=LegReason.DISABLED,
                    message="the stream is switched off (spec.active: false)",
                )
                self.end_leg(leg, end, now)
        backup = self._legs.get(LegName.BACKUP)
        if backup is not None and not config.backup and not backup.is_pull:
            end = LegEnd(reason=LegReason.DISABLED, message="the backup leg is switched off")
            self.end_leg(backup, end, now)
        self._keep(now)
        self._count_revision()

    def restore(self, sessions: list[SpooledSession], now: Moment) -> None:
        """Restore the sessions that an earlier process of this pod left on disk."""
        self.output.restore(sessions, self.config, now)
        self._keep(now)
        self._count_revision()

    def _keep(self, now: Moment) -> None:
        self.readers.expected = frozenset(pin.recording_uid for pin in self.config.pins)
        self.output.keep(self.config, self.readers, now)

    def _choose(self, now: Moment) -> None:
        """Switch to another leg when it should feed the output and can be entered."""
        active = self._active
        chosen = self._select(now)
        if chosen is None or chosen is active:
            return
        failed = active is None or not self._selector.stays(active, self.config, now.monotonic)
        switched = self._join(chosen, now) or self._enter(chosen, now, repeat=failed)
        if switched and failed and active is not None:
            self._selector.note_loss(active, now.monotonic)

    def _select(self, now: Moment) -> Leg | None:
        legs, config, adoption = self.legs, self.config, self.output.adoption
        if self.output.timeline is not None:
            return self._selector.select(legs, self._active, config, now.monotonic)
        mapped = adoption.newest_map(legs, config, now)
        if mapped is not None and mapped.delivers:
            return mapped
        first = self._selector.select_first(legs, now.monotonic)
        return None if first is None or adoption.must_wait(first, legs, config, now) else first

    def _join(self, chosen: Leg, now: Moment) -> bool:
        """Switch at the exact next unit, if ``chosen`` carries the bitstream that went out.

        Return whether it does."""
        offset = self.output.alignment(chosen)
        if offset is None:
            return False
        self._active = chosen
        self.output.join(chosen, offset)
        self._emit_held(chosen, chosen.release_held(), now)
        return True

    def _enter(self, chosen: Leg, now: Moment, *, repeat: bool) -> bool:
        """Switch at a random access point of ``chosen``; return False when none fits yet."""
        output = self.output
        seen_dts = None
        if output.timeline is None:
            seen_dts = output.adoption.ended_session_dts(chosen.resume, self.config, now)
        entry = entry_point(chosen, output.stopped_us, seen_dts, repeat=repeat)
        if entry is None:
            return False
        units = chosen.look_back.from_(entry)
        chosen.release_held()
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

    def _finish(self, reason: SessionEndReason, now: Moment) -> None:
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
        self._count_revision()

    def _count_revision(self) -> None:
        """Increase ``revision`` when a value of the status or of a heartbeat has changed."""
        timeline = self.output.timeline
        state = (
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
        if state != self._last_state:
            self._last_state = state
            self.revision += 1


def _lacks_random_access(leg: Leg, now: Moment) -> bool:
    """Return whether video arrives, but no random access point has come for 10 s."""
    return (
        leg.reference is not None
        and leg.reference == leg.video_track
        and now.monotonic - leg.last_picture_at < NO_RANDOM_ACCESS_SECONDS
        and now.monotonic - leg.last_random_access_at > NO_RANDOM_ACCESS_SECONDS
    )
