"""Channel over RTMP or RTMPS: the socket around the sans-io client."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Sequence

from sluice_media.contract import TargetErrorClass
from sluice_media.formats.units import TrackFormat
from sluice_media.net.address_guard import DialGuard
from sluice_media.net.trust import client_context
from sluice_media.net.writing import write
from sluice_media.protocols.rtmp.client import ClientSession
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.events import (
    ClientEvent,
    Closed,
    CodecsNotAnnounced,
    PublishAccepted,
)
from sluice_media.protocols.rtmp.url import RtmpUrl
from sluice_media.push.channel import Backlog, CodecRefused
from sluice_media.push.failures import Failure, TargetFailure, from_status
from sluice_media.push.feeder import QueuedUnit
from sluice_media.push.flv_writer import FlvWriter, needed_fourccs
from sluice_media.push.target import Target
from sluice_media.push.tracks import (
    AudioPolicy,
    TrackPlan,
    VideoCodecs,
    outgoing,
    refused_codec,
)

WRITE_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_DRAIN_POLL_SECONDS = 0.02
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # A peer that vanished while the source is interrupted is detected after 25 s.
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # Media for a slow target waits in the feeder, which can drop it, and not in a send buffer. The
    # send buffer grows to 4 MiB, which is half a minute at 1 Mb/s.
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 128 << 10),
)
_INT = struct.Struct("i")
_TCP_INFO_BYTES = 232
_BYTES_ACKED = struct.Struct("=120xQ")
_SEND_WINDOW = struct.Struct("=228xI")
"""``tcpi_bytes_acked`` (Linux 4.1) and ``tcpi_snd_wnd`` (5.4) in ``struct tcp_info``."""


class RtmpChannel:
    """A :class:`sluice_media.push.channel.Channel`. ``formats`` are the stream's present tracks."""

    paced = False

    def __init__(
        self,
        target: Target,
        url: RtmpUrl,
        guard: DialGuard,
        *,
        audio: AudioPolicy,
        formats: Sequence[TrackFormat],
        video_codecs: VideoCodecs = "Assume",
    ) -> None:
        self._target = target
        self._url = url
        self._guard = guard
        needs = needed_fourccs(outgoing(formats, audio)) if video_codecs == "Announced" else ()
        self._session = ClientSession(
            app=url.app,
            tc_url=url.tc_url,
            stream_key=url.key,
            needs=needs,
        )
        self._flv = FlvWriter(self._session, TrackPlan(audio), video_codecs)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._end: Failure | None = None
        """Cause for which the target ended the publish. The sending task checks it, because it may
        run once more between the target's last message and the end of the connection."""

    async def open(self) -> None:
        tls = client_context(self._target.ca_pem) if self._url.tls else None
        reader, writer = self._streams = await self._guard.dial(self._url.host, self._url.port, tls)
        writer.transport.set_write_buffer_limits(high=WRITE_BYTES)
        connected: socket.socket = writer.get_extra_info("socket")
        for level, option, value in _SOCKET_OPTIONS:
            connected.setsockopt(level, option, value)
        write(writer, self._session.take_output())
        while not self._session.accepted:
            if not (data := await reader.read(_READ_BYTES)):
                raise TargetFailure(
                    Failure(
                        TargetErrorClass.CLOSED,
                        "the target closed the connection without accepting the stream; "
                        "check the server address and the stream key",
                    )
                )
            try:
                self._take(data)
            except RtmpError as error:
                # The text of an RtmpError never quotes bytes of the peer.
                raise TargetFailure(
                    Failure(
                        TargetErrorClass.UNSUPPORTED, f"the target does not speak RTMP: {error}"
                    )
                ) from None

    async def watch(self) -> Failure:
        reader, _ = self._open_streams()
        try:
            while data := await reader.read(_READ_BYTES):
                self._take(data)
        except RtmpError as error:
            return Failure(TargetErrorClass.RESET, f"the target broke the RTMP protocol: {error}")
        except TargetFailure as ended:
            return ended.failure
        return Failure(TargetErrorClass.CLOSED, "the target closed the connection")

    async def send(self, items: Sequence[QueuedUnit]) -> int:
        if self._end is not None:
            raise TargetFailure(self._end)
        data = self._flv.encode(items)
        await self._write(data).drain()
        return len(data)

    async def finish(self, items: Sequence[QueuedUnit], *, goodbye: bool) -> int:
        sent = await self.send(items)
        last_words = self._session.close() if goodbye else b""
        self._write(last_words)
        while self.backlog().waiting_bytes:  # noqa: ASYNC110  the kernel has no event for it
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        return sent + len(last_words)

    def keep_alive(self) -> int:
        """Send an Acknowledgement: it is legal at any time and needs no answer. (Only servers may
        send a ping; some servers drop a client that sends one.)"""
        data = self._session.acknowledge()
        self._write(data)
        return len(data)

    def backlog(self) -> Backlog:
        """Return the backlog of the transport and of the kernel's send queue (SIOCOUTQ). Its reach
        is acknowledged plus offered bytes: it grows only while the target's application reads."""
        if self._streams is None or self._streams[1].transport.is_closing():
            return Backlog(0)
        writer = self._streams[1]
        connected: socket.socket = writer.get_extra_info("socket")
        answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        (in_kernel,) = _INT.unpack(answer)
        reach = None
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        if len(info) >= _TCP_INFO_BYTES:
            reach = _BYTES_ACKED.unpack_from(info)[0] + _SEND_WINDOW.unpack_from(info)[0]
        return Backlog(int(in_kernel) + writer.transport.get_write_buffer_size(), reach)

    def abort(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()

    def _open_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise RuntimeError("the channel is not open")
        return self._streams

    def _take(self, data: bytes) -> None:
        """Process bytes of the target. Raises TargetFailure, CodecRefused and RtmpError."""
        was_accepted = self._session.accepted
        for event in self._session.feed(data):
            if not isinstance(event, PublishAccepted):
                self._refused(event, was_accepted)
        if output := self._session.take_output():
            self._write(output)

    def _write(self, data: bytes) -> asyncio.StreamWriter:
        """Write, and return the writer. Raises ConnectionResetError when the connection is gone."""
        _, writer = self._open_streams()
        write(writer, data)
        return writer

    def _refused(self, event: ClientEvent, was_accepted: bool) -> None:
        if isinstance(event, CodecsNotAnnounced):
            raise CodecRefused(refused_codec(event.fourccs[0]))
        if isinstance(event, PublishAccepted):
            return
        failure = from_status(event.code, self._target.scrub(event.description))
        if (
            isinstance(event, Closed)
            and was_accepted
            and failure.class_ is TargetErrorClass.BAD_NAME
        ):
            # The target had accepted the publish, so this ends it and does not refuse it.
            failure = Failure(TargetErrorClass.CLOSED, failure.message)
        self._end = failure
        raise TargetFailure(failure)
