"""Decides what a recorder does: timeline records, configuration and time in, effects out (pure).

Rules: a file begins at a random access point; silence keeps it open; a format change, another
timeline and the end of a session close it; a session that begins within ``rearm_seconds`` after
the last one opens the next file. A stop takes effect at the first frame boundary at or after the
moment it arrived here, and is latched. The clock is passed in with every call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice_media.contract import (
    RecorderPhase,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.record.plan import PlannedFile, Restored, grows, utc_of
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost
from sluice_media.units import TICKS_PER_SECOND, AccessUnit

__all__ = [
    "BeginFile",
    "Changed",
    "Effect",
    "EndFile",
    "Finish",
    "RecorderMachine",
    "Rules",
    "StopNoted",
    "Write",
]

HUB_GRACE_SECONDS = 60.0
"""Beyond the resume window: how long a file waits for a hub that is gone."""
HUB_SILENCE_SECONDS = 2.0
"""A hub gone for so long delivers nothing: Interrupted."""
STOP_SILENCE_SECONDS = 1.0
"""After a stop: no unit for so long means that the boundary is behind us."""
STOP_MAX_SECONDS = 90.0
"""After a stop: longer than any catching up out of a ring of 60 s."""
STOP_IDLE_SECONDS = 10.0
"""After a stop before anything was recorded: how long a hub may take to answer."""
LATE_TRACK_SECONDS = 30
"""A track that appears so soon belongs to the same file; the finaliser probes that far."""
HOLE_SECONDS = 1
_MAX_HELD_UNITS = 512


@dataclass(slots=True, frozen=True)
class Rules:
    created_at: datetime
    stream_uid: str = ""
    minimum_seconds: float = 10
    rearm_seconds: float = 3600
    resume_window_seconds: float = 10


@dataclass(slots=True, frozen=True)
class BeginFile:
    file: PlannedFile


@dataclass(slots=True, frozen=True)
class Write:
    file: PlannedFile
    unit: AccessUnit


@dataclass(slots=True, frozen=True)
class Changed:
    """Gaps, anchors or (``tracks``) the tracks of a running file are other than before."""

    file: PlannedFile
    tracks: bool = False


@dataclass(slots=True, frozen=True)
class EndFile:
    file: PlannedFile


@dataclass(slots=True, frozen=True)
class StopNoted:
    at: datetime


@dataclass(slots=True, frozen=True)
class Finish:
    reason: str
    """Stopped, StreamEnded or TooShort."""


Effect = BeginFile | Write | Changed | EndFile | StopNoted | Finish


class RecorderMachine:
    """One Recording, from its first unit to its last word."""

    def __init__(self, rules: Rules, restored: Restored, now: datetime) -> None:
        self.rules = rules
        self.files: list[PlannedFile] = list(restored.files)
        self.finished: str | None = None
        self.transitions = len(self.files)
        self._file: PlannedFile | None = restored.open_file
        self._format: TimelineFormat | None = None
        self._taken: dict[str, dict[int, int]] = {}
        for file in self.files:
            self._taken.setdefault(file.timeline, {}).update(file.last_dts)
        self._continuing = self._file is not None
        self._held: deque[AccessUnit] = deque(maxlen=_MAX_HELD_UNITS)
        self._lost_at: datetime | None = now
        self._unit_at = now
        self._session: bool | None = None
        self._stop_at = restored.stop_requested_at
        self._stop_lag_seconds = 0.0
        self._rearm_at: datetime | None = None
        self._silent = self._hub_gone = False
        if self.files and self._file is None:
            self._rearm_at = self._rearm_from(self.files[-1].ended_at or now)

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
        # By the hub's word: sound may go on while the picture has stopped.
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

    @property
    def stop_requested_at(self) -> datetime | None:
        return self._stop_at

    # ------------------------------------------------------------------ events

    def stop(self, now: datetime) -> Iterator[Effect]:
        """The user's stop has arrived. Heard once: it is latched."""
        if self._stop_at is None and self.finished is None:
            self._stop_at = now
            self._stop_lag_seconds = self._lag_seconds(now)
            yield StopNoted(now)
            yield from self.tick(now)

    def stream_gone(self, now: datetime) -> Iterator[Effect]:
        """The stream was deleted: what there is, is all."""
        if self.finished is None:
            yield from self._finish("StreamEnded", now)

    def tick(self, now: datetime) -> Iterator[Effect]:
        """To be called several times a second."""
        if self.finished is not None:
            return
        lost_seconds = 0.0 if self._lost_at is None else (now - self._lost_at).total_seconds()
        self._hub_gone = lost_seconds >= HUB_SILENCE_SECONDS
        wait_seconds = self.rules.resume_window_seconds + HUB_GRACE_SECONDS
        if self._stop_at is not None and self._stop_is_due(now):
            yield from self._finish("Stopped", now)
        elif self._file is not None and lost_seconds >= wait_seconds:
            yield from self._end_file("TimelineLost", self._file.last_utc or now)
        if self._rearm_is_over(now, lost_seconds):
            yield from self._finish("StreamEnded", now)

    def record(self, record: Record | HubLost | HubBack, now: datetime) -> Iterator[Effect]:
        """The next record of the timeline, or news of the connection."""
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
            case HubLost():
                self._lost_at, self._session = self._lost_at or now, None
            case HubBack():
                pass  # only what it sends says that a hub lives

    # ------------------------------------------------------------------ records

    def _on_unit(self, unit: AccessUnit, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, True
        form = self._format
        if form is None or self._is_foreign(form):
            return
        if unit.dts <= self._taken.get(form.timeline, {}).get(unit.track, unit.dts - 1):
            return
        self._unit_at = now
        if self._is_beyond_stop(unit, now):
            yield from self._finish("Stopped", now)
            return
        if self._file is None:
            yield from self._begin_at(unit, form)
            return
        if self._continuing:
            if not self._continues(unit):
                return
            if self._file.end_dts + HOLE_SECONDS * TICKS_PER_SECOND < unit.dts:
                yield from self._note_hole(self._file, unit)
            self._continuing = False
        yield self._write(self._file, unit)

    def _on_heartbeat(self, beat: TimelineHeartbeat, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, beat.session
        self._silent = not beat.delivering
        if self._file is not None and not beat.session:
            # A hub that restarted knows of no session until it has adopted ours: only an `end`
            # ends one. But a session that ended while nobody listened will not be told again.
            self._lost_at = self._unit_at
        yield from self.tick(now)

    def _on_format(self, form: TimelineFormat, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session, self._format, self._silent = None, True, form, False
        file = self._file
        if file is None or self._is_foreign(form):
            return
        if form.timeline != file.timeline:
            same_session = form.session_started_at == file.session_started_at
            reason = "TimelineLost" if same_session else "SessionEnded"
            yield from self._end_file(reason, file.last_utc or now)
        elif form.tracks == file.tracks:
            return
        elif grows(file.tracks, form.tracks) and self._is_young(file):
            file.tracks = list(form.tracks)
            yield Changed(file, tracks=True)
        else:
            yield from self._end_file("ParametersChanged", file.last_utc or now)

    def _on_gap(self, gap: TimelineGap) -> Iterator[Effect]:
        if self._is_current() and self._file and self._file.note_gap(gap):
            self.transitions += 1
            yield Changed(self._file)

    def _on_end(self, end: TimelineEnd, now: datetime) -> Iterator[Effect]:
        self._lost_at, self._session = None, False
        if self._file is not None:
            yield from self._end_file("SessionEnded", end.finished_at)
        self._format = None
        self._held.clear()
        yield from self.tick(now)

    # ------------------------------------------------------------------ files

    def _begin_at(self, unit: AccessUnit, form: TimelineFormat) -> Iterator[Effect]:
        if not unit.is_random_access:
            # Tracks interleave loosely: a frame of audio that belongs behind the picture which
            # the file will begin with may have come before it.
            self._held.append(unit)
            return
        file = PlannedFile(
            index=self.files[-1].index + 1 if self.files else 1,
            timeline=form.timeline,
            first_dts=unit.dts,
            started_at=utc_of(unit),
            session_started_at=form.session_started_at,
            tracks=list(form.tracks),
            end_dts=unit.dts,
        )
        file.note_anchor(TimelineAnchor(dts=unit.dts, utc=file.started_at))
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
        return Write(file, unit)

    def _continues(self, unit: AccessUnit) -> bool:
        """Whether writing may go on here: right behind what is held, or at a random access."""
        assert self._file is not None
        if unit.is_random_access:
            return True
        return unit.dts - self._file.end_dts <= HOLE_SECONDS * TICKS_PER_SECOND

    def _note_hole(self, file: PlannedFile, unit: AccessUnit) -> Iterator[Effect]:
        """The ring did not reach back to where the attempt before was lost."""
        wall = (utc_of(unit) - (file.last_utc or utc_of(unit))).total_seconds()
        if file.note_gap(TimelineGap(dts=unit.dts, wall_seconds=round(max(0.0, wall), 3))):
            self.transitions += 1
            yield Changed(file)

    def _end_file(self, reason: str, at: datetime) -> Iterator[Effect]:
        file = self._file
        if file is None:
            return
        file.end_reason, file.ended_at = reason, at
        self._file, self._continuing = None, False
        self._held.clear()
        self.transitions += 1
        self._rearm_at = self._rearm_from(at)
        yield EndFile(file)

    def _finish(self, reason: str, now: datetime) -> Iterator[Effect]:
        file = self._file
        if file is not None:
            ended = "Stopped" if reason == "Stopped" else "SessionEnded"
            yield from self._end_file(ended, file.last_utc or now)
        is_short = self.duration_seconds < self.rules.minimum_seconds
        if reason == "Stopped" and self.files and is_short:
            reason = "TooShort"
        self.finished = reason
        yield Finish(reason)

    # ------------------------------------------------------------------ questions

    def _is_foreign(self, form: TimelineFormat) -> bool:
        """A stream that was deleted and made anew under the same name is another stream."""
        return bool(self.rules.stream_uid) and form.stream_uid != self.rules.stream_uid

    def _is_current(self) -> bool:
        return (
            self._file is not None
            and self._format is not None
            and self._format.timeline == self._file.timeline
        )

    @staticmethod
    def _is_young(file: PlannedFile) -> bool:
        return file.duration_seconds < LATE_TRACK_SECONDS

    def _rearm_from(self, ended_at: datetime) -> datetime:
        return ended_at + timedelta(seconds=self.rules.rearm_seconds)

    def _lag_seconds(self, now: datetime) -> float:
        """How far the content taken is behind the clock."""
        last = self._file.last_utc if self._file is not None else None
        reference = last or (None if self.files else self.rules.created_at)
        return 0.0 if reference is None else max(0.0, (now - reference).total_seconds())

    def _is_beyond_stop(self, unit: AccessUnit, now: datetime) -> bool:
        if self._stop_at is None:
            return False
        if utc_of(unit) >= self._stop_at:
            return True
        # Not catching up although time has passed: the clocks differ, what comes is live.
        waited = (now - self._stop_at).total_seconds()
        lag = (now - utc_of(unit)).total_seconds()
        return waited > 3.0 and lag > self._stop_lag_seconds - 1.0

    def _rearm_is_over(self, now: datetime, lost_seconds: float) -> bool:
        if self._file is not None or self._rearm_at is None or self.finished is not None:
            return False
        if now < self._rearm_at or self._session:
            return False  # a session that is on is about to open the next file
        return self._session is False or lost_seconds >= STOP_IDLE_SECONDS

    def _stop_is_due(self, now: datetime) -> bool:
        assert self._stop_at is not None
        waited = (now - self._stop_at).total_seconds()
        if waited >= STOP_MAX_SECONDS:
            return True
        if self._file is None and self._session is None:
            return waited >= STOP_IDLE_SECONDS
        if self._session is False or self._interrupted:
            return True
        return (
            waited >= STOP_SILENCE_SECONDS
            and (now - self._unit_at).total_seconds() >= STOP_SILENCE_SECONDS
        )
