"""Client of the timeline: one endless sequence of records, over losses of the hub.

After a connection broke or became silent, the reader asks the hub with ``from=`` for its last
position and drops units that it already has. Its sequence therefore contains nothing twice. The
reader never gives up and never ends a session: only ``end`` does. It adds :class:`HubLost` and
:class:`HubBack` to the hub's records, so that its user can measure how long the hub is away.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal

import aiohttp
import structlog
from pydantic import SecretStr

from sluice_media.contract import TimelineAck, TimelineEnd, TimelineFormat, TimelineSegment
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.net.upgrade import UpgradeRefused
from sluice_media.timeline.connection import ClosedError, TimelineConnection, connect
from sluice_media.timeline.framing import FramingError, Record

HEARTBEAT_TIMEOUT_SECONDS = 2.0
"""Silence after which the hub counts as dead or frozen: four missing heartbeats of 0.5 s."""
SAME_UNIT_TICKS = 225
"""2.5 ms: maximum difference of one audio frame's time between the demuxers of two hubs."""
TRACK_SKEW_TICKS = 2 * TICKS_PER_SECOND
"""Maximum distance of two tracks that both continue. A track further behind has ended."""
_FULL_READ_BYTES = 128 << 10
_CONNECT_TIMEOUT_SECONDS = 3.0
_RETRY_MIN_SECONDS = 0.1
_RETRY_MAX_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Position:
    """Last DTS of each track that a reader has; it requests the units after them."""

    timeline: str
    dts_by_track: dict[int, int]

    @property
    def dts(self) -> int:
        """DTS up to which the reader has *every* track.

        A track that ended long ago does not count. From its last DTS, the hub would send media of
        the other tracks again.
        """
        newest = max(self.dts_by_track.values())
        return min(dts for dts in self.dts_by_track.values() if newest - dts < TRACK_SKEW_TICKS)


@dataclass(slots=True, frozen=True)
class HubLost:
    """The connection broke, was refused or became silent. The reader keeps trying."""

    monotonic: float
    why: str
    session_unknown: bool = False
    """True when the hub answered that it holds nothing of the requested session."""


@dataclass(slots=True, frozen=True)
class HubBack:
    """The reader is connected, again or for the first time."""

    monotonic: float


