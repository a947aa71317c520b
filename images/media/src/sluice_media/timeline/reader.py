"""The client of the timeline: one endless sequence of records, whatever happens to the hub.

A reader asks the hub with ``from=`` its last position whenever a connection broke or went quiet,
and drops what it already has, so that the sequence it yields has nothing twice. It never gives up
and never decides that a session is over: only ``end`` does that. What it adds to the hub's own
records is :class:`HubLost` and :class:`HubBack`, so that its user's clock can run.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Literal

import aiohttp
import structlog
from pydantic import SecretStr

from sluice_media.contract import TimelineAck, TimelineEnd, TimelineFormat
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.timeline.drained import ClosedError, RefusedError, connect
from sluice_media.timeline.framing import FramingError, Record, TimelineDecoder

HEARTBEAT_TIMEOUT_SECONDS = 2.0
"""The hub sends a heartbeat every 0.5 s; four missing ones mean that it is dead or frozen."""
SAME_UNIT_TICKS = 225
"""2.5 ms: another hub's demuxer may place the same audio frame so far off its first place."""
TRACK_SKEW_TICKS = 2 * TICKS_PER_SECOND
"""Tracks of one stream are never so far apart while both go on."""
_FULL_READ_BYTES = 128 << 10
_RECEIVE_BUFFER_BYTES = 1 << 20
_CONNECT_TIMEOUT_SECONDS = 3.0
_RETRY_MIN_SECONDS = 0.1
_RETRY_MAX_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Position:
    """A place on a timeline: what follows it is wanted, it is not."""

    timeline: str
    dts_by_track: dict[int, int]

    @property
    def dts(self) -> int:
        """The DTS up to which *every* track is held. One that has ended long ago does not count:
        asking from there would ask for what the others hold."""
        newest = max(self.dts_by_track.values())
        return min(dts for dts in self.dts_by_track.values() if newest - dts < TRACK_SKEW_TICKS)


@dataclass(slots=True, frozen=True)
class HubLost:
    """The connection broke, was refused or went quiet; the reader goes on trying."""

    monotonic: float
    why: str
    session_unknown: bool = False
    """The hub answered that it holds nothing of the session that was asked for."""


@dataclass(slots=True, frozen=True)
class HubBack:
    """Connected again (or for the first time)."""

    monotonic: float


