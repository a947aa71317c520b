"""Runner of a play pod: it follows the stream's timeline and serves what it makes of it.

Only the ``end`` record ends a session. A hub that is gone changes nothing for viewers, until the
resume window and the time for a new hub have passed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import structlog

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    PLAYBACK_KEY_FILE,
    PLAYBACK_PREVIOUS_KEY_FILE,
    PlayConfig,
    PlayStatus,
    TimelineEnd,
    TimelineFormat,
    TimelineHeartbeat,
)
from sluice_media.formats.cmaf import init_segment
from sluice_media.formats.units import TICKS_PER_SECOND, TrackKind
from sluice_media.play.access import sign
from sluice_media.play.disk import SegmentDisk
from sluice_media.play.edge_check import CHECK_SECONDS, RETRY_SECONDS, EdgeAnswer, EdgeCheck
from sluice_media.play.metrics import PlayMetrics
from sluice_media.play.screenshot import Keyframe, Screenshots
from sluice_media.play.session import SESSION_ID, PlaySession
from sluice_media.play.sibling import SiblingClient
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.status_server import StatusBoard
from sluice_media.timeline.framing import Record
from sluice_media.timeline.reader import HubBack, HubLost, TimelineReader

TICKING = frozenset({"window_seconds", "keyframe_seconds"})
GATHER_SECONDS = 0.1
"""Length of the batches in which media is read. It is a part of every viewer's delay."""
ENDED_SECONDS = 120.0
"""Time for which an ended session can be read. Players that are behind reach its end."""
HUB_LOST_SECONDS = 60.0
"""Time beyond the resume window after which a session without a hub has ended."""
_KEYFRAME_WINDOW_SECONDS = 60
_COPY_TRIES = 5
_log = structlog.get_logger(__name__)