class TimelineReader:
    """Reader of one stream's timeline.

    ``url`` and ``token`` are called at each connect, because both can change. ``reader`` is its
    name at the hub. A recorder keeps the name over its restarts, so that the hub relates its
    acknowledgements.

    At most one of three options selects the start. ``since``: the last random access point at or
    before that time. ``session_started_at``: the first random access point of that session, and no
    other session. ``start``: the units after a position.

    ``gather_seconds`` is the time for which arrivals are collected, to save wake-ups. With ``tick``
    the connection is emptied each time that ``tick`` returns, and arrivals do not wake the process.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: Callable[[], str],
        token: Callable[[], SecretStr | None],
        reader: str,
        role: Literal["recorder", "pusher", "player"],
        since: datetime | None = None,
        session_started_at: datetime | None = None,
        start: Position | None = None,
        gather_seconds: float = 0.0,
        tick: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._reader = reader
        self._role = role
        self._since = since
        self._session_started_at = session_started_at
        self._gather_seconds = gather_seconds
        self._tick = tick
        self._timeline = start.timeline if start else None
        self._taken: dict[int, int] = dict(start.dts_by_track) if start else {}
        self._segment: TimelineSegment | None = None
        """The newest segment of which a unit was taken."""
        self._begun: TimelineSegment | None = None
        """The segment of the last record, until a unit of it is taken."""
        self._taken_us: int | None = None
        """Time at which the newest taken unit reached Sluice, in microseconds."""
        self._held_before: dict[int, int] = {}
        """Last DTS of each track when the present connection began."""

    @property
    def position(self) -> Position | None:
        """Position of the last yielded units; None before the first unit."""
        if self._timeline is None or not self._taken:
            return None
        return Position(self._timeline, dict(self._taken))

    async def records(self) -> AsyncIterator[Record | HubLost | HubBack]:
        """Yield records without end. To stop reading, cancel the task that iterates."""
        async for batch in self.batches():
            for record in batch:
                yield record

    async def batches(self) -> AsyncIterator[list[Record | HubLost | HubBack]]:
        """Yield the records without end, in non-empty lists of records that arrived together."""
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
            except UpgradeRefused as refused:
                why = f"the hub answered {refused.status}"
                if refused.status == HTTPStatus.NOT_FOUND and self._asks_for_session:
                    lost = True
                    yield [HubLost(time.monotonic(), why, session_unknown=True)]
            except TimeoutError:
                why = "the hub sent nothing for 2 s"
            except (ClosedError, FramingError) as error:
                why = str(error)
            except OSError as error:
                why = f"{type(error).__name__}"
            if not lost:
                lost = True
                _log.info("hub_lost", why=why)
                yield [HubLost(time.monotonic(), why)]
            if time.monotonic() - started < 5:
                retry_seconds = min(retry_seconds * 2, _RETRY_MAX_SECONDS)
            await asyncio.sleep(retry_seconds * random.uniform(0.5, 1.0))  # noqa: S311

    async def acknowledge(self, timeline: str, dts: int) -> bool:
        """Acknowledge to the hub that everything up to ``dts`` of ``timeline`` is durable.

        The timeline may have ended. Returns whether the hub has taken the acknowledgement; if not,
        the next one covers it.
        """
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

    async def _connection(self) -> AsyncIterator[list[Record] | None]:
        """Yield None when the hub has accepted, then the records of one connection."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            connection = await connect(self._url(), self._query(), self._headers())
        with closing(connection):
            self._held_before = dict(self._taken)
            yield None
            tick = self._tick
            batches = self._streamed(connection) if tick is None else _ticked(connection, tick)
            async for batch in batches:
                yield batch

    async def _streamed(self, connection: TimelineConnection) -> AsyncIterator[list[Record]]:
        """Yield the records as they arrive, collected for ``gather_seconds`` if that is set."""
        if self._gather_seconds:
            connection.collect_in_kernel()
        while True:
            batch: list[Record] = []
            try:
                async with asyncio.timeout(HEARTBEAT_TIMEOUT_SECONDS):
                    count = await connection.receive(batch)
            except (OSError, FramingError):
                yield batch  # the records before the error are complete
                raise
            yield batch
            # A reader that is behind gets full reads, and then does not pause.
            if self._gather_seconds and count < _FULL_READ_BYTES:
                await asyncio.sleep(self._gather_seconds)

    def _query(self) -> dict[str, str]:
        query = {"reader": self._reader, "role": self._role}
        position = self.position
        if position is not None:
            query["from"] = f"{position.timeline}:{position.dts}"
            if self._taken_us is not None:
                query["held_until"] = str(self._taken_us)
            if self._segment is not None:
                query["segment"] = f"{self._segment.number}:{self._segment.format_number}"
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
            if self._begun is not None:
                self._segment, self._begun = self._begun, None
        elif isinstance(record, TimelineSegment):
            if self._segment is not None and record.number <= self._segment.number:
                return False
            self._begun = record
        elif isinstance(record, TimelineFormat) and record.timeline != self._timeline:
            self._timeline = record.timeline
            self._forget()
        elif isinstance(record, TimelineEnd):
            # Another session follows. The hub has nothing after this position.
            self._timeline = None
            self._forget()
            self._since = None
        return True

    def _forget(self) -> None:
        self._taken.clear()
        self._taken_us = None
        self._held_before.clear()
        self._segment = self._begun = None


async def _ticked(
    connection: TimelineConnection, tick: Callable[[], Awaitable[None]]
) -> AsyncIterator[list[Record]]:
    """Yield the records that arrived before each tick."""
    received_at = time.monotonic()
    while True:
        batch: list[Record] = []
        try:
            more = connection.take(batch)
        except (OSError, FramingError):
            yield batch  # the records before the error are complete
            raise
        if batch:
            yield batch
            received_at = time.monotonic()
        elif time.monotonic() - received_at >= HEARTBEAT_TIMEOUT_SECONDS:
            raise TimeoutError
        await (asyncio.sleep(0) if more else tick())
