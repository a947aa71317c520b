"""The private parts of aiortc and aioice that WHIP uses, checked one by one.

A failure after an upgrade means: read the named function of the new version, adapt
``sluice_media/whip/aiortc_internals.py`` to it, and change the expectation here. Until then keep
the former version pinned: no hostile frame may reach a decoder in our own process.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioice.ice
import aiortc.rtcrtpreceiver
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtp import RtcpByePacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket

from sluice_media.whip.aiortc_internals import (
    pass_frames,
    reception,
    send_keyframe_request,
)
from sluice_media.whip.offer import parse_offer
from tests.support.whip_offers import OFFER

WHAT_TO_DO = (
    "aiortc or aioice changed a part that sluice_media/whip/aiortc_internals.py uses: see the "
    "docstring of this module"
)
H264 = RTCRtpCodecParameters(mimeType="video/H264", clockRate=90_000, payloadType=102)
SSRC = 77
RECEIVER: Any = aiortc.RTCRtpReceiver


@asynccontextmanager
async def connected() -> AsyncIterator[RTCPeerConnection]:
    """Yield a connection that has taken an offer with sound (first) and pictures."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    offer = RTCSessionDescription(parse_offer(OFFER).sdp, "offer")
    await connection.setRemoteDescription(offer)
    try:
        yield connection
    finally:
        await connection.close()


