"""The only module that uses private parts of aiortc and aioice.

Their public interfaces do not offer: encoded frames without decoding, RTP timestamps as they were
sent, sender reports, the number of sources that send, a UDP port that several connections share,
and a limit for the datagrams that wait in it.

Everything is replaced on one receiver or one connection, never on a class or a module. Both
libraries are pinned. ``tests/unit/whip/test_aiortc_internals.py`` checks each private part and
fails when a new version changes one.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Sequence
from typing import Any

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtcpSrPacket

from sluice_media.whip.media_port import MediaPort

_MAX_WAITING_DATAGRAMS = 2_000
"""Datagrams that wait until DTLS reads them: one second of 20 Mb/s."""

OnFrame = Callable[[bytes, int], None]
"""Function (encoded frame, its RTP timestamp modulo 2^32)."""
OnReport = Callable[[int, int], None]
"""Function (NTP time of 64 bits, RTP timestamp of the same moment)."""
_DecoderTask = tuple[object, JitterFrame] | None
"""(codec, encoded frame), or None at the end of the stream."""


class _EncodedFrames(queue.Queue[_DecoderTask]):
    """Replacement of a decoder thread's queue: it hands the frames to a callback instead.

    The thread receives only the end of the stream. So it makes no decoder, and hostile bytes are
    decoded in the transcoder's process alone. The callbacks run in a later turn of the event loop:
    their exceptions must not end the receiver's task.
    """

    def __init__(self, on_frame: OnFrame, on_end: Callable[[], None]) -> None:
        super().__init__()
        self._on_frame = on_frame
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()

    def put(self, item: _DecoderTask, block: bool = True, timeout: float | None = None) -> None:
        """Hand a frame to the callback; pass the end on to the thread too."""
        if item is None:
            super().put(None, block, timeout)
            self._loop.call_soon(self._on_end)
        else:
            frame = item[1]
            self._loop.call_soon(self._on_frame, frame.data, frame.timestamp)


class _RawTimestamps:
    """Replacement of the receiver's timestamp mapper.

    The mapper's times begin at 0 and do not fit the sender reports.
    """

    def map(self, timestamp: int) -> int:
        """Return the timestamp unchanged."""
        return timestamp


def pass_frames(
    receiver: RTCRtpReceiver,
    on_frame: OnFrame,
    on_report: OnReport,
    on_loss: Callable[[], None],
    on_end: Callable[[], None],
) -> None:
    """Make a receiver hand on its encoded frames. Call this before it receives.

    ``on_loss`` is called when pictures are lost for good and the sender was asked for a keyframe.
    ``on_end`` is called when the sender sent a goodbye (RTCP BYE) or the connection was closed. All
    callbacks run in the event loop.
    """
    inside: Any = receiver
    _replace(inside, "_RTCRtpReceiver__decoder_queue", _EncodedFrames(on_frame, on_end))
    _replace(inside, "_RTCRtpReceiver__timestamp_mapper", _RawTimestamps())
    handle_rtcp, send_pli = inside._handle_rtcp_packet, inside._send_rtcp_pli

    async def handle_rtcp_and_report(packet: object) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle_rtcp(packet)

    async def report_loss_and_send_pli(media_ssrc: int) -> None:
        on_loss()
        await send_pli(media_ssrc)

    _replace(inside, "_handle_rtcp_packet", handle_rtcp_and_report)
    _replace(inside, "_send_rtcp_pli", report_loss_and_send_pli)


async def send_keyframe_request(receiver: RTCRtpReceiver) -> bool:
    """Send a picture loss indication (RFC 4585 section 6.3.1) to each source of a receiver.

    Return False when no source has sent lately. ``on_loss`` is not called.
    """
    sources = receiver.getSynchronizationSources()
    for source in sources:
        await RTCRtpReceiver._send_rtcp_pli(receiver, source.source)
    return bool(sources)


def reception(receiver: RTCRtpReceiver) -> tuple[int, int]:
    """Return (number of RTP sources so far, number of their packets that were lost)."""
    inside: Any = receiver
    streams = inside._RTCRtpReceiver__remote_streams.values()
    return len(streams), sum(max(0, stream.packets_lost) for stream in streams)


def share_port(
    receiver: RTCRtpReceiver, port: MediaPort, candidates: Sequence[tuple[str, int]]
) -> None:
    """Make the connection below a receiver use the shared port and offer ``candidates``.

    Each candidate is (address, port), the best first. Call this before candidates are gathered.
    """
    inside: Any = receiver.transport.transport.iceGatherer
    connection: Connection = inside._connection

    async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        protocol = StunProtocol(connection)
        made = [
            Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host") - 256 * index,
                host=host,
                port=udp_port,
                type="host",
            )
            for index, (host, udp_port) in enumerate(candidates)
        ]
        protocol.local_candidate = made[0]
        port.join(connection.local_username, protocol)
        connection._protocols.append(protocol)
        return made

    def take(data: bytes, component: int) -> None:
        if connection._queue.qsize() < _MAX_WAITING_DATAGRAMS:
            connection._queue.put_nowait((data, component))

    _replace(connection, "get_component_candidates", gather)
    _replace(connection, "data_received", take)


def _replace(owner: object, name: str, value: object) -> None:
    """Replace an attribute. Raise RuntimeError when a new version of the library has renamed it."""
    if not hasattr(owner, name):
        raise RuntimeError(f"{type(owner).__name__} of this version has no {name}")
    setattr(owner, name, value)
