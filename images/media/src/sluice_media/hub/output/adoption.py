"""Adoption: a hub without a session continues the timeline of an earlier hub of its stream.

When a hub is lost, the next one starts without any state. In: the map of the leg that fed the
output, which is exact because the leg continues in the same times; the acknowledgement of a
standby leg and the ``from=`` of a reader, which only give a position of the timeline. Out: the
timeline to adopt, and how long to wait for a better source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from sluice_media.contract import IngestConfig, LegAck
from sluice_media.hub.clock import Moment, us_of
from sluice_media.hub.legs.leg import Leg
from sluice_media.hub.output.grid import Numbers, numbers_of
from sluice_media.hub.output.session import SessionLog
from sluice_media.hub.output.timeline import Request

ADOPTION_SECONDS = 60.0
"""Time beyond the resume window for which readers retry without a hub, and a map stays valid."""
MAP_WAIT_SECONDS = 2.0
"""Time for which a standby leg waits for the leg that has the map, before the timeline continues
with a gap instead. A gateway retries at least every second."""
READER_WAIT_SECONDS = 2.0
"""Time after the hub's start for which a pulled source waits for readers. It has no map, so only
readers, which retry every second, can name an earlier timeline."""
MAX_READERS = 64
"""Maximum number of timelines that readers may name."""
EXPECTED_SECONDS = 10.0
"""Time after its start for which a hub reports that an earlier session may continue here. Gateways
and readers retry every second."""


@dataclass(slots=True, frozen=True, kw_only=True)
class KnownPosition:
    """The last known position of a timeline, from a reader or a standby leg."""

    timeline: str
    dts: int
    epoch: int
    started_us: int | None
    known_at: Moment
    last_us: int | None
    """Arrival time of its last unit, microseconds UTC; None when it is not known."""
    numbers: Numbers | None
    """The highest segment and format numbers that are known; None when nobody knows one."""


def is_map(resume: LegAck | None) -> TypeGuard[LegAck]:
    """Return whether ``resume`` is the map of a leg that fed the output.

    A standby leg's acknowledgement names the timeline too, but gives no offset."""
    return resume is not None and bool(resume.timeline) and resume.is_on_air


