"""Everything that relies on the insides of aiortc and aioice, and nothing else.

What their interfaces do not offer: frames handed on without being decoded, RTP timestamps as they
were sent, sender reports, how many sources send, a UDP port that connections share, and a bound on
what waits there.
``tests/unit/whip/test_aiortc_internals.py`` fails when the insides move; both libraries are pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import aiortc.rtcrtpreceiver
from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtcpSrPacket

from sluice_media.whip.media_port import MediaPort

_MAX_WAITING_DATAGRAMS = 2_000
"""Until DTLS reads them: a second of 20 Mb/s."""

OnFrame = Callable[[bytes, int], None]
"""(an encoded frame, its RTP timestamp modulo 2^32)"""
OnReport = Callable[[int, int], None]
"""(NTP time of 64 bits, the RTP timestamp that belongs to it)"""


class _NoDecoder:
    """In place of a decoder: hostile bytes are for the transcoder's process alone."""

    def decode(self, frame: JitterFrame) -> list[JitterFrame]:
        return [frame]


class _Sink:
    """In place of a track's queue, which has no bound: whatever is put is handed on at once."""

    def __init__(self, on_frame: OnFrame, on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end

    async def put(self, frame: JitterFrame | None) -> None:
        if frame is None:
            self._on_end()
        else:
            self._on_frame(frame.data, frame.timestamp)


class _RawTimestamps:
    """In place of the receiver's mapper, which begins at 0 and so loses what sender reports say."""

    def map(self, timestamp: int) -> int:
        return timestamp


def pass_frames(
    receiver: RTCRtpReceiver,
    on_frame: OnFrame,
    on_report: OnReport,
    on_loss: Callable[[], None],
    on_end: Callable[[], None],
) -> None:
    """Makes a receiver hand on its encoded frames. To be called before it receives.

    ``on_loss``: pictures are missing for good, and the sender was asked for a keyframe.
    ``on_end``: the sender said goodbye, or the connection was closed. All are called in the event
    loop."""
    module: Any = aiortc.rtcrtpreceiver
    module.get_decoder = lambda _codec: _NoDecoder()
    inside: Any = receiver
    inside._track._queue = _Sink(on_frame, on_end)
    inside._RTCRtpReceiver__timestamp_mapper = _RawTimestamps()
    handle_rtcp, send_pli = inside._handle_rtcp_packet, inside._send_rtcp_pli

    async def with_reports(packet: object) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle_rtcp(packet)

    async def with_losses(media_ssrc: int) -> None:
        on_loss()
        await send_pli(media_ssrc)

    inside._handle_rtcp_packet = with_reports
    inside._send_rtcp_pli = with_losses
    inside.sluice_send_pli = send_pli


async def send_keyframe_request(receiver: RTCRtpReceiver) -> bool:
    """Sends a picture loss indication (RFC 4585 section 6.3.1) to whoever sends; whether somebody
    does."""
    inside: Any = receiver
    sources = receiver.getSynchronizationSources()
    for source in sources:
        await inside.sluice_send_pli(source.source)
    return bool(sources)


def reception(receiver: RTCRtpReceiver) -> tuple[int, int]:
    """(RTP sources heard so far, packets of theirs that did not come)"""
    inside: Any = receiver
    streams = inside._RTCRtpReceiver__remote_streams.values()
    return len(streams), sum(max(0, stream.packets_lost) for stream in streams)


def share_port(
    receiver: RTCRtpReceiver, port: MediaPort, candidates: Sequence[tuple[str, int]]
) -> None:
    """Makes the connection below a receiver use the shared port. To be called before candidates
    are gathered; they will be ``candidates``, (address, port) each, the best first."""
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

    connection.get_component_candidates = gather  # type: ignore[method-assign]
    connection.data_received = take  # type: ignore[method-assign]
