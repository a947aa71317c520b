"""The demand for sessions on disk: the recorders that need a session, and from which record on.

Pure. In: configuration (``autoRecord``, pins), recorders' acknowledgements, the present moment.
Out: the demand for a timeline, the sessions for the status, and the segments beyond the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sluice_media.contract import IngestConfig, RecordableSession
from sluice_media.hub.clock import Moment, datetime_of, us_of
from sluice_media.hub.output.readers import Readers
from sluice_media.hub.output.timeline import OutputTimeline
from sluice_media.hub.spool.session import Segment, SpooledSession

KEEP_ENDED_SECONDS = 86_400.0
"""Time after its end for which a session is kept on disk."""
BYTES_STEP = 16 << 20
"""Step of the byte count in the status, which must not change with each picture."""


@dataclass(slots=True, frozen=True)
class RecorderNeed:
    """The content that one recorder, or one pin, still needs of a timeline."""

    acked_dts: int | None
    """DTS up to which the recorder holds the timeline; None: nothing, or not known."""
    since_us: int | None
    """Wall clock from which content is needed; None: the whole session."""

    def floor(self, spooled: SpooledSession) -> int:
        """Return the first record that is still needed."""
        if self.acked_dts is not None:
            return spooled.floor_behind(self.acked_dts)
        if self.since_us is not None:
            return spooled.floor_since(self.since_us)
        return spooled.first_seq


@dataclass(slots=True, frozen=True)
class Demand:
    """All needs of recorders for a timeline."""

    needs: tuple[RecorderNeed, ...]
    named: bool
    """True when one of the recorders was started for exactly this session."""
    awaits_recording: bool
    """True while a Recording of the session is still to be created."""

    @property
    def any(self) -> bool:
        return self.awaits_recording or bool(self.needs)


def demand_on(
    timeline: OutputTimeline, config: IngestConfig, readers: Readers, now: Moment
) -> Demand:
    """Return the demand for a timeline, now or later: none once it is recorded or too old."""
    if timeline.fully_recorded or _is_stale(timeline, now):
        return Demand((), named=False, awaits_recording=False)
    return demand_while_on(timeline, config, readers)


def demand_while_on(timeline: OutputTimeline, config: IngestConfig, readers: Readers) -> Demand:
    """Return the demand for a timeline that is not fully recorded."""
    named: set[str] = set(readers.asking_for(timeline.started_us))
    since: dict[str, int] = {}
    for pin in config.pins:
        if pin.session_started_at is not None:
            if same_moment(timeline.started_us, us_of(pin.session_started_at)):
                named.add(pin.recording_uid)
        elif not timeline.ended or us_of(pin.since) <= timeline.last_us:
            since[pin.recording_uid] = us_of(pin.since)
    wants = {**since, **dict.fromkeys(named, None)}
    needs = [RecorderNeed(readers.acked_by(name, timeline.id), us) for name, us in wants.items()]
    awaits_recording = timeline.auto and not named and not _is_freed(timeline.started_us, config)
    return Demand(tuple(needs), bool(named), awaits_recording)


def is_held(timeline: OutputTimeline, demand: Demand) -> bool:
    """Return whether the session has ended and all recorders in ``demand`` hold all of it."""
    end = timeline.end_dts
    if not timeline.ended or end is None or demand.awaits_recording or not demand.needs:
        return False
    return all(need.acked_dts is not None and need.acked_dts >= end for need in demand.needs)


def recordable(
    timelines: Iterable[OutputTimeline], config: IngestConfig
) -> list[RecordableSession]:
    """Return the sessions of ``timelines`` for the status's ``recordable``, oldest first."""
    found = [t for t in timelines if t.auto and not t.fully_recorded and t.holds_content()]
    pinned = [us_of(p.session_started_at) for p in config.pins if p.session_started_at is not None]
    return [
        RecordableSession(
            started_at=datetime_of(timeline.started_us),
            on=not timeline.ended,
            bytes_held=_coarse(timeline.spooled.bytes_held if timeline.spooled else 0),
        )
        for timeline in sorted(found, key=lambda t: t.started_us)
        if not _is_freed(timeline.started_us, config)
        or any(same_moment(timeline.started_us, us) for us in pinned)
    ]


def to_drop(
    timelines: Sequence[OutputTimeline], limit_bytes: int
) -> Iterator[tuple[SpooledSession, Segment]]:
    """Yield the segments beyond the limit: those of ended sessions first, the oldest first."""
    held = [(t.ended, t.spooled) for t in timelines if t.spooled is not None]
    held.sort(key=lambda item: (not item[0], item[1].started_us))
    excess = sum(spooled.bytes_held for _, spooled in held) - limit_bytes
    for _, spooled in held:
        for segment in tuple(spooled.segments):
            if excess <= 0:
                return
            if segment.sealed:
                excess -= segment.bytes_held
                yield spooled, segment


def same_moment(moment_us: int, asked_us: int) -> bool:
    """Return whether two moments are equal, in the precision of ``asked_us``: seconds,
    milliseconds or microseconds."""
    if asked_us % 1_000_000 == 0:
        return moment_us // 1_000_000 == asked_us // 1_000_000
    if asked_us % 1_000 == 0:
        return moment_us // 1_000 == asked_us // 1_000
    return moment_us == asked_us


def _is_stale(timeline: OutputTimeline, now: Moment) -> bool:
    age_us = now.utc_us - timeline.last_us
    return timeline.ended and age_us > KEEP_ENDED_SECONDS * 1_000_000


def _is_freed(started_us: int, config: IngestConfig) -> bool:
    """Return whether the session has, or had, its Recording: it needs a recorder only if a pin
    names it."""
    if any(same_moment(started_us, us_of(moment)) for moment in config.auto_recorded):
        return True
    if config.auto_recorded_until is None:
        return False
    until_us = us_of(config.auto_recorded_until)
    return started_us <= until_us or same_moment(started_us, until_us)


def _coarse(count: int) -> int:
    return count // BYTES_STEP * BYTES_STEP
