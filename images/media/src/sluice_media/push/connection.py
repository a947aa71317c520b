"""One publish to one RTMP target: the socket around the sans-io client.

Bytes of the feeder go out as fast as the target takes them; what is still under way is measured
several times a second, because that is the only thing that tells a target that takes media from
one that does not (see :mod:`.flow`).
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from sluice_media.flv.mux import FlvMuxer
from sluice_media.flv.tags import FlvTag
from sluice_media.push.failures import Failure, FailureClass, from_os_error, from_status
from sluice_media.push.feeder import Feeder, QueuedUnit
from sluice_media.push.flow import FlowMeter
from sluice_media.push.machine import Accepted, Ended, Event, Flow, FlowMeasured
from sluice_media.push.target import Target
from sluice_media.rtmp.client import ClientSession
from sluice_media.rtmp.errors import RtmpError
from sluice_media.rtmp.events import Closed, PublishAccepted
from sluice_media.units import TrackFormat

__all__ = ["Connection", "resolve"]

CONNECT_SECONDS = 10.0
"""From the name's resolution to an established TCP connection."""
ACCEPT_SECONDS = 10.0
"""From there to an accepted publish."""
FLUSH_SECONDS = 5.0
"""For what is queued when we end the stream in order."""
MEASURE_SECONDS = 0.2
WRITE_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # A peer that vanished while we wait for the source is found after 25 s.
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
_INT = struct.Struct("i")

_log = structlog.get_logger(__name__)


