"""Which sessions are kept on disk, for whom and from where on; and what goes when there is no room.

Pure. In: configuration (``autoRecord``, pins), what recorders have acknowledged, the present
moment. Out: the first record that somebody still needs of a timeline, or that nobody needs any.
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
"""Nobody came for a session for so long after its end: it goes."""
BYTES_STEP = 16 << 20
"""Of the figure in status: it must not wake everybody with each picture."""


@dataclass(slots=True, frozen=True)
class Claim:
    """One recorder's."""

    acked_dts: int | None
    """What it holds; None: nothing, or it is not known."""
    since_us: int | None
    """None: it wants the whole session."""

    def floor(self, spooled: SpooledSession) -> int:
        """The first record that it still needs."""
        if self.acked_dts is not None:
            return spooled.floor_behind(self.acked_dts)
        if self.since_us is not None:
            return spooled.floor_since(self.since_us)
        return spooled.first_seq


@dataclass(slots=True, frozen=True)
class Demand:
    """Who needs something of a timeline."""

    claims: tuple[Claim, ...]
    named: bool
    """One of them was made for this very session."""
    waits: bool
    """A Recording of it is still to be made."""

    @property
    def any(self) -> bool:
        return self.waits or bool(self.claims)


def demand_on(
    timeline: OutputTimeline, config: IngestConfig, readers: Readers, now: Moment
) -> Demand:
    """Who needs something of a timeline, now or later."""
    if timeline.settled or _is_stale(timeline, now):
        return Demand((), named=False, waits=False)
    return demand_while_on(timeline, config, readers)


def demand_while_on(timeline: OutputTimeline, config: IngestConfig, readers: Readers) -> Demand:
    """The same of a timeline whose session is on."""
    named: set[str] = set(readers.asking_for(timeline.started_us))
    since: dict[str, int] = {}
    for pin in config.pins:
        if pin.session_started_at is not None:
            if same_moment(timeline.started_us, us_of(pin.session_started_at)):
                named.add(pin.recording_uid)
        elif not timeline.ended or us_of(pin.since) <= timeline.last_us:
            since[pin.recording_uid] = us_of(pin.since)
    wants = {**since, **dict.fromkeys(named, None)}
    claims = [Claim(readers.acked_by(name, timeline.id), us) for name, us in wants.items()]
    waits = timeline.auto and not named and not _is_freed(timeline.started_us, config)
    return Demand(tuple(claims), bool(named), waits)


def is_held(timeline: OutputTimeline, demand: Demand) -> bool:
    """Whether it ended and all who want it have all of it."""
    end = timeline.end_dts
    if not timeline.ended or end is None or demand.waits or not demand.claims:
        return False
    return all(claim.acked_dts is not None and claim.acked_dts >= end for claim in demand.claims)


def recordable(
    timelines: Iterable[OutputTimeline], config: IngestConfig
) -> list[RecordableSession]:
    """The entries of status, oldest first. ``timelines`` are those that are wanted."""
    found = [t for t in timelines if t.auto and not t.settled and t.holds_content()]
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
    """What has to go for the limit: of ended sessions first, the oldest ones' oldest segments."""
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
    """Whether a moment is the one that is asked for, be it in whole milliseconds or seconds."""
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
