"""What the source does, from the records of the timeline and the state of its connection (pure).

Only ``end`` ends a session. A hub that is gone, or one that was just started and knows of no
session yet, interrupts it: the connection to the target is held, because the session continues as
soon as the hub is back.
"""

from __future__ import annotations

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineHeartbeat
from sluice_media.push.machine import SourceChanged
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost

HUB_GRACE_SECONDS = 1.0
"""A reconnect within this time is no interruption."""
HUB_LOST_SECONDS = 60.0
"""Beyond the resume window: how long a session is believed in without a hub that knows it."""


class SourceTracker:
    """Tells when session or delivery change.

    ``resume_window_seconds`` may be set anew at any time.
    """

    def __init__(self) -> None:
        self.resume_window_seconds = 10.0
        self._session = False
        self._delivering = False
        self._timeline: str | None = None
        self._missing_since: float | None = None
        """No hub, or one that knows of no session, since then (monotonic)."""

    def record(self, record: Record | HubLost | HubBack, now: float) -> list[SourceChanged]:
        """What follows from one record; ``now`` in monotonic seconds."""
        match record:
            case TimelineFormat(timeline=timeline):
                same = self._timeline in (None, timeline)
                self._timeline = timeline
                self._missing_since = None
                # Another timeline without an end needs a publish of its own. A session begins
                # with the heartbeat that follows: it says whether media arrives now.
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
        """What follows from the time that has passed."""
        if self._missing_since is None:
            return []
        if now >= self._missing_since + self.resume_window_seconds + HUB_LOST_SECONDS:
            return self.stop()
        if now >= self._missing_since + HUB_GRACE_SECONDS:
            return self._become(self._session, False)
        return []

    def deadline(self) -> float | None:
        """When :meth:`tick` is due; None: never."""
        if self._missing_since is None:
            return None
        if self._delivering:
            return self._missing_since + HUB_GRACE_SECONDS
        return self._missing_since + self.resume_window_seconds + HUB_LOST_SECONDS

    def stop(self) -> list[SourceChanged]:
        """The stream is read no more."""
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
