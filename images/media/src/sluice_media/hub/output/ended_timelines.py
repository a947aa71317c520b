"""The timelines of sessions that are not on air.

They are kept for readers that have not read their end record yet, and for recorders that have not
connected yet. In: timelines as they end, or as an earlier process left them on disk. Out: the
timeline that a reader asks for. A timeline is removed when it is not needed any more; its ring may
be released earlier, when the disk has all of its content.
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.contract import SessionEndReason
from sluice_media.hub.output.timeline import OutputTimeline, Request

ARCHIVE_SECONDS = 60.0
LATE_US = 1_000_000
"""A recorder that holds an ended session asks for content after its last unit; the two times may
differ by this much, microseconds."""


class EndedTimelines:
    """Timelines that are not on air, oldest first, each with the time from which its age counts."""

    def __init__(self) -> None:
        self._kept: list[tuple[OutputTimeline, float]] = []

    def __iter__(self) -> Iterator[OutputTimeline]:
        return iter([timeline for timeline, _ in self._kept])

    def add(self, timeline: OutputTimeline, at: float) -> None:
        """Add a timeline. ``at`` is its end, or the start of this process, in monotonic seconds."""
        self._kept.append((timeline, at))

    def end_unfinished(self, *, before: float, at: float) -> list[str]:
        """End the sessions without an end record that were added at or before ``before``.

        Their age counts from ``at``. Return the ids of their timelines."""
        ended: list[str] = []
        for index, (timeline, added_at) in enumerate(self._kept):
            if not timeline.ended and added_at <= before:
                timeline.append_end(SessionEndReason.WINDOW_PASSED, timeline.last_us)
                self._kept[index] = (timeline, at)
                ended.append(timeline.id)
        return ended

    def take_unfinished(self, timeline_id: str) -> OutputTimeline | None:
        """Remove and return the timeline if its session has not ended, so that it continues."""
        for item in self._kept:
            if item[0].id == timeline_id and not item[0].ended:
                self._kept.remove(item)
                return item[0]
        return None

    def find(self, request: Request) -> OutputTimeline | None:
        """Return the timeline for a reader's request; None when none of them fits."""
        for timeline, _ in self._kept:
            if request.timeline == timeline.id:
                return timeline
            if (
                request.timeline is None
                and request.since_us is not None
                and request.since_us < timeline.last_us - LATE_US
                and (request.recorder or timeline.ring.oldest is not None)
                and timeline.holds_content()
            ):
                # The session ended before this reader connected.
                return timeline
        return None

    def discard_unneeded(self, wanted: dict[str, float], now: float, room_bytes: int) -> list[str]:
        """Remove timelines that are not needed any more, and return their ids.

        ``wanted`` has, by timeline id, the seconds for which a timeline with a demand is kept.
        ``room_bytes`` is the memory for all their rings."""
        kept: list[tuple[OutputTimeline, float]] = []
        gone: list[str] = []
        for timeline, at in reversed(self._kept):
            age = now - at
            ring, spooled = timeline.ring, timeline.spooled
            room_bytes -= ring.bytes_held
            if spooled is not None:
                on_disk = spooled.next_seq >= ring.head
                if (on_disk and age >= ARCHIVE_SECONDS) or room_bytes < 0:
                    timeline.release()
                kept.append((timeline, at))
            elif age < max(ARCHIVE_SECONDS, wanted.get(timeline.id, 0.0)) and room_bytes >= 0:
                kept.append((timeline, at))
            else:
                gone.append(timeline.id)
        self._kept = kept[::-1]
        return gone
