"""The output side of a fake hub: a script of records, on a clock.

Units are sent in real time multiplied by ``speed``. ``from=``, ``since=`` and ``session=`` work as
in the contract. The test decides when the source stalls, returns and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from aiohttp import web

from sluice_media.contract import (
    TimelineAck,
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.hub.http.reader_output import UpgradedOutput
from sluice_media.net.upgrade import accept_upgrade
from sluice_media.timeline.framing import TIMELINE_PROTOCOL, Record, encode, track_infos

TOKEN = "hub-token"
SESSION_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class ReaderSide:
    """A log of records. Each reader gets the records from the position that it requests."""

    def __init__(self) -> None:
        self.stream_uid = "stream-1"
        self.timeline = "t1"
        self.token = TOKEN
        """The bearer token of readers."""
        self.log: list[Record] = []
        self.scripts: list[list[Record]] | None = None
        """If set, each connection gets the next script and not the log, and is then closed."""
        self.session = False
        self.delivering = False
        self.acks: list[TimelineAck] = []
        self.requests: list[dict[str, str]] = []
        self._format_at = 0

    async def has_reader(self) -> None:
        """Wait until a reader is connected."""
        while not self.requests:
            await asyncio.sleep(0.02)

    def begin(
        self,
        formats: Sequence[TrackFormat],
        timeline: str,
        session_started_at: datetime = SESSION_STARTED_AT,
    ) -> None:
        """Begin a session, or change its tracks."""
        self.timeline, self.session, self.delivering = timeline, True, True
        self._format_at = len(self.log)
        self.log.append(
            TimelineFormat(
                timeline=timeline,
                epoch=1,
                stream_uid=self.stream_uid,
                title="A title",
                session_started_at=session_started_at,
                tracks=track_infos(formats),
            )
        )

    def anchor(self, dts: int) -> None:
        self.log.append(TimelineAnchor(dts=dts, utc=datetime.now(UTC)))

    def unit(self, unit: AccessUnit) -> None:
        self.log.append(replace(unit, utc_us=time.time_ns() // 1000))

    async def play(
        self, units: Sequence[AccessUnit], *, speed: float = 1.0, shift: int = 0
    ) -> None:
        """Send units in real time; ``shift`` is added to their times."""
        began, first = time.monotonic(), units[0].dts
        self.delivering = True
        for unit in units:
            ahead = (unit.dts - first) / 90_000 / speed - (time.monotonic() - began)
            if ahead > 0.005:
                await asyncio.sleep(ahead)
            self.unit(replace(unit, dts=unit.dts + shift, pts=unit.pts + shift))

    def silent(self) -> None:
        self.delivering = False

    def gap(self, dts: int, wall_seconds: float) -> None:
        self.log.append(TimelineGap(dts=dts, wall_seconds=wall_seconds))

    def end(self) -> None:
        self.session = self.delivering = False
        self.log.append(TimelineEnd(reason="WindowPassed", finished_at=datetime.now(UTC)))

    async def serve_timeline(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        self.requests.append(dict(request.query))
        if self.scripts is not None:
            return await self._next_script(request)
        at, head = self._start(request)
        if at is None:
            raise web.HTTPNotFound
        upgraded = await accept_upgrade(request, TIMELINE_PROTOCOL, buffer_bytes=4_096)
        output = UpgradedOutput(upgraded)
        with contextlib.suppress(ConnectionError):
            await self._send(output, at, head)
        await output.close()
        return upgraded.response

    async def _next_script(self, request: web.Request) -> web.StreamResponse:
        upgraded = await accept_upgrade(request, TIMELINE_PROTOCOL, buffer_bytes=4_096)
        output = UpgradedOutput(upgraded)
        if not self.scripts:
            await asyncio.sleep(30)
        else:
            for record in self.scripts.pop(0):
                await output.write(encode(record))
        await output.close()
        return upgraded.response

    async def _send(self, output: UpgradedOutput, at: int, head: list[Record]) -> None:
        for record in head:
            await output.write(encode(record))
        heartbeat_at = 0.0
        sent: tuple[bool, bool] | None = None
        while True:
            batch = self.log[at : at + 200]
            ends = [n for n, r in enumerate(batch, 1) if isinstance(r, TimelineEnd)]
            batch = batch[: ends[0]] if ends else batch
            at += len(batch)
            if batch:
                await output.write(b"".join(map(encode, batch)))
            if ends:
                return
            state = (self.session, self.delivering)
            if time.monotonic() - heartbeat_at >= 0.5 or sent != state:
                heartbeat_at, sent = time.monotonic(), state
                heartbeat = TimelineHeartbeat(session=self.session, delivering=self.delivering)
                await output.write(encode(heartbeat))
            if not batch:
                await asyncio.sleep(0.02)

    def _start(self, request: web.Request) -> tuple[int | None, list[Record]]:
        """Return the start in the log and the first records; None if the requested session is not
        held."""
        wanted = request.query.get("from")
        if wanted is not None and wanted.rpartition(":")[0] == self.timeline:
            dts = int(wanted.rpartition(":")[2])
            at = self._format_at
            while at < len(self.log):
                record = self.log[at]
                if isinstance(record, AccessUnit) and record.dts > dts:
                    break
                at += 1
            while at and not isinstance(self.log[at - 1], AccessUnit) and at > self._format_at + 1:
                at -= 1
            return at, [self.log[self._format_at]] if at > self._format_at else []
        if (session := request.query.get("session")) is not None:
            moment = datetime.fromisoformat(session)
            for at, record in enumerate(self.log):
                if isinstance(record, TimelineFormat) and record.session_started_at == moment:
                    return at, []
            return None, []
        if not self.session:
            return len(self.log), []
        since = request.query.get("since")
        if since is None:
            return self._format_at, []
        since_us = datetime.fromisoformat(since).timestamp() * 1e6
        at = first = self._format_at + 1
        for place in range(first, len(self.log)):
            record = self.log[place]
            if isinstance(record, AccessUnit) and record.is_random_access:
                if record.utc_us > since_us and at != first:
                    break
                at = place
                if record.utc_us > since_us:
                    break
        return at, [self.log[self._format_at]]

    async def serve_ack(self, request: web.Request) -> web.Response:
        self.acks.append(TimelineAck.model_validate_json(await request.read()))
        return web.Response()
