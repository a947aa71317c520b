"""Sessions: from the first unit on air until the resume window has passed.

In: the time of the last media. Out: the end of the session, and its entry in the status.
"""

from __future__ import annotations

from collections import deque
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from sluice_media.contract import Session
from sluice_media.hub.clock import Moment, datetime_of

MAX_PAST = 10


class SessionStart(NamedTuple):
    """The beginning of a session at this hub."""

    timeline: str
    epoch: int
    started_us: int
    dts: int
    """Output DTS of the first unit here."""


@dataclass(slots=True)
class LiveSession:
    """The present session."""

    timeline: str
    started_us: int
    last_media: Moment
    protocol: str
    _: KW_ONLY
    media: str = ""
    failovers: int = 0

    def window_passed(self, now: Moment, resume_window_seconds: float) -> bool:
        """Return whether the resume window, which starts at the last media, has passed."""
        return now.monotonic - self.last_media.monotonic >= resume_window_seconds

    def entry(self) -> Session:
        return Session(
            started_at=datetime_of(self.started_us),
            protocol=self.protocol,
            media=self.media,
            failovers=self.failovers,
        )


class SessionLog:
    """The present session and the last ones before it."""

    def __init__(self) -> None:
        self.current: LiveSession | None = None
        self.past: deque[Session] = deque(maxlen=MAX_PAST)
        """Newest first."""
        self._ended_timelines: deque[str] = deque(maxlen=64)

    @property
    def latest(self) -> Session | None:
        """Entry of the present session, or of the last one; None before the first."""
        if self.current is not None:
            return self.current.entry()
        return self.past[0] if self.past else None

    def finish(self, reason: str) -> int:
        """End the present session. Return its end, the time of its last media, in microseconds
        UTC."""
        session = self.current
        if session is None:
            raise RuntimeError("no session is on")
        ended_us = session.last_media.utc_us
        self.past.appendleft(
            session.entry().model_copy(
                update={"finished_at": datetime_of(ended_us), "end_reason": reason}
            )
        )
        self._ended_timelines.append(session.timeline)
        self.current = None
        return ended_us

    def note_ended(self, timeline: str) -> None:
        """Note a timeline that an earlier process ended."""
        self._ended_timelines.append(timeline)

    def has_ended(self, timeline: str) -> bool:
        """Return whether the timeline has ended, so that it must not be continued."""
        return timeline in self._ended_timelines