class Player:
    """The sessions of one stream: the one on air, and the one before it."""

    def __init__(
        self,
        watch: ConfigWatch[PlayConfig],
        settings: PodSettings,
        board: StatusBoard[PlayStatus],
        metrics: PlayMetrics,
        http: aiohttp.ClientSession,
        siblings: SiblingClient,
    ) -> None:
        self._siblings = siblings
        self._watch = watch
        self._settings = settings
        self._board = board
        self._metrics = metrics
        self._http = http
        self._disk = SegmentDisk(settings.spool_dir / "segments")
        self._session: PlaySession | None = None
        self._ended: PlaySession | None = None
        self._ended_at = 0.0
        self._knows_stream = False
        """True when the hub has answered whether the stream is on air."""
        self._lost_since: float | None = None
        self._changed = asyncio.Event()
        self._edge = EdgeAnswer(False)
        self._published: tuple[object, ...] = ()
        """The values that the last status was made of."""
        self._part_at = time.monotonic()
        self.stopping = False
        self.screenshots = Screenshots(self._keyframe)
        board.tick = self._tick
        metrics.watch(
            window_seconds=lambda: self._session.window_seconds if self._session else 0.0,
            window_disk_bytes=lambda: self._session.dvr.stored_bytes if self._session else 0.0,
            age_seconds=lambda: time.monotonic() - self._part_at if self._session else 0.0,
        )

    @property
    def ready(self) -> bool:
        """True while the edge may read here."""
        session = self._session
        caught_up = session is None or session.has_caught_up
        return self._knows_stream and caught_up and not self.stopping

    def session(self, session_id: str | None) -> PlaySession | None:
        """Return the session with that id, or with None the newest one; None without it."""
        newest = self._session or self._ended
        if session_id is None:
            return newest
        found = (self._session, self._ended)
        return next((each for each in found if each and each.id == session_id), None)

    def keys(self) -> list[str]:
        """Return the keys that sign URLs, the present one first."""
        found = (self._watch.key(PLAYBACK_KEY_FILE), self._watch.key(PLAYBACK_PREVIOUS_KEY_FILE))
        return [key.get_secret_value() for key in found if key is not None]

    async def run(self) -> None:
        """Follow the stream, without end."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._follow())
            tasks.create_task(self._watch_edge())
            tasks.create_task(self._keep_time())
            async for config in self._watch.changes():
                self._board.configured(config)

    # ------------------------------------------------------------------ the timeline

    async def _follow(self) -> None:
        watch = self._watch
        reader = TimelineReader(
            self._http,
            url=lambda: f"http://{watch.config.stream.host}:{self._settings.hub_port}",
            token=lambda: watch.key(HUB_TOKEN_FILE),
            reader=f"play {self._settings.pod_uid}",
            role="player",
            gather_seconds=GATHER_SECONDS,
        )
        async for batch in reader.batches():
            await self._take(batch)

    async def _take(self, batch: Sequence[Record | HubLost | HubBack]) -> None:
        media: list[Record] = []
        for record in batch:
            match record:
                case HubLost():
                    self._lost_since = self._lost_since or time.monotonic()
                case HubBack():
                    pass
                case TimelineHeartbeat(session=on):
                    self._knows_stream = True
                    if on:
                        self._lost_since = None
                    elif self._session is not None:
                        self._lost_since = self._lost_since or time.monotonic()
                case TimelineFormat(timeline=timeline):
                    self._feed(media)
                    media = [record]
                    if self._session is None or self._session.id != timeline:
                        await self._begin(record)
                case TimelineEnd():
                    media.append(record)
                    self._feed(media)
                    media = []
                    await self._end()
                case _:
                    media.append(record)
        self._feed(media)
        self._publish()

    def _feed(self, records: list[Record]) -> None:
        if self._session is not None and records:
            version = self._session.table.version
            self._session.feed(records)
            self._lost_since = None
            if self._session.table.version != version:
                self._part_at = time.monotonic()

    async def _begin(self, record: TimelineFormat) -> None:
        if not SESSION_ID.fullmatch(record.timeline):
            raise ValueError(f"the session id {record.timeline!r} is not hexadecimal")
        if self._session is not None:
            await self._end()
        started_us = round(record.session_started_at.timestamp() * 1_000_000)
        session = PlaySession(
            record.timeline, started_us, self._watch.config, self._disk, self._metrics
        )
        self._session = session
        self._knows_stream = True
        self._edge = EdgeAnswer(False)
        _log.info("session_begun", session=session.id)
        self._tasks.create_task(self._serve(session))
        self._changed.set()

    async def _serve(self, session: PlaySession) -> None:
        """Complete the session with old segments; then keep its window on disk until it is gone."""
        await self._catch_up(session)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(session.dvr.run())
            await session.is_gone.wait()
            writing.cancel()

    async def _catch_up(self, session: PlaySession) -> None:
        config = self._watch.config
        stored = await asyncio.to_thread(self._disk.load)
        if stored and stored[0].session == session.id and config.dvr_seconds:
            for each in stored:
                session.restore(each)
        await asyncio.to_thread(self._disk.keep_only, session.id if config.dvr_seconds else None)
        await session.until(
            lambda: bool(session.table.segments), config.stream.resume_window_seconds
        )
        segments = session.table.segments
        before = segments[-1].number if segments else 0
        copied = await self._copy(session, before)
        self._metrics.copied_segments.inc(copied)
        if copied:
            _log.info("segments_copied", session=session.id, count=copied)
        session.has_caught_up = True
        self._publish()

    async def _copy(self, session: PlaySession, before: int) -> int:
        """Copy older segments from the siblings; return how many.

        A segment that is still open there is waited for, because it would be missing between the
        copies and the own segments."""
        copied, is_complete = 0, False
        for _ in range(_COPY_TRIES):
            count, is_complete = await self._siblings.copy_to(
                session, self._watch.config.siblings, before
            )
            copied += count
            if is_complete:
                break
            await asyncio.sleep(1)
        return copied

    async def _end(self) -> None:
        session = self._session
        if session is None:
            return
        session.end()
        if self._watch.config.keep_last_screenshot:
            await self.screenshots.keep()
        _log.info("session_ended", session=session.id)
        self._drop_ended()
        self._session, self._ended = None, session
        self._ended_at = time.monotonic()
        self._lost_since = None
        self._edge = EdgeAnswer(False)

    def _drop_ended(self) -> None:
        if self._ended is not None:
            self._ended.is_gone.set()
            self._ended = None

    async def _keep_time(self) -> None:
        """End sessions whose hub does not come back, and drop ended ones, without end."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            if self._ended is not None and now - self._ended_at >= ENDED_SECONDS:
                self._drop_ended()
            wait = self._watch.config.stream.resume_window_seconds + HUB_LOST_SECONDS
            if self._lost_since is not None and now - self._lost_since >= wait:
                self._lost_since = None
                await self._end()
            self._publish()

    # ------------------------------------------------------------------ what viewers get

    async def _watch_edge(self) -> None:
        """Ask the edge for the session's playlist, often until it answers, without end."""
        check = EdgeCheck(self._http, self._token_for_check)
        while True:
            session, url = self._session, self._watch.config.edge_url
            if session is None or not url or not session.is_live or not self.ready:
                self._changed.clear()
                wait = RETRY_SECONDS / 2 if session is not None else CHECK_SECONDS
                await self._wait(wait)
                continue
            answer = await check.run(url, session.id)
            if session is self._session:
                self._edge = answer
                self._publish()
            await asyncio.sleep(CHECK_SECONDS if answer.answers else RETRY_SECONDS)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _token_for_check(self, expiry: int) -> str:
        config, keys = self._watch.config, self.keys()
        if not config.signed or not keys:
            return ""
        return sign(config.namespace, config.stream.name, keys[0], expiry)

    def _keyframe(self) -> Keyframe | None:
        session = self._session or self._ended
        if session is None:
            return None
        for segment in reversed(session.table.segments):
            for number, track in segment.tracks.items():
                found = session.table.format_of(number, segment.format_number)
                is_video = found is not None and found.kind is TrackKind.VIDEO
                if found is None or not is_video or not track.parts:
                    continue
                if (data := track.parts[0].data) is not None:
                    return Keyframe(init_segment(found) + data, session.is_live)
        return None

    # ------------------------------------------------------------------ status

    def _publish(self) -> None:
        session = self._session
        seen = (session, session is not None and session.is_live, self.ready, self._edge)
        if seen == self._published:
            return
        self._published = seen
        self._board.update(
            session=session.id if session else None,
            is_serving=session is not None and session.is_live and self.ready,
            edge_answers=self._edge.answers,
            edge_message=self._edge.message,
        )

    def _tick(self) -> None:
        session = self._session
        self._board.update(
            window_seconds=round(session.window_seconds, 1) if session else 0.0,
            keyframe_seconds=_keyframe_seconds(session) if session else 0.0,
        )


def _keyframe_seconds(session: PlaySession) -> float:
    """Return the longest segment of the last minute: a segment begins at the first keyframe after
    three quarters of its wanted duration."""
    segments = session.table.segments
    limit = session.table.end - _KEYFRAME_WINDOW_SECONDS * TICKS_PER_SECOND if segments else 0
    longest = max((s.duration for s in segments if s.start >= limit), default=0)
    return round(longest / TICKS_PER_SECOND, 1)
