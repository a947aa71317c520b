"""The timelines of sessions that are not on (any more): for readers that have not seen their end
yet, and for recorders that have not come yet.

In: timelines as they end, or as an earlier process left them on disk. Out: the one that a reader
asks for. A timeline leaves when nobody needs it; its ring may leave before, when the disk has all
of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.hub.output.timeline import OutputTimeline, Request

ARCHIVE_SECONDS = 60.0
LATE_US = 1_000_000
"""A recorder that has an ended session asks for what came after its last unit, give or take."""


class Shelf:
    """Oldest first."""

    def __init__(self) -> None:
        self._kept: list[tuple[OutputTimeline, float]] = []

    def __iter__(self) -> Iterator[OutputTimeline]:
        return iter([timeline for timeline, _ in self._kept])

    def put(self, timeline: OutputTimeline, at: float) -> None:
        """``at``: monotonic seconds of its end, or of this process's start."""
        self._kept.append((timeline, at))

    def unfinished(self, *, before: float) -> list[OutputTimeline]:
        """Those without an end that have been here since a moment."""
        return [timeline for timeline, at in self._kept if not timeline.ended and at <= before]

    def restart(self, timeline: OutputTimeline, at: float) -> None:
        """Its session was over at ``at`` only."""
        self._kept = [(t, at if t is timeline else since) for t, since in self._kept]

    def take(self, timeline_id: str) -> OutputTimeline | None:
        """The timeline of that name, if its session is not over: it goes on, and is here no
        more."""
        for item in self._kept:
            if item[0].id == timeline_id and not item[0].ended:
                self._kept.remove(item)
                return item[0]
        return None

    def find(self, request: Request) -> OutputTimeline | None:
        """The timeline that a reader gets when it asks like this."""
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
                # It came too late for a session that it asked for.
                return timeline
        return None

    def clear_up(self, wanted: dict[str, float], now: float, room_bytes: int) -> list[str]:
        """Lets go what nobody needs. ``wanted`` says for how many seconds those that somebody
        wants are kept, by the timeline's name; ``room_bytes`` is what their rings may take. Returns
        the names of those that are gone."""
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