def picture(sequence_number: int, timestamp: int) -> RtpPacket:
    """Return a picture that fits into one packet: a slice as a single NAL unit (RFC 6184 5.6)."""
    made = RtpPacket(
        payload_type=102,
        sequence_number=sequence_number,
        timestamp=timestamp,
        payload=b"\x41hostile%d" % sequence_number,
    )
    made.ssrc = SSRC
    return made


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (aiortc.rtcrtpreceiver.decoder_worker, "task = input_q.get()"),
        (aiortc.rtcrtpreceiver.decoder_worker, "decoder = get_decoder(codec)"),
        (aiortc.rtcrtpreceiver.decoder_worker, "output_q.put(None)"),
        (RECEIVER.receive, "self.__decoder_queue"),
        (RECEIVER._handle_rtp_packet, "self.__decoder_queue.put((codec, encoded_"),
        (RECEIVER._RTCRtpReceiver__stop_decoder, "self.__decoder_queue.put(None)"),
        (RECEIVER._handle_rtp_packet, "self.__timestamp_mapper.map("),
        (RECEIVER._handle_rtp_packet, "await self._send_rtcp_pli(packet.ssrc)"),
        (aiortc.rtcdtlstransport.RTCDtlsTransport._handle_rtcp_data, "_handle_rtcp_packet(packet)"),
        (aioice.ice.Connection.gather_candidates, "self.get_component_candidates("),
        (
            RECEIVER._handle_rtp_packet,
            "self.__remote_streams[packet.ssrc].add(packet)",
        ),
        (aioice.ice.Connection.data_received, "self._queue.put_nowait((data, component))"),
        (aioice.ice.StunProtocol.datagram_received, "self.receiver.data_received("),
        (aioice.ice.Connection.close, "for protocol in self._protocols:"),
        (aioice.ice.StunProtocol.close, "self.transport.close()"),
    ],
)
def test_the_library_still_does_it_there(where: object, line: str) -> None:
    assert line in inspect.getsource(where), WHAT_TO_DO  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "want"),
    [
        (aiortc.rtcrtpreceiver.decoder_worker, ["loop", "input_q", "output_q", "decode_error"]),
        (RECEIVER._handle_rtcp_packet, ["self", "packet"]),
        (RECEIVER._send_rtcp_pli, ["self", "media_ssrc"]),
        (aiortc.rtcrtpreceiver.TimestampMapper.map, ["self", "timestamp"]),
        (
            aioice.ice.Connection.get_component_candidates,
            ["self", "component", "addresses", "timeout"],
        ),
        (aioice.ice.Connection.data_received, ["self", "data", "component"]),
        (aioice.ice.StunProtocol.__init__, ["self", "receiver"]),
    ],
)
def test_what_we_replace_or_call_has_these_parameters(function: Any, want: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == want, WHAT_TO_DO


async def test_the_attributes_have_these_types() -> None:
    async with connected() as connection:
        receiver: Any = connection.getTransceivers()[1].receiver
        ice: Any = receiver.transport.transport.iceGatherer._connection
        for owner, name, kind in (
            (receiver, "_RTCRtpReceiver__decoder_queue", queue.Queue),
            (
                receiver,
                "_RTCRtpReceiver__timestamp_mapper",
                aiortc.rtcrtpreceiver.TimestampMapper,
            ),
            (receiver, "_RTCRtpReceiver__remote_streams", dict),
            (ice, "_protocols", list),
            (ice, "_queue", asyncio.Queue),
            (ice, "local_username", str),
        ):
            assert isinstance(getattr(owner, name, None), kind), f"{name}: {WHAT_TO_DO}"


async def test_frames_reports_losses_and_the_end_are_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoders: list[object] = []
    monkeypatch.setattr(aiortc.rtcrtpreceiver, "get_decoder", decoders.append)
    got: list[object] = []
    async with connected() as connection:
        receiver: Any = connection.getTransceivers()[1].receiver
        pass_frames(
            receiver,
            lambda data, timestamp: got.append((data, timestamp)),
            lambda ntp, rtp: got.append(("report", ntp, rtp)),
            lambda: got.append("loss"),
            lambda: got.append("end"),
        )
        assert reception(receiver) == (0, 0)
        assert not await send_keyframe_request(receiver)
        await receiver.receive(RTCRtpReceiveParameters(codecs=[H264]))
        # A frame is complete when the next one begins. The second packet is lost for a moment.
        for packet in (
            picture(1, 4_000_000_000),
            picture(3, 4_000_006_000),
            picture(2, 4_000_003_000),
            picture(4, 4_000_009_000),
        ):
            await receiver._handle_rtp_packet(packet, 0)
        assert reception(receiver) == (1, 0)
        assert await send_keyframe_request(receiver)
        info = RtcpSenderInfo(ntp_timestamp=7, rtp_timestamp=8, packet_count=0, octet_count=0)
        await asyncio.sleep(0)
        await receiver._handle_rtcp_packet(RtcpSrPacket(ssrc=SSRC, sender_info=info))
        await receiver._handle_rtp_packet(picture(5_000, 4_000_012_000), 0)
        await receiver._handle_rtcp_packet(RtcpByePacket(sources=[SSRC]))
        await asyncio.sleep(0)
    assert not decoders, f"a frame reached the decoder's thread; {WHAT_TO_DO}"
    assert got == [
        (b"\x00\x00\x00\x01\x41hostile1", 4_000_000_000),
        (b"\x00\x00\x00\x01\x41hostile2", 4_000_003_000),
        ("report", 7, 8),
        "loss",
        "end",
    ], WHAT_TO_DO


async def test_a_callback_that_fails_does_not_end_the_receiver() -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail(*_: object) -> None:
        raise ValueError("a fault of ours")

    async with connected() as connection:
        receiver: Any = connection.getTransceivers()[1].receiver
        pass_frames(receiver, fail, fail, fail, lambda: None)
        await receiver.receive(RTCRtpReceiveParameters(codecs=[H264]))
        await receiver._handle_rtp_packet(picture(1, 0), 0)
        await receiver._handle_rtp_packet(picture(2, 3_000), 0)
        await asyncio.sleep(0)
    assert [type(failure) for failure in failures] == [ValueError]


async def test_a_part_that_is_not_there_is_an_error_and_not_ignored() -> None:
    class Renamed:
        """A receiver of a future version."""

    def nothing(*_: object) -> None:
        pass

    with pytest.raises(RuntimeError, match="Renamed of this version has no _RTCRtpReceiver"):
        pass_frames(Renamed(), nothing, nothing, nothing, nothing)  # type: ignore[arg-type]
