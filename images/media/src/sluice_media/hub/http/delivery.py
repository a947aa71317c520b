"""The delivery of a timeline to one reader: records from its place in the ring, and heartbeats.

In: a reader, and a call of :meth:`Delivery.push` whenever there may be something new. Out: bytes on
its connection. A reader that keeps up gets each unit in the call that brings it, because waking a
task for each unit costs more. The task of the request does the rest: it catches up with the past,
waits for a socket that is full, and ends the delivery.
"""

from __future__ import annotations

import asyncio

from sluice_media.contract import TimelineHeartbeat
from sluice_media.hub.clock import Clock, Moment
from sluice_media.hub.http.reader_output import ReaderOutput
from sluice_media.hub.hub import Hub
from sluice_media.hub.metrics import HubMetrics
from sluice_media.hub.output.readers import Reader
from sluice_media.hub.output.ts_view import TsView
from sluice_media.hub.spool.session import Place
from sluice_media.hub.spool.spooler import Spooler
from sluice_media.timeline.framing import encode

HEARTBEAT_SECONDS = 0.5
BATCH_BYTES = 256 << 10


class Delivery:
    """The records and heartbeats for one reader, and the task that writes them."""

    def __init__(
        self,
        hub: Hub,
        reader: Reader,
        output: ReaderOutput,
        *,
        view: TsView | None,
        clock: Clock,
        metrics: HubMetrics,
        spool: Spooler | None = None,
    ) -> None:
        self.reader = reader
        self._spool = spool
        self._hub = hub
        self._output = output
        self._view = view
        self._clock = clock
        self._metrics = metrics
        self._last_heartbeat = b""
        self._heartbeat_at = 0.0
        self._ended = False
        self._missed = False
        """There was something new while :meth:`run` was writing."""
        self._live: asyncio.Future[None] | None = None
        """:meth:`run` waits for it while :meth:`push` serves the reader."""

    async def run(self) -> None:
        """Write until the session ends. Raises OSError when the connection breaks."""
        loop = asyncio.get_running_loop()
        while True:
            self._missed = False
            if self.reader.place is not None:
                data = await self._from_disk(self.reader.place)
            else:
                data = self._next(self._clock())
            if data:
                await self._output.write(data)
            if self._ended:
                return
            if self.reader.place is None and self.reader.at_head and not self._missed:
                self._live = loop.create_future()
                try:
                    await self._live
                finally:
                    self._live = None
                await self._output.write(b"")  # waits for a full socket

    def push(self, now: Moment) -> None:
        """Send new records and due heartbeats, or wake :meth:`run` when the socket is full."""
        live = self._live
        if live is None or live.done():
            self._missed = True
            return
        if not self._output.takes_more:
            live.set_result(None)
            return
        try:
            if data := self._next(now):
                self._output.push(data)
        except Exception as error:
            # An error of one reader must not stop the call, which also serves the other readers.
            live.set_exception(error)
            return
        if self._ended or not self.reader.at_head:
            live.set_result(None)

    def cut(self) -> None:
        self._output.cut()

    async def _from_disk(self, place: Place) -> bytes:
        """Return the next records of a reader that is behind the ring; send heartbeats meanwhile.

        Raises ConnectionResetError when the disk does not have them.
        """
        reader = self.reader
        if self._spool is None or reader.timeline is None:
            raise ConnectionResetError("the records have left the ring, and there is no spool")
        reading = asyncio.ensure_future(self._spool.read(reader.timeline, place))
        try:
            while not (await asyncio.wait({reading}, timeout=HEARTBEAT_SECONDS))[0]:
                if heartbeat := self._out(_HEARTBEATS[True, True]):
                    await self._output.write(heartbeat)
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
        """Return the bytes to send now. Raises ConnectionResetError when they left the ring."""
        parts: list[bytes] = []
        self._collect(parts, now)
        heartbeat = self._heartbeat()
        if not self._ended and (
            heartbeat is not self._last_heartbeat
            or now.monotonic - self._heartbeat_at >= HEARTBEAT_SECONDS * 0.9
        ):
            parts.append(heartbeat)
            self._last_heartbeat, self._heartbeat_at = heartbeat, now.monotonic
        if not parts:
            return b""
        return self._out(b"".join(parts) if len(parts) > 1 else parts[0])

    def _collect(self, parts: list[bytes], now: Moment) -> None:
        """Append the next records, if there are any."""
        reader = self.reader
        timeline = reader.timeline
        if timeline is None:
            timeline = self._hub.output.find(reader.request)
            if timeline is None:
                if reader.request.session_us is not None:
                    raise ConnectionResetError("the hub has deleted the session")
                reader.wait()
                return
            parts.append(reader.begin(timeline))
        if reader.place is not None:
            return
        try:
            data, seq = timeline.ring.read(reader.seq, BATCH_BYTES)
        except IndexError:
            raise ConnectionResetError("the reader's next record has left the ring") from None
        if data:
            parts.append(data)
            reader.advanced(seq, now)
        self._ended = reader.has_ended

    def _heartbeat(self) -> bytes:
        """Return the heartbeat for the place of the reader, which may be in the past."""
        if not self.reader.at_head:
            return _HEARTBEATS[True, True]
        return _HEARTBEATS[self._hub.output.timeline is not None, self._hub.delivering]


_HEARTBEATS = {
    (session, delivering): encode(TimelineHeartbeat(session=session, delivering=delivering))
    for session in (True, False)
    for delivering in (True, False)
}