class _Pause:
    """Lets arrive in the kernel what comes meanwhile. Its buffer takes more than
    _FULL_READ_BYTES, so a reader that is behind gets full reads, and pauses no more."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)

    async def __call__(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.pause_reading()
        try:
            await asyncio.sleep(self._seconds)
        finally:
            if not self._transport.is_closing():
                self._transport.resume_reading()


class TimelineReader:
    """Reads one stream's timeline as one reader.

    ``reader`` names it towards the hub and stays the same over restarts of a recorder, so that its
    acknowledgements belong together. ``since`` asks for content from the last random access point
    at or before that moment; ``session_started_at`` for one session from its first random access
    point on; ``start`` for what follows a position. ``url`` and ``token`` are asked at each
    connect, since both can change. With ``gather_seconds`` what comes within so long is taken at
    once: later by so much, for a fraction of the wake-ups. With ``beat`` the connection is emptied
    each time that returns, and nothing else wakes the process.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: Callable[[], str],
        token: Callable[[], SecretStr | None],
        reader: str,
        role: Literal["recorder", "pusher"],
        since: datetime | None = None,
        session_started_at: datetime | None = None,
        start: Position | None = None,
        gather_seconds: float = 0.0,
        beat: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._reader = reader
        self._role = role
        self._since = since
        self._session_started_at = session_started_at
        self._gather_seconds = gather_seconds
        self._connection = self._streamed if beat is None else partial(self._drained, beat)
        self._timeline = start.timeline if start else None
        self._taken: dict[int, int] = dict(start.dts_by_track) if start else {}
        self._taken_us: int | None = None
        """When the newest of it came in at the hub."""
        self._held_before: dict[int, int] = {}
        """What was held when the present connection began."""

    @property
    def position(self) -> Position | None:
        """What was yielded last; None before the first unit."""
        if self._timeline is None or not self._taken:
            return None
        return Position(self._timeline, dict(self._taken))

    async def records(self) -> AsyncIterator[Record | HubLost | HubBack]:
        """Endless. Cancel the task that iterates to stop reading."""
        async for batch in self.batches():
            for record in batch:
                yield record

    async def batches(self) -> AsyncIterator[list[Record | HubLost | HubBack]]:
        """The same in lists of what came at once, none of them empty."""
        lost = False
        retry_seconds = _RETRY_MIN_SECONDS
        while True:
            started = time.monotonic()
            try:
                async for batch in self._connection():
                    if batch is None:
                        lost, retry_seconds = False, _RETRY_MIN_SECONDS
                        yield [HubBack(time.monotonic())]
                        continue
                    fresh: list[Record | HubLost | HubBack] = [r for r in batch if self._is_new(r)]
                    if fresh:
                        yield fresh
                why = "the hub closed the connection"
            except (aiohttp.ClientResponseError, RefusedError) as refused:
                why = f"the hub answered {refused.status}"
                if refused.status == HTTPStatus.NOT_FOUND and self._asks_for_session:
                    lost = True
                    yield [HubLost(time.monotonic(), why, session_unknown=True)]
            except TimeoutError:
                why = "the hub went quiet"
            except (ClosedError, FramingError) as error:
                why = str(error)
            except (aiohttp.ClientError, OSError) as error:
                why = f"{type(error).__name__}"
            if not lost:
                lost = True
                _log.info("hub_lost", why=why)
                yield [HubLost(time.monotonic(), why)]
            if time.monotonic() - started < 5:
                retry_seconds = min(retry_seconds * 2, _RETRY_MAX_SECONDS)
            await asyncio.sleep(retry_seconds * random.uniform(0.5, 1.0))  # noqa: S311

    async def acknowledge(self, timeline: str, dts: int) -> bool:
        """Tells the hub that everything up to ``dts`` of ``timeline``, which may have ended, is
        durable. False: it did not hear it; the next acknowledgement covers this one too."""
        body = TimelineAck(reader=self._reader, timeline=timeline, dts=dts)
        try:
            async with self._session.post(
                f"{self._url()}/v1/timeline/ack",
                data=body.to_json(),
                headers=self._headers(),
                timeout=aiohttp.ClientTimeout(total=_CONNECT_TIMEOUT_SECONDS),
            ) as response:
                return response.status < 300
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def _drained(
        self, beat: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[list[Record] | None]:
        """One connection's records; first None, when it was accepted."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            connection = await connect(self._url(), "/v1/timeline", self._query(), self._headers())
        with closing(connection):
            self._held_before = dict(self._taken)
            yield None
            heard_at = time.monotonic()
            while True:
                batch: list[Record] = []
                try:
                    more = connection.take(batch)
                except (OSError, FramingError):
                    yield batch  # what came before it is whole
                    raise
                if batch:
                    yield batch
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at >= HEARTBEAT_TIMEOUT_SECONDS:
                    raise TimeoutError
                await (asyncio.sleep(0) if more else beat())

    async def _streamed(self) -> AsyncIterator[list[Record] | None]:
        """The same, with each arrival as soon as it comes."""
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=_CONNECT_TIMEOUT_SECONDS,
            sock_read=HEARTBEAT_TIMEOUT_SECONDS,
        )
        async with self._session.get(
            f"{self._url()}/v1/timeline",
            params=self._query(),
            headers=self._headers(),
            timeout=timeout,
        ) as response:
            response.raise_for_status()
            self._held_before = dict(self._taken)
            yield None
            decoder = TimelineDecoder()
            transport = response.connection.transport if response.connection else None
            pause = None
            if self._gather_seconds and transport is not None:
                pause = _Pause(transport, self._gather_seconds)
            async for data in response.content.iter_any():
                batch: list[Record] = []
                try:
                    batch.extend(decoder.feed(data))
                except FramingError:
                    yield batch  # what came before it is whole
                    raise
                yield batch
                if pause is not None and len(data) < _FULL_READ_BYTES:
                    await pause()

    def _query(self) -> dict[str, str]:
        query = {"reader": self._reader, "role": self._role}
        position = self.position
        if position is not None:
            query["from"] = f"{position.timeline}:{position.dts}"
            if self._taken_us is not None:
                query["held_until"] = str(self._taken_us)
        elif self._session_started_at is not None:
            query["session"] = self._session_started_at.isoformat()
        elif self._since is not None:
            query["since"] = self._since.isoformat()
        return query

    @property
    def _asks_for_session(self) -> bool:
        return self._session_started_at is not None and self.position is None

    def _headers(self) -> dict[str, str]:
        token = self._token()
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    def _is_new(self, record: Record) -> bool:
        if isinstance(record, AccessUnit):
            if record.dts <= self._taken.get(record.track, record.dts - 1):
                return False
            held = self._held_before.get(record.track)
            if held is not None and record.dts <= held + SAME_UNIT_TICKS:
                return False
            self._taken[record.track] = record.dts
            self._taken_us = record.utc_us
        elif isinstance(record, TimelineFormat) and record.timeline != self._timeline:
            self._timeline = record.timeline
            self._forget()
        elif isinstance(record, TimelineEnd):
            # What comes next is another session: asking from here would find nothing.
            self._timeline = None
            self._forget()
            self._since = None
        return True

    def _forget(self) -> None:
        self._taken.clear()
        self._taken_us = None
        self._held_before.clear()
