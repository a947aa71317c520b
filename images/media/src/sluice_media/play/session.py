"""One session as play pods serve it: the records come in, playlists and bytes go out.

Every text is rendered once for each change of the table. Requests for the future wait here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from sluice_media.contract import PlayConfig, SessionEndReason, TimelineEnd
from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat
from sluice_media.play import dash, hls, ts_hls
from sluice_media.play.cutter import Cutter, PartClosed, SegmentBegun, TrackClosed
from sluice_media.play.disk import SegmentDisk
from sluice_media.play.dvr import Dvr
from sluice_media.play.metrics import PlayMetrics
from sluice_media.play.segment import Segment
from sluice_media.play.segment_file import StoredSegment
from sluice_media.play.table import SegmentTable
from sluice_media.timeline.framing import Record

SESSION_ID = re.compile(r"[0-9a-f]{8,64}")
"""Id of a session: it is a part of paths and URLs."""
LIVE_WINDOW_SECONDS = 30
"""Window without DVR."""


class _Rendered(NamedTuple):
    """A text, and the version of the table that it shows."""

    version: int
    data: bytes


class PlaySession:
    """The table of one session, its bytes, and the requests that wait for it."""

    def __init__(
        self,
        session: str,
        started_us: int,
        config: PlayConfig,
        disk: SegmentDisk,
        metrics: PlayMetrics,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._taken_up_us = time.time_ns() // 1_000
        """Time at which this pod began to read the session."""
        self.table = SegmentTable(session, started_us, config.dvr_seconds or LIVE_WINDOW_SECONDS)
        disk_for_dvr = disk if config.dvr_seconds else None
        self.dvr = Dvr(self.table, disk_for_dvr, config.spool_limit_bytes)
        self.has_caught_up = False
        """True when the content that other pods and the disk have is in the table."""
        self.is_gone = asyncio.Event()
        """Set when the session is not served any more."""
        self._cutter = Cutter()
        self._texts: dict[object, _Rendered] = {}
        self._media: dict[int, hls.MediaPlaylist] = {}
        self._ts: dict[bool, ts_hls.TsPlaylist] = {}
        self._manifest = dash.Manifest(self.table, end_list=config.dash_end_list)
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def id(self) -> str:
        return self.table.session

    @property
    def started_at(self) -> datetime:
        return datetime.fromtimestamp(self.table.started_us / 1_000_000, UTC)

    @property
    def is_live(self) -> bool:
        """True while the session is on and viewers can begin."""
        return self.table.is_published and not self.table.is_ended

    @property
    def window_seconds(self) -> float:
        segments = self.table.segments
        return (self.table.end - segments[0].start) / TICKS_PER_SECOND if segments else 0.0

    def feed(self, records: Iterable[Record]) -> None:
        """Take records of the session, in order, and answer the requests that waited for them."""
        version = self.table.version
        parts: list[PartClosed] = []
        for record in records:
            for event in self._cutter.feed(record):
                self.dvr.drop(self.table.apply(event))
                if isinstance(event, PartClosed):
                    parts.append(event)
                elif isinstance(event, TrackClosed):
                    self._close(event)
                elif isinstance(event, SegmentBegun):
                    self.dvr.release()
        if self.table.version != version:
            self._notify()
            self._count(parts)

    def _close(self, event: TrackClosed) -> None:
        segment = self.table.get(event.number)
        if segment is None:
            return
        self._metrics.segment_closed(event.track, segment.tracks[event.track].size)
        if segment.is_closed:
            self.dvr.add(segment)

    def _count(self, parts: list[PartClosed]) -> None:
        now_us = time.time_ns() // 1_000
        for part in parts:
            # The hub sends its last minute to a pod that starts. That says nothing about delay.
            is_new = part.arrived_us >= self._taken_up_us
            delay_us = now_us - part.arrived_us if is_new else None
            self._metrics.part_served(part.track, len(part.data), delay_us)

    def end(self) -> None:
        """End the session, if its end record has not come: its hub is lost for good, or another
        session has begun."""
        if not self.table.is_ended:
            reason = SessionEndReason.WINDOW_PASSED
            self.feed([TimelineEnd(reason=reason, finished_at=self.started_at)])

    def insert(self, segment: Segment, formats: tuple[TrackFormat, ...]) -> None:
        """Add a closed segment that another pod has."""
        if self.table.insert(segment, formats):
            self.dvr.add(segment)
            self.dvr.drop(self.table.trim())
            self._notify()

    def restore(self, stored: StoredSegment) -> None:
        """Add a segment that is on this pod's disk."""
        self.dvr.restore(stored)
        if self.table.insert(stored.segment, stored.formats):
            self.dvr.drop(self.table.trim())
            self._notify()

    async def until(self, is_reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition of the table is true; return False after ``seconds``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not is_reached():
            if (now := loop.time()) >= deadline:
                return False
            change = loop.create_future()
            self._waiting.append(change)
            timer = loop.call_later(deadline - now, _wake, change)
            try:
                await change
            finally:
                timer.cancel()
        return True

    def multivariant(self) -> bytes:
        return self._text("hls", lambda: hls.multivariant(self.table).encode())

    def media_playlist(self, track: int, *, skip: bool) -> bytes:
        playlist = self._media.get(track)
        if playlist is None:
            playlist = hls.MediaPlaylist(self.table, track, end_list=self._config.hls_end_list)
            self._media[track] = playlist
        return self._text((track, skip), lambda: playlist.render(skip=skip).encode())

    def ts_multivariant(self, *, with_durations: bool) -> bytes:
        text = ts_hls.multivariant(self.table, with_durations=with_durations)
        return text.encode()

    def ts_playlist(self, *, with_durations: bool) -> bytes:
        playlist = self._ts.get(with_durations)
        if playlist is None:
            end_list = self._config.hls_mpegts_end_list
            playlist = ts_hls.TsPlaylist(
                self.table, with_durations=with_durations, end_list=end_list
            )
            self._ts[with_durations] = playlist
        return self._text(("ts", with_durations), lambda: playlist.render().encode())

    def mpd(self) -> bytes:
        return self._text("dash", self._manifest.render)

    def _text(self, key: object, render: Callable[[], bytes]) -> bytes:
        known = self._texts.get(key)
        if known is None or known.version != self.table.version:
            known = self._texts[key] = _Rendered(self.table.version, render())
        return known.data

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            _wake(change)


def _wake(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)
