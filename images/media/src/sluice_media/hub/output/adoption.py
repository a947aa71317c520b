"""Whose timeline a hub without a session goes on with.

A hub dies, its successor knows nothing. What it can learn: the map of the leg that fed the output
(exact: the leg goes on in the same times); the acknowledgement of a standby leg, and the ``from=``
of a reader, which only say where the timeline stood. In: those. Out: what to adopt, and how long
to wait for something better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from sluice_media.contract import IngestConfig, LegAck
from sluice_media.formats.units import TICKS_PER_MS
from sluice_media.hub.clock import Moment, us_of
from sluice_media.hub.legs.leg import Leg
from sluice_media.hub.output.session import SessionLog
from sluice_media.hub.output.timeline import Request

ADOPTION_SECONDS = 60.0
"""Readers hold out for the resume window and this much more without a hub; so does a map."""
MAP_WAIT_SECONDS = 2.0
"""A gateway posts again every second at least: so long a standby waits for the leg that has the
map, before the timeline goes on with a gap instead."""
READER_WAIT_SECONDS = 2.0
"""Of a hub's life: a source that the pod itself fetches has no map. Whether there was a timeline
before it only readers can say, and they ask again every second."""
MAX_READERS = 64
EXPECTED_SECONDS = 10.0
"""After its start a hub reports for this long that an earlier session may continue here. Gateways
and readers retry every second."""
_WRAP = TICKS_PER_MS << 32
"""FLV's 32 bits of milliseconds, in ticks."""


@dataclass(slots=True, frozen=True)
class Position:
    """Where a timeline stood, as somebody who followed it knows."""

    timeline: str
    dts: int
    epoch: int
    started_us: int | None
    known_at: Moment
    last_us: int | None
    """When its last unit had come in, microseconds UTC; None: that is not known."""


def is_map(resume: LegAck | None) -> TypeGuard[LegAck]:
    """Whether a gateway brings the map of a leg that fed the output. A standby's acknowledgement
    names the timeline as well, but its leg has no place in it."""
    return resume is not None and bool(resume.timeline) and resume.feeds


def whole_turns(ticks: int) -> int:
    """Ticks to the nearest whole turns of FLV's clock."""
    return round(ticks / _WRAP) * _WRAP


def unwrapped(dts: int, near: int) -> int:
    """An output DTS computed from a source clock that was unwrapped anew: whole turns of that
    clock's 32 bits of milliseconds may be missing."""
    return dts + whole_turns(near - dts)


