"""One reader's reply on its way: records from its place in the ring, heartbeats in between.

In: a reader, and a call of :meth:`Delivery.push` whenever something may be new. Out: bytes on its
connection. A reader that keeps up is written to right where its units come in, without a task that
would have to be woken for every one of them; the task of the request does the rest: it catches up
with the past, waits for a socket that is full, and ends the reply.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from sluice_media.contract import TimelineHeartbeat
from sluice_media.hub.clock import Clock, Moment
from sluice_media.hub.hub import Hub
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.output.readers import Reader
from sluice_media.hub.output.ts_view import TsView
from sluice_media.hub.spool.session import Place
from sluice_media.hub.spool.spooler import Spooler
from sluice_media.net.chunked_bodies import chunk, takes_more
from sluice_media.timeline.framing import encode

HEARTBEAT_SECONDS = 0.5
BATCH_BYTES = 256 << 10


class Delivery:
    """``response`` has been prepared, and ``transport`` is what it goes over."""

    def __init__(
        self,
        hub: Hub,
        reader: Reader,
        request: web.Request,
        response: web.StreamResponse,
        transport: asyncio.Transport,
        *,
        view: TsView | None,
        clock: Clock,
        metrics: HubMetrics,
        spool: Spooler | None = None,
    ) -> None:
        self.reader = reader
        self._spool = spool
        self._hub = hub
        self._request = request
        self._response = response
        self._transport = transport
        self._chunked = response.headers.get("Transfer-Encoding") == "chunked"
        """Not so for HTTP/1.0 and HEAD."""
        self._view = view
        self._clock = clock
        self._metrics = metrics
        self._said = b""
        self._said_at = 0.0
        self._ended = False
        self._missed = False
        """Something was new while :meth:`run` was writing."""
        self._live: asyncio.Future[None] | None = None
        """What :meth:`run` waits for while :meth:`push` serves the reader."""

    async def run(self) -> None:
        """Writes until the session ends or the connection breaks."""
        loop = asyncio.get_running_loop()
        while True:
            self._missed = False
            if self.reader.place is not None:
                data = await self._from_disk(self.reader.place)
            else:
                data = self._next(self._clock())
            if data:
                await self._response.write(data)
            if self._ended:
                return
            if self.reader.place is None and self.reader.at_head and not self._missed:
                self._live = loop.create_future()
                try:
                    await self._live
                finally:
                    self._live = None
                await self._request.writer.drain()

    def push(self, now: Moment) -> None:
        """Sends what is new; leaves to :meth:`run` what a live connection does not take at once."""
        live = self._live
        if live is None or live.done():
            self._missed = True
            return
        if not self._chunked or not takes_more(self._transport):
            live.set_result(None)
            return
        try:
            if data := self._next(now):
                self._transport.writelines(chunk((data,)))
        except Exception as error:
            # One reader's failure is its own: the others are served in the same call.
            live.set_exception(error)
            return
        if self._ended or not self.reader.at_head:
            live.set_result(None)

    def cut(self) -> None:
        self._transport.abort()

    async def _from_disk(self, place: Place) -> bytes:
        """The next records of a reader that the ring has left behind; heartbeats while the disk
        takes its time. Raises ConnectionResetError when it does not give them."""
        reader = self.reader
        if self._spool is None or reader.timeline is None:
            raise ConnectionResetError("there is no spool")
        reading = asyncio.ensure_future(self._spool.read(reader.timeline, place))
        try:
            while not (await asyncio.wait({reading}, timeout=HEARTBEAT_SECONDS))[0]:
                if beat := self._out(_BEATS[True, True]):
                    await self._response.write(beat)
        finally:
            reading.cancel()
        data, reader.place, seq = reading.result()
        reader.advanced(seq, self._clock())
        self._ended = reader.has_ended
        return self._out(data)

    def _out(self, data: bytes) -> bytes:
        if self._view is not None:
            data = self._view.feed(data)
        self._metrics.bytes_out += len(data)
        return data

    def _next(self, now: Moment) -> bytes:
        """What is to be sent now. Raises ConnectionResetError when that has left the ring."""
        parts: list[bytes] = []
        self._collect(parts, now)
        beat = self._heartbeat()
        if not self._ended and (
            beat is not self._said or now.monotonic - self._said_at >= HEARTBEAT_SECONDS * 0.9
        ):
            parts.append(beat)
            self._said, self._said_at = beat, now.monotonic
        if not parts:
            return b""
        return self._out(b"".join(parts) if len(parts) > 1 else parts[0])

    def _collect(self, parts: list[bytes], now: Moment) -> None:
        """The next records, if there are any."""
        reader = self.reader
        timeline = reader.timeline
        if timeline is None:
            timeline = self._hub.output.find(reader.request)
            if timeline is None:
                if reader.request.session_us is not None:
                    raise ConnectionResetError("the session is not there any more")
                reader.wait()
                return
            parts.append(reader.begin(timeline))
        if reader.place is not None:
            return
        try:
            data, seq = timeline.ring.read(reader.seq, BATCH_BYTES)
        except IndexError:
            raise ConnectionResetError("the reader has fallen out of the ring") from None
        if data:
            parts.append(data)
            reader.advanced(seq, now)
        self._ended = reader.has_ended

    def _heartbeat(self) -> bytes:
        """A reader that is still behind hears of what it reads, not of what comes later."""
        if not self.reader.at_head:
            return _BEATS[True, True]
        return _BEATS[self._hub.output.timeline is not None, self._hub.delivering]


_BEATS = {
    (session, delivering): encode(TimelineHeartbeat(session=session, delivering=delivering))
    for session in (True, False)
    for delivering in (True, False)
}
