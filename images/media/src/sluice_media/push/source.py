"""State of the source (pure), from the records of the timeline and the connection to the hub.

Only ``end`` ends a session. A hub that is gone, or that has just started without a session,
interrupts the session. The connection to the target then stays open, because the session continues
as soon as the hub is back.
"""

from __future__ import annotations

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineHeartbeat
from sluice_media.push.machine import SourceChanged
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost

HUB_GRACE_SECONDS = 1.0
"""Time within which a reconnect to the hub does not interrupt the session."""
HUB_LOST_SECONDS = 60.0
"""Time beyond the resume window after which a session without a hub counts as ended."""


class SourceTracker:
    """State of session and delivery; it returns their changes.

    ``resume_window_seconds`` may be changed at any time.
    """

    def __init__(self) -> None:
        self.resume_window_seconds = 10.0
        self._session = False
        self._delivering = False
        self._timeline: str | None = None
        self._missing_since: float | None = None
        """Monotonic time since which there is no hub, or a hub that knows no session."""

    def record(self, record: Record | HubLost | HubBack, now: float) -> list[SourceChanged]:
        """Process one record; return the changes. ``now`` is in monotonic seconds."""
        match record:
            case TimelineFormat(timeline=timeline):
                same = self._timeline in (None, timeline)
                self._timeline = timeline
                self._missing_since = None
                # Another timeline without an end needs a publish of its own. Its session begins
                # with the next heartbeat, which states whether media arrives.
                return [] if same else self._become(False, False)
            case TimelineHeartbeat(session=True, delivering=delivering):
                self._missing_since = None
                return self._become(self._timeline is not None, delivering)
            case TimelineHeartbeat():
                self._miss(now)
                return self._become(self._session, False)
            case TimelineEnd():
                self._timeline = None
                self._missing_since = None
                return self._become(False, False)
            case HubLost():
                self._miss(now)
            case _:
                pass
        return []

    def tick(self, now: float) -> list[SourceChanged]:
        """Return the changes that are due at ``now``."""
        if self._missing_since is None:
            return []
        if now >= self._missing_since + self.resume_window_seconds + HUB_LOST_SECONDS:
            return self.stop()
        if now >= self._missing_since + HUB_GRACE_SECONDS:
            return self._become(self._session, False)
        return []

    def deadline(self) -> float | None:
        """Return the monotonic time at which :meth:`tick` is due; None when only records matter."""
        if self._missing_since is None:
            return None
        if self._delivering:
            return self._missing_since + HUB_GRACE_SECONDS
        return self._missing_since + self.resume_window_seconds + HUB_LOST_SECONDS

    def stop(self) -> list[SourceChanged]:
        """Note that the stream is not read any more; return the changes."""
        self._timeline = None
        self._missing_since = None
        return self._become(False, False)

    def _miss(self, now: float) -> None:
        if self._missing_since is None and self._session:
            self._missing_since = now

    def _become(self, session: bool, delivering: bool) -> list[SourceChanged]:
        delivering = delivering and session
        if (session, delivering) == (self._session, self._delivering):
            return []
        self._session, self._delivering = session, delivering
        return [SourceChanged(session, delivering)]