class Adoption:
    """Of one hub: what its legs and readers know of the time before it."""

    def __init__(self, sessions: SessionLog) -> None:
        self._sessions = sessions
        self._asked: dict[str, Position] = {}
        self._first_tick: float | None = None

    def asked(self, request: Request, now: Moment) -> None:
        """A reader came with ``from=`` a timeline that is not here."""
        timeline = request.timeline
        if timeline is None or not self._may_be_alive(timeline, now):
            return
        known = self._asked.get(timeline)
        if known is None and len(self._asked) >= MAX_READERS:
            return
        # The clock runs from the first request: a reader that asks again knows nothing newer.
        at = known.known_at if known else now
        dts, last_us = request.dts, request.held_until_us
        if known is not None and known.dts > dts:
            dts, last_us = known.dts, known.last_us
        self._asked[timeline] = Position(timeline, dts, 1, None, at, last_us)

    def tick(self, now: Moment) -> None:
        if self._first_tick is None:
            self._first_tick = now.monotonic

    def is_expected(self, now: Moment) -> bool:
        """Return whether the session of an earlier hub may still continue here."""
        return self._is_first_session_ahead() and self._age(now) < EXPECTED_SECONDS

    def has_begun(self) -> None:
        """A session is on: what readers know is of no use any more."""
        self._asked.clear()

    def fits(self, resume: LegAck | None, config: IngestConfig, now: Moment) -> bool:
        """Whether it is the map of our stream's timeline, and of a session that is not over."""
        return is_map(resume) and self._is_ours(resume, config, now)

    def over_until(self, resume: LegAck | None, config: IngestConfig, now: Moment) -> int | None:
        """Source DTS up to which a leg sends again what a session that is over has put out; None:
        there is no such session.

        A gateway whose hub was out of reach for longer than the resume window still has up to a
        minute of that session; played again, it would be old news, and late for good."""
        if not is_map(resume) or resume.stream_uid != config.uid:
            return None
        if self._is_ours(resume, config, now):
            return None
        return resume.last_out_dts - resume.out_offset

    def mapped(self, legs: Sequence[Leg], config: IngestConfig, now: Moment) -> Leg | None:
        """The leg that brings the newest map."""
        found = [leg for leg in legs if self.fits(leg.resume, config, now)]
        return max(found, key=_freshness, default=None)

    def waits(self, leg: Leg, legs: Sequence[Leg], config: IngestConfig, now: Moment) -> bool:
        """Whether a session must not begin with ``leg`` yet: somebody else knows better soon."""
        if leg.is_pull:
            return not self._asked and self._age(now) < READER_WAIT_SECONDS
        if now.monotonic - leg.delivers_since >= MAP_WAIT_SECONDS:
            return False
        if self._standby_position(leg, config, now) is not None:
            return True
        return self.mapped(legs, config, now) not in (leg, None)

    def position(self, leg: Leg, config: IngestConfig, now: Moment) -> Position | None:
        """Where a leg without a map goes on; None: it begins a timeline of its own."""
        standby = self._standby_position(leg, config, now)
        fresh = [
            asked
            for asked in self._asked.values()
            if now.monotonic - asked.known_at.monotonic <= _patience(config)
        ]
        if standby is not None:
            same = [asked.dts for asked in fresh if asked.timeline == standby.timeline]
            return Position(
                standby.timeline,
                max([standby.dts, *same]),
                standby.epoch,
                standby.started_us,
                standby.known_at,
                standby.last_us,
            )
        return max(fresh, key=lambda asked: asked.known_at.monotonic, default=None)

    def _standby_position(self, leg: Leg, config: IngestConfig, now: Moment) -> Position | None:
        resume = leg.resume
        if resume is None or is_map(resume) or not self._is_ours(resume, config, now):
            return None
        if not self._may_be_alive(resume.timeline, now):
            return None
        started = resume.session_started_at
        started_us = us_of(started) if started else None
        return Position(
            resume.timeline,
            resume.last_out_dts,
            resume.epoch,
            started_us,
            leg.connected_at,
            us_of(resume.last_out_utc) if resume.last_out_utc else None,
        )

    def _is_ours(self, resume: LegAck, config: IngestConfig, now: Moment) -> bool:
        if resume.stream_uid != config.uid or not resume.timeline or resume.last_out_utc is None:
            return False
        if self._sessions.has_ended(resume.timeline):
            return False
        age_us = now.utc_us - us_of(resume.last_out_utc)
        return age_us <= _patience(config) * 1_000_000

    def _may_be_alive(self, timeline: str, now: Moment) -> bool:
        """Only a hub that has had no session yet can be the successor of another one."""
        if not self._is_first_session_ahead() or self._sessions.has_ended(timeline):
            return False
        return self._age(now) <= 2 * ADOPTION_SECONDS

    def _is_first_session_ahead(self) -> bool:
        return self._sessions.current is None and not self._sessions.past

    def _age(self, now: Moment) -> float:
        """Seconds that this hub has lived."""
        return now.monotonic - self._first_tick if self._first_tick is not None else 0.0


def _patience(config: IngestConfig) -> float:
    return config.resume_window_seconds + ADOPTION_SECONDS


def _freshness(leg: Leg) -> tuple[int, int]:
    resume = leg.resume
    return (resume.epoch, resume.last_out_dts) if resume is not None else (0, 0)