class Adoption:
    """The positions that legs and readers bring from the time before this hub."""

    def __init__(self, sessions: SessionLog) -> None:
        self._sessions = sessions
        self._requested: dict[str, KnownPosition] = {}
        """Positions from readers, by timeline."""
        self._first_tick: float | None = None

    def note_request(self, request: Request, now: Moment) -> None:
        """Note the position of a reader that asks for a timeline which this hub does not have."""
        timeline = request.timeline
        if timeline is None or not self._may_be_alive(timeline, now):
            return
        known = self._requested.get(timeline)
        if known is None and len(self._requested) >= MAX_READERS:
            return
        # The time of the first request counts: a retry brings no newer position.
        at = known.known_at if known else now
        dts, last_us = request.dts, request.held_until_us
        if known is not None and known.dts > dts:
            dts, last_us = known.dts, known.last_us
        self._requested[timeline] = KnownPosition(
            timeline=timeline,
            dts=dts,
            epoch=1,
            started_us=None,
            known_at=at,
            last_us=last_us,
            numbers=_highest(request.numbers, known.numbers if known else None),
        )

    def tick(self, now: Moment) -> None:
        """Note the start of this hub at the first tick."""
        if self._first_tick is None:
            self._first_tick = now.monotonic

    def is_expected(self, now: Moment) -> bool:
        """Return whether the session of an earlier hub may still continue here."""
        return self._is_first_session_ahead() and self._age(now) < EXPECTED_SECONDS

    def clear(self) -> None:
        """Forget the readers' positions, because a session has begun."""
        self._requested.clear()

    def can_adopt(self, resume: LegAck | None, config: IngestConfig, now: Moment) -> bool:
        """Return whether ``resume`` is a map of this stream, of a session that has not ended."""
        return is_map(resume) and self._is_ours(resume, config, now)

    def ended_session_dts(
        self, resume: LegAck | None, config: IngestConfig, now: Moment
    ) -> int | None:
        """Return the source DTS up to which a leg repeats content of a session that has ended;
        None when there is no such session.

        A gateway whose hub was out of reach for longer than the resume window still keeps up to
        60 s of that session. Sent again, it would permanently delay the new session."""
        if not is_map(resume) or resume.stream_uid != config.uid:
            return None
        if self._is_ours(resume, config, now):
            return None
        return resume.last_out_dts - resume.out_offset

    def newest_map(self, legs: Sequence[Leg], config: IngestConfig, now: Moment) -> Leg | None:
        """Return the leg that has the newest map; None when no leg has one."""
        found = [leg for leg in legs if self.can_adopt(leg.resume, config, now)]
        return max(found, key=_freshness, default=None)

    def must_wait(self, leg: Leg, legs: Sequence[Leg], config: IngestConfig, now: Moment) -> bool:
        """Return whether a session must not begin with ``leg`` yet, because another leg or a
        reader may soon bring a better position."""
        if leg.is_pull:
            return not self._requested and self._age(now) < READER_WAIT_SECONDS
        if now.monotonic - leg.delivers_since >= MAP_WAIT_SECONDS:
            return False
        if self._standby_position(leg, config, now) is not None:
            return True
        return self.newest_map(legs, config, now) not in (leg, None)

    def position(self, leg: Leg, config: IngestConfig, now: Moment) -> KnownPosition | None:
        """Return the position from which a leg without a map continues; None: it begins a new
        timeline."""
        standby = self._standby_position(leg, config, now)
        fresh = [
            requested
            for requested in self._requested.values()
            if now.monotonic - requested.known_at.monotonic <= _validity_seconds(config)
        ]
        if standby is not None:
            same = [position for position in fresh if position.timeline == standby.timeline]
            return replace(
                standby,
                dts=max([standby.dts, *(position.dts for position in same)]),
                numbers=_highest(standby.numbers, *(position.numbers for position in same)),
            )
        return max(fresh, key=lambda position: position.known_at.monotonic, default=None)

    def _standby_position(
        self, leg: Leg, config: IngestConfig, now: Moment
    ) -> KnownPosition | None:
        resume = leg.resume
        if resume is None or is_map(resume) or not self._is_ours(resume, config, now):
            return None
        if not self._may_be_alive(resume.timeline, now):
            return None
        started = resume.session_started_at
        started_us = us_of(started) if started else None
        return KnownPosition(
            timeline=resume.timeline,
            dts=resume.last_out_dts,
            epoch=resume.epoch,
            started_us=started_us,
            known_at=leg.connected_at,
            last_us=us_of(resume.last_out_utc) if resume.last_out_utc else None,
            numbers=numbers_of(resume),
        )

    def _is_ours(self, resume: LegAck, config: IngestConfig, now: Moment) -> bool:
        if resume.stream_uid != config.uid or not resume.timeline or resume.last_out_utc is None:
            return False
        if self._sessions.has_ended(resume.timeline):
            return False
        age_us = now.utc_us - us_of(resume.last_out_utc)
        return age_us <= _validity_seconds(config) * 1_000_000

    def _may_be_alive(self, timeline: str, now: Moment) -> bool:
        """Return whether this hub may continue the timeline: it has had no session yet, and is at
        most 2 minutes old."""
        if not self._is_first_session_ahead() or self._sessions.has_ended(timeline):
            return False
        return self._age(now) <= 2 * ADOPTION_SECONDS

    def _is_first_session_ahead(self) -> bool:
        return self._sessions.current is None and not self._sessions.past

    def _age(self, now: Moment) -> float:
        """Return the seconds since this hub's first tick."""
        return now.monotonic - self._first_tick if self._first_tick is not None else 0.0


def _highest(*numbers: Numbers | None) -> Numbers | None:
    known = [each for each in numbers if each is not None]
    if not known:
        return None
    return Numbers(max(each.segment for each in known), max(each.format for each in known))


def _validity_seconds(config: IngestConfig) -> float:
    """Return for how long a position or a map of an interrupted session is valid."""
    return config.resume_window_seconds + ADOPTION_SECONDS


def _freshness(leg: Leg) -> tuple[int, int]:
    resume = leg.resume
    return (resume.epoch, resume.last_out_dts) if resume is not None else (0, 0)
