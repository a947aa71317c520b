"""Sessions: from the first moment on air until the resume window has passed.

In: when media went out last. Out: whether the session is over, and the entries of status.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sluice_media.contract import Session
from sluice_media.hub.clock import Moment, datetime_of

MAX_PAST = 10


@dataclass(slots=True)
class LiveSession:
    """The session that is on."""

    timeline: str
    started_us: int
    last_media: Moment
    protocol: str
    media: str = ""
    failovers: int = 0

    def window_passed(self, now: Moment, resume_window_seconds: float) -> bool:
        """Whether the resume window has passed; it counts from the last media."""
        return now.monotonic - self.last_media.monotonic >= resume_window_seconds

    def entry(self) -> Session:
        return Session(
            started_at=datetime_of(self.started_us),
            protocol=self.protocol,
            media=self.media,
            failovers=self.failovers,
        )


class SessionLog:
    """The session that is on, and those before it."""

    def __init__(self) -> None:
        self.current: LiveSession | None = None
        self.past: deque[Session] = deque(maxlen=MAX_PAST)
        """Newest first."""
        self._ended_timelines: deque[str] = deque(maxlen=64)

    @property
    def latest(self) -> Session | None:
        """The session that is on, or else the last one."""
        if self.current is not None:
            return self.current.entry()
        return self.past[0] if self.past else None

    def finish(self, reason: str) -> int:
        """Ends the current session. Returns its end in microseconds UTC: its last media."""
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
        """A timeline that was ended elsewhere."""
        self._ended_timelines.append(timeline)

    def has_ended(self, timeline: str) -> bool:
        """Whether that timeline was ended here: it must not come to life again."""
        return timeline in self._ended_timelines
