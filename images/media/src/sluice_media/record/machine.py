"""The decisions of a recorder (pure).

In: timeline records, configuration and the time. Out: effects (:mod:`.effects`).

A file begins at a random access point. Silence keeps it open. Another timeline, the end of the
session or the maximum length close it. Changed tracks close it at the next random access point
(:mod:`.handover`). A session that begins within ``rearm_seconds`` after the last one opens the
next file. A stop takes effect at the first frame boundary at or after its arrival here, and is
latched. The caller passes the clock with every call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime

from sluice_media.contract import (
    FileEndReason,
    RecorderPhase,
    RecordingEndReason,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.record.bounds import STOP_IDLE_SECONDS, DurationLimit, StopOrder
from sluice_media.record.effects import (
    BeginFile,
    Changed,
    Effect,
    EndFile,
    Finish,
    Rules,
    StopNoted,
    Write,
)
from sluice_media.record.handover import Handover
from sluice_media.record.plan import PlannedFile, Restored, begin_file, grows, same_media, utc_of
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost

HUB_GRACE_SECONDS = 60.0
"""Time beyond the resume window for which a file waits for a hub that is gone."""
HUB_SILENCE_SECONDS = 2.0
"""Time without a hub after which the phase is Interrupted."""
LATE_TRACK_SECONDS = 30
"""Time after its begin within which a file accepts an additional track. The finaliser probes that
far."""
HOLE_SECONDS = 1
"""Missing content after a reconnect beyond which the file continues only at a random access."""
_MAX_HELD_UNITS = 512


class RecorderMachine:
    """The state of one Recording, from its first unit to its end."""

    def __init__(self, rules: Rules, restored: Restored, now: datetime) -> None:
        self.rules = rules
        self.files: list[PlannedFile] = list(restored.files)
        self.finished: str | None = None
        self.transitions = len(self.files)
        self._file: PlannedFile | None = restored.open_file
        self._format: TimelineFormat | None = None
        self._handover: Handover | None = None
        self._taken: dict[str, dict[int, int]] = {}
        for file in self.files:
            self._taken.setdefault(file.timeline, {}).update(file.last_dts)
        self._continuing = self._file is not None
        self._held: deque[AccessUnit] = deque(maxlen=_MAX_HELD_UNITS)
        self._lost_at: datetime | None = now
        self._unit_at = now
        self._session: bool | None = None
        stop_at = restored.stop_requested_at
        self._stop = StopOrder(stop_at) if stop_at is not None else None
        self._limit = DurationLimit()
        self._unknown_since: datetime | None = None
        self._is_full = False
        self._rearm_at: datetime | None = None
        self._silent = self._hub_gone = False
        if self.files and self._file is None:
            self._rearm_at = self.rules.rearms_until(self.files[-1].ended_at or now)

    # ------------------------------------------------------------------ what is seen from outside

    @property
    def phase(self) -> RecorderPhase:
        if self.finished is not None:
            return RecorderPhase.CLOSING
        if self._file is not None:
            return RecorderPhase.INTERRUPTED if self._interrupted else RecorderPhase.RECORDING
        return RecorderPhase.WAITING_FOR_RETURN if self.files else RecorderPhase.WAITING

    @property
    def _interrupted(self) -> bool:
        # The hub's heartbeats decide, because audio may continue while video has stopped.
        return self._silent or self._hub_gone

    @property
    def current(self) -> PlannedFile | None:
        return self._file

    @property
    def duration_seconds(self) -> float:
        return sum(file.duration_seconds for file in self.files)

    @property
    def started_at(self) -> datetime | None:
        return self.files[0].started_at if self.files else None

    # ------------------------------------------------------------------ events

    def stop(self, now: datetime) -> Iterator[Effect]:
        """Stop at the next frame boundary. Only the first call counts: a stop is latched."""
        if self._stop is None and self.finished is None:
            self._stop = StopOrder(now, self._lag_seconds(now))
            yield StopNoted(now)
            yield from self.tick(now)

    def stream_gone(self, now: datetime) -> Iterator[Effect]:
        """Finish, because the stream was deleted."""
        if self.finished is None:
            yield from self._finish(RecordingEndReason.STREAM_ENDED, now)

    def store_is_full(self, now: datetime, *, full: bool) -> Iterator[Effect]:
        """Note whether the store is full, and finish when it is.

        Must be called before the first record, and repeatedly after it."""
        self._is_full = full
        if full and self.finished is None and (self._file is not None or not self.files):
            yield from self._finish_full(now)

    def resumed(self, now: datetime) -> None:
        """Note that reading resumes after a pause of the recorder, so that the silence before now
        does not count."""
        self._unit_at = now

    def lost(self, identity: tuple[str, int], gap: TimelineGap) -> PlannedFile | None:
        """Note a gap where recorded content was lost. Return the file, or None when the gap is
        known."""
        for file in self.files:
            if file.identity == identity and file.lose(gap):
                self.transitions += 1
                return file
        return None

    def tick(self, now: datetime) -> Iterator[Effect]:
        """Process timeouts. Must be called several times a second."""
        if self.finished is not None:
            return
        lost_seconds = 0.0 if self._lost_at is None else (now - self._lost_at).total_seconds()
        self._hub_gone = lost_seconds >= HUB_SILENCE_SECONDS
        wait_seconds = self.rules.resume_window_seconds + HUB_GRACE_SECONDS
        if self._stop is not None and self._stop_is_due(now):
            yield from self._finish(RecordingEndReason.STOPPED, now)
        elif self._limit.is_behind(
            self.files,
            self.rules.max_duration_seconds,
            has_file=self._file is not None,
            silent_seconds=(now - self._unit_at).total_seconds(),
        ):
            yield from self._finish(RecordingEndReason.MAX_DURATION_REACHED, now)
        elif self._file is not None and lost_seconds >= wait_seconds:
            yield from self._end_file(FileEndReason.TIMELINE_LOST, self._file.last_utc or now)
        if self._rearm_is_over(now, lost_seconds) or self._session_is_unknown(now):
            yield from self._finish(RecordingEndReason.STREAM_ENDED, now)

    def records(
        self, records: Sequence[Record | HubLost | HubBack], now: datetime
    ) -> Iterator[Effect]:
        """Process the next records of the timeline, and changes of the connection."""
        at = 0
        while at < len(records):
            if (file := self._steady_file()) is not None:
                taken = self._taken.setdefault(file.timeline, {})
                rules = self.rules
                run = file.take_run(records, at, taken, rules.split_seconds, rules.split_bytes)
                if run:
                    self._lost_at, self._session, self._unit_at = None, True, now
                    at += len(run)
                    yield Write(file, run)
                    continue
            yield from self._record(records[at], now)
            at += 1

    def _record(self, record: Record | HubLost | HubBack, now: datetime) -> Iterator[Effect]:
        if self.finished is not None:
            return
        match record:
            case AccessUnit():
                yield from self._on_unit(record, now)
            case TimelineHeartbeat():
                yield from self._on_heartbeat(record, now)
            case TimelineFormat():
                yield from self._on_format(record, now)
            case TimelineGap():
                yield from self._on_gap(record)
            case TimelineAnchor():
                if self._is_current() and self._file and self._file.note_anchor(record):
                    yield Changed(self._file)
            case TimelineEnd():
                yield from self._on_end(record, now)
            case HubLost(session_unknown=session_unknown):
                self._lost_at, self._session = self._lost_at or now, None
                if session_unknown:
                    self._unknown_since = self._unknown_since or now
            case HubBack():
                # Only what it sends says that a hub lives. It may not reach back to where we are.
                self._continuing, self._unknown_since = self._file is not None, None

    # ------------------------------------------------------------------ records

    def _on_unit(self, unit: AccessUnit, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, True
        form = self._format
        if form is None or self.rules.forbid(form):
            return
        if unit.dts <= self._taken.get(form.timeline, {}).get(unit.track, unit.dts - 1):
            return
        self._unit_at = now
        if self._stop is not None and self._stop.is_behind(unit, now):
            yield from self._finish(RecordingEndReason.STOPPED, now)
            return
        if self._file is not None and unit.is_random_access:
            yield from self._end_before(unit, self._file)
        if self._file is None:
            yield from self._begin_at(unit, form, now)
            return
        if not self._limit.takes(self.files, unit, self.rules.max_duration_seconds):
            if self._limit.is_reached(self._file):
                yield from self._finish(RecordingEndReason.MAX_DURATION_REACHED, now)
            return
        has_hole = self._file.media.is_hole(unit.dts)
        if self._continuing:
            has_hole = self._file.end_dts + HOLE_SECONDS * TICKS_PER_SECOND < unit.dts
            if has_hole and not unit.is_random_access:
                return
            self._continuing = False
        if self._handover is not None and not self._handover.keeps(unit):
            self._held.append(unit)
            return
        if has_hole and self._file.note_hole(unit):
            self.transitions += 1
            yield Changed(self._file)
        yield self._write(self._file, unit)

    def _on_heartbeat(self, heartbeat: TimelineHeartbeat, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, heartbeat.session
        self._silent = not heartbeat.delivering
        if self._file is not None and not heartbeat.session:
            # A restarted hub has no session until it adopts this one: only an `end` record ends a
            # session. But an end that this recorder missed is not sent again.
            self._lost_at = self._unit_at
        yield from self.tick(now)

    def _on_format(self, form: TimelineFormat, now: datetime) -> Iterator[Effect]:
        if not same_media(self._format, form):
            self._held.clear()
        self._lost_at, self._session, self._format, self._silent = None, True, form, False
        file, wanted = self._file, self.rules.session_started_at
        if wanted is not None and form.session_started_at > wanted and self.rules.forbid(form):
            yield from self._finish(RecordingEndReason.STREAM_ENDED, now)  # ours is over
            return
        if file is None or self.rules.forbid(form):
            return
        if form.timeline != file.timeline:
            same_session = form.session_started_at == file.session_started_at
            reason = FileEndReason.TIMELINE_LOST if same_session else FileEndReason.SESSION_ENDED
            yield from self._end_file(reason, file.last_utc or now)
        elif form.tracks == file.tracks:
            yield from self._stay(file)
        elif file.duration_seconds < LATE_TRACK_SECONDS and grows(file.tracks, form.tracks):
            yield from self._stay(file)
            file.tracks = list(form.tracks)
            yield Changed(file, tracks=True)
        else:
            self._handover = self._handover or Handover()
            self._handover.change(file.tracks, form.tracks)

    def _on_gap(self, gap: TimelineGap) -> Iterator[Effect]:
        if self._is_current() and self._file and self._file.note_gap(gap):
            self.transitions += 1
            yield Changed(self._file)

    def _on_end(self, end: TimelineEnd, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, False
        if self._file is not None:
            yield from self._end_file(FileEndReason.SESSION_ENDED, end.finished_at)
        self._format = None
        self._held.clear()
        if self.rules.session_started_at is not None:
            yield from self._finish(RecordingEndReason.STREAM_ENDED, now)
        yield from self.tick(now)

    # ------------------------------------------------------------------ files

    def _begin_at(self, unit: AccessUnit, form: TimelineFormat, now: datetime) -> Iterator[Effect]:
        if not unit.is_random_access:
            # Tracks interleave loosely: a frame of audio that belongs behind the picture which
            # the file will begin with may have come before it.
            self._held.append(unit)
            return
        if self._is_full:
            yield from self._finish_full(now)
            return
        file = begin_file(self.files[-1].index + 1 if self.files else 1, form, unit)
        self.files.append(file)
        self._file, self._rearm_at = file, None
        self.transitions += 1
        held = [u for u in self._held if u.track != unit.track and u.dts >= unit.dts]
        self._held.clear()
        yield BeginFile(file)
        yield self._write(file, unit)
        for earlier in held:
            yield self._write(file, earlier)

    def _write(self, file: PlannedFile, unit: AccessUnit) -> Write:
        file.take(unit)
        self._taken.setdefault(file.timeline, {})[unit.track] = unit.dts
        return Write(file, (unit,))

    def _end_before(self, unit: AccessUnit, file: PlannedFile) -> Iterator[Effect]:
        """End the file if this random access begins the next one."""
        if self._handover is not None:
            reason, at = FileEndReason.PARAMETERS_CHANGED, file.last_utc or utc_of(unit)
        elif file.splits_at(unit, self.rules.split_seconds, self.rules.split_bytes):
            reason, at = FileEndReason.SPLIT, utc_of(unit)
        else:
            return
        file.cut(unit.dts)
        yield from self._end_file(reason, at, unit.dts)

    def _stay(self, file: PlannedFile) -> Iterator[Effect]:
        """Keep the file open, because its former tracks are back before another file began."""
        handover, self._handover = self._handover, None
        if handover is not None and file.note_missing(handover, file.end_dts):
            self.transitions += 1
            yield Changed(file)

    def _end_file(self, reason: str, at: datetime, dts: int | None = None) -> Iterator[Effect]:
        """End the open file. ``dts`` is the start of the next file, when that ends this one."""
        file = self._file
        if file is None:
            return
        if self._handover is not None:
            file.note_missing(self._handover, dts)
            self._handover = None
        file.end_reason, file.ended_at = reason, at
        self._file, self._continuing = None, False
        self.transitions += 1
        self._rearm_at = self.rules.rearms_until(at)
        yield EndFile(file)

    def _finish(self, reason: str, now: datetime) -> Iterator[Effect]:
        file = self._file
        if file is not None:
            ended = (
                FileEndReason.SESSION_ENDED if reason == RecordingEndReason.STREAM_ENDED else reason
            )
            yield from self._end_file(ended, file.last_utc or now)
        is_short = self.duration_seconds < self.rules.minimum_seconds
        if reason == RecordingEndReason.STOPPED and self.files and is_short:
            reason = RecordingEndReason.TOO_SHORT
        self.finished = reason
        yield Finish(reason)

    def _finish_full(self, now: datetime) -> Iterator[Effect]:
        yield from self._finish(
            RecordingEndReason.STORAGE_LIMIT if self.files else RecordingEndReason.NO_SPACE, now
        )

    # ------------------------------------------------------------------ questions

    def _steady_file(self) -> PlannedFile | None:
        """Return the open file while the only decision for its units is a split, else None."""
        form = self._format
        if form is None or self._continuing or self._stop is not None or self.finished is not None:
            return None
        if (
            self._handover is not None
            or self.rules.max_duration_seconds is not None
            or self.rules.forbid(form)
        ):
            return None
        return self._file

    def _is_current(self) -> bool:
        return (
            self._file is not None
            and self._format is not None
            and self._format.timeline == self._file.timeline
        )

    def _lag_seconds(self, now: datetime) -> float:
        """Return by how many seconds the recorded content is behind the clock."""
        reference = self._file.last_utc if self._file is not None else None
        reference = reference or (None if self.files else self.rules.created_at)
        return 0.0 if reference is None else max(0.0, (now - reference).total_seconds())

    def _session_is_unknown(self, now: datetime) -> bool:
        """Return whether nothing was recorded and the hub has not had the session for 10 s, the
        time that a restarted hub needs to restore its sessions."""
        if self._file is not None or self._unknown_since is None or self.finished is not None:
            return False
        return (now - self._unknown_since).total_seconds() >= STOP_IDLE_SECONDS

    def _rearm_is_over(self, now: datetime, lost_seconds: float) -> bool:
        if self._file is not None or self._rearm_at is None or self.finished is not None:
            return False
        # A session that is on is about to open the next file.
        is_known = self._session is False or lost_seconds >= STOP_IDLE_SECONDS
        return now >= self._rearm_at and is_known and not self._session

    def _stop_is_due(self, now: datetime) -> bool:
        assert self._stop is not None
        silent = (now - self._unit_at).total_seconds()
        return self._stop.is_due(
            now,
            has_file=self._file is not None,
            session=self._session,
            silent_seconds=float("inf") if self._interrupted else silent,
        )
