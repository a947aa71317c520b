"""The insides of aiortc and aioice that we rely on are where they were."""

from __future__ import annotations

import inspect
from typing import Any

import aioice.ice
import aiortc.rtcrtpreceiver
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket

from sluice_media.whip.aiortc_internals import pass_frames, reception, share_port
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.offer import parse_offer
from tests.unit.whip.offers import OFFER


def nothing(*_: object) -> None:
    pass


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (aiortc.rtcrtpreceiver.decoder_worker, "decoder = get_decoder(codec)"),
        (aiortc.rtcrtpreceiver.decoder_worker, "output_q.put(frame)"),
        (aiortc.rtcrtpreceiver.decoder_worker, "output_q.put(None)"),
        (aiortc.RTCRtpReceiver.receive, "self._track._queue"),
        (aiortc.RTCRtpReceiver._handle_rtp_packet, "self.__timestamp_mapper.map("),
        (aiortc.RTCRtpReceiver._handle_rtp_packet, "await self._send_rtcp_pli(packet.ssrc)"),
        (aiortc.rtcdtlstransport.RTCDtlsTransport._handle_rtcp_data, "_handle_rtcp_packet(packet)"),
        (aioice.ice.Connection.gather_candidates, "self.get_component_candidates("),
        (
            aiortc.RTCRtpReceiver._handle_rtp_packet,
            "self.__remote_streams[packet.ssrc].add(packet)",
        ),
        (aioice.ice.Connection.data_received, "self._queue.put_nowait((data, component))"),
        (aioice.ice.StunProtocol.datagram_received, "self.receiver.data_received("),
        (aioice.ice.Connection.close, "for protocol in self._protocols:"),
        (aioice.ice.StunProtocol.close, "self.transport.close()"),
    ],
)
def test_the_library_still_does_it_there(where: object, line: str) -> None:
    assert line in source(where)


async def test_frames_reports_losses_and_the_end_are_handed_on() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await connection.setRemoteDescription(RTCSessionDescription(parse_offer(OFFER).sdp, "offer"))
    receiver: Any = connection.getTransceivers()[1].receiver
    got: list[object] = []
    pass_frames(
        receiver,
        lambda data, timestamp: got.append((data, timestamp)),
        lambda ntp, rtp: got.append(("report", ntp, rtp)),
        lambda: got.append("loss"),
        lambda: got.append("end"),
    )
    assert reception(receiver) == (0, 0)
    frame = JitterFrame(b"encoded", 4_000_000_000)
    module: Any = aiortc.rtcrtpreceiver
    decoder = module.get_decoder(None)
    assert decoder.decode(frame) == [frame]
    assert receiver._RTCRtpReceiver__timestamp_mapper.map(4_000_000_000) == 4_000_000_000
    await receiver.track._queue.put(frame)
    info = RtcpSenderInfo(ntp_timestamp=7, rtp_timestamp=8, packet_count=0, octet_count=0)
    await receiver._handle_rtcp_packet(RtcpSrPacket(ssrc=1, sender_info=info))
    await receiver._send_rtcp_pli(1)
    await receiver.track._queue.put(None)
    await connection.close()
    assert got == [(b"encoded", 4_000_000_000), ("report", 7, 8), "loss", "end"]


async def test_candidates_are_the_ones_given_and_the_port_is_left_again() -> None:
    port = await MediaPort.open("127.0.0.1", 0)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await connection.setRemoteDescription(RTCSessionDescription(parse_offer(OFFER).sdp, "offer"))
    receiver = connection.getTransceivers()[0].receiver
    share_port(receiver, port, [("203.0.113.7", 30_189), ("203.0.113.8", 30_189)])
    await connection.setLocalDescription(await connection.createAnswer())
    sdp = connection.localDescription.sdp
    offered = [line.split()[4:6] for line in sdp.splitlines() if line.startswith("a=candidate")]
    assert offered[:2] == [["203.0.113.7", "30189"], ["203.0.113.8", "30189"]]
    assert all(address.startswith("203.0.113.") for address, _ in offered)
    assert port.sessions == 1
    inside: Any = receiver.transport.transport.iceGatherer
    for _ in range(5_000):
        inside._connection.data_received(b"\x80flood", 1)
    assert inside._connection._queue.qsize() == 2_000
    await connection.close()
    assert port.sessions == 0
    port.close()