async def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """The addresses of a target, in the order to try them. Raises OSError.

    The one place where a name becomes an address: what may be dialled is checked here.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))


class Connection:
    """Dials, publishes and feeds. Use once: :meth:`run` until it returns.

    ``report`` gets Accepted once, FlowMeasured at each change, and Ended last, always.
    ``sent`` is called with the number of bytes given to the socket.
    """

    def __init__(
        self,
        target: Target,
        feeder: Feeder,
        *,
        report: Callable[[Event], None],
        sent: Callable[[int], None],
    ) -> None:
        self._target = target
        self._feeder = feeder
        self._report = report
        self._sent = sent
        self._session = ClientSession(
            app=target.url.app, tc_url=target.url.tc_url, stream_key=target.url.key
        )
        self._muxer = FlvMuxer()
        self._formats: tuple[TrackFormat, ...] | None = None
        self._first_dts: int | None = None
        self._last_units: list[QueuedUnit] | None = None
        """Set when we end the stream in order: what is still to be sent."""
        self._accepted = asyncio.Event()
        self._more = asyncio.Event()
        self._ending = asyncio.Event()
        self._over = asyncio.Event()
        self._failure: Failure | None = None
        self._writer: asyncio.StreamWriter | None = None

    def wake(self) -> None:
        """There is more in the feeder."""
        self._more.set()

    def hang_up(self, *, clean: bool) -> None:
        """Ends the connection; ``clean``: after what is queued, with an unpublish."""
        if not (clean and self._accepted.is_set()):
            self._over.set()
        elif self._last_units is None:
            self._last_units = self._feeder.take(1 << 62)
            self._more.set()
            self._ending.set()

    @property
    def waiting_bytes(self) -> int:
        """What was handed to us and has not reached the target's kernel."""
        return self._feeder.queued_bytes + self._buffered_bytes()

    async def run(self) -> None:
        """Returns when the connection is over; the reason goes to ``report``."""
        # Now and not once it is accepted: the start of a session waits for a slow target.
        self._feeder.attach()
        try:
            await self._until_over(self._guarded(self._dial_and_publish))
        finally:
            self._feeder.detach()
            if self._writer is not None:
                self._writer.transport.abort()
        self._report(Ended(self._failure))

    # ------------------------------------------------------------------ tasks

    async def _until_over(self, *loops: Coroutine[Any, Any, None]) -> None:
        """Runs the loops until one of them sets ``_over``, or somebody else does."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            await self._over.wait()
            for task in tasks:
                task.cancel()

    async def _guarded(self, work: Callable[[], Awaitable[Failure | None]]) -> None:
        """Turns what happens in ``work`` into the connection's end."""
        try:
            failure = await work()
        except OSError as error:
            failure = from_os_error(error, self._target.place)
        except RtmpError as error:
            # The text of an RtmpError never quotes what came over the wire.
            failure = self._protocol_failure(str(error))
        if not self._over.is_set():
            self._failure = failure
            self._over.set()

    async def _dial_and_publish(self) -> Failure | None:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, self._writer = await self._connect()
        self._writer.write(self._session.take_output())
        await self._until_over(
            self._guarded(lambda: self._read(reader)),
            self._guarded(self._write),
            self._guarded(self._measure),
            self._guarded(self._limit),
        )
        return self._failure

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        problem: OSError = OSError("no address")
        for host, port in await resolve(self._target.url.host, self._target.url.port):
            try:
                reader, writer = await asyncio.open_connection(host, port)
            except OSError as error:
                problem = error
                continue
            writer.transport.set_write_buffer_limits(high=WRITE_BYTES)
            connected: socket.socket = writer.get_extra_info("socket")
            for level, option, value in _KEEPALIVE:
                connected.setsockopt(level, option, value)
            return reader, writer
        raise problem

    async def _read(self, reader: asyncio.StreamReader) -> Failure | None:
        while data := await reader.read(_READ_BYTES):
            for event in self._session.feed(data):
                if isinstance(event, PublishAccepted):
                    self._accepted.set()
                    self._report(Accepted())
                else:
                    failure = from_status(event.code, self._target.scrub(event.description))
                    if isinstance(event, Closed) and failure.class_ is FailureClass.BAD_NAME:
                        # It was accepted once, so this is an end and no refusal.
                        return Failure(FailureClass.CLOSED, failure.message)
                    return failure
            self._put(self._session.take_output())
        if self._accepted.is_set():
            return Failure(FailureClass.CLOSED, "the target closed the connection")
        return Failure(
            FailureClass.CLOSED,
            "the target closed the connection without accepting the stream; "
            "are the server address and the stream key right?",
        )

    async def _write(self) -> Failure | None:
        await self._accepted.wait()
        while self._last_units is None:
            units = self._feeder.take(WRITE_BYTES)
            if not units:
                self._more.clear()
                await self._more.wait()
                continue
            await self._send(units)
        await self._end_in_order(self._last_units)
        return None

    async def _end_in_order(self, units: list[QueuedUnit]) -> None:
        await self._send(units)
        self._put(self._session.close())
        while self._buffered_bytes():  # noqa: ASYNC110  the kernel tells when it is asked, and only then
            await asyncio.sleep(0.02)

    async def _measure(self) -> Failure | None:
        await self._accepted.wait()
        meter = FlowMeter()
        reported: Flow | None = None
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            if not self._feeder.handed_bytes:
                continue
            flow = meter.sample(
                time.monotonic(),
                handed_bytes=self._feeder.handed_bytes,
                waiting_bytes=self.waiting_bytes,
                bytes_per_second=self._feeder.bytes_per_second,
            )
            if flow is not reported and self._last_units is None:
                reported = flow
                self._report(FlowMeasured(flow))

    async def _limit(self) -> Failure | None:
        """Ends what takes too long: the way to an accepted publish, and the way out."""
        try:
            async with asyncio.timeout(ACCEPT_SECONDS):
                await self._accepted.wait()
        except TimeoutError:
            return Failure(
                FailureClass.TIMEOUT, "the target takes connections but does not answer as RTMP"
            )
        await self._ending.wait()
        await asyncio.sleep(FLUSH_SECONDS)
        _log.info("flush_timed_out", waiting_bytes=self._buffered_bytes())
        return None

    # ------------------------------------------------------------------ bytes

    async def _send(self, units: list[QueuedUnit]) -> None:
        self._put(b"".join(piece for item in units for piece in self._encode(item)))
        if self._writer is not None:
            await self._writer.drain()

    def _encode(self, item: QueuedUnit) -> list[bytes]:
        tags: list[FlvTag] = []
        if item.formats is not self._formats:
            self._formats = item.formats
            tags += self._muxer.start(item.formats)
        if self._first_dts is None:
            self._first_dts = item.unit.dts
        # Audio that belongs before the first picture would have to be stamped with its time.
        if item.unit.dts >= self._first_dts and (tag := self._muxer.unit(item.unit)) is not None:
            tags.append(tag)
        send = self._session.send_media
        return [send(tag.type_id, tag.timestamp_ms, tag.payload) for tag in tags]

    def _put(self, data: bytes) -> None:
        if data and self._writer is not None:
            self._writer.write(data)
            self._sent(len(data))

    def _buffered_bytes(self) -> int:
        """In the transport, and in the kernel (SIOCOUTQ): unsent, or not yet acknowledged."""
        if self._writer is None or self._writer.transport.is_closing():
            return 0
        connected: socket.socket = self._writer.get_extra_info("socket")
        answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        (in_kernel,) = _INT.unpack(answer)
        return int(in_kernel) + self._writer.transport.get_write_buffer_size()

    def _protocol_failure(self, why: str) -> Failure:
        if self._accepted.is_set():
            return Failure(FailureClass.RESET, f"the target broke the RTMP protocol: {why}")
        return Failure(FailureClass.UNSUPPORTED, f"the target does not speak RTMP: {why}")
