"""The ICE candidates of an answer, and their sockets."""

from __future__ import annotations

from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from sluice_media.whip.aiortc_internals import (
    share_port,
)
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.offer import parse_offer
from tests.support.whip_offers import OFFER


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
