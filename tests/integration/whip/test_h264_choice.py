"""The choice of an H.264 format, and its parameters in the answer (RFC 6184, 8.2.2)."""

from __future__ import annotations

import pytest

from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.offer import CodecsMissing, parse_offer
from sluice_media.whip.peer import Peer
from tests.support.whip_offers import ENCODERS, offer_of

_ASYMMETRIC = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
ANSWERED = {
    "Chromium": (102, _ASYMMETRIC + "42001f"),
    "Chromium, High preferred": (102, _ASYMMETRIC + "64001f"),
    "Firefox": (126, _ASYMMETRIC + "42e01f"),
    "Safari": (96, _ASYMMETRIC + "640c1f"),
    "OBS": (96, _ASYMMETRIC + "42e01f"),
    "OBS, High": (96, _ASYMMETRIC + "640028"),
    "FFmpeg, Main": (106, _ASYMMETRIC + "4d4028"),
    "GStreamer": (96, "packetization-mode=1;profile-level-id=640028"),
    "hardware": (99, ""),
}


def nothing(*_: object) -> None:
    pass


async def answer_to(sdp: str) -> list[str]:
    """Return the lines of the answer's video section."""
    port = await MediaPort.open("127.0.0.1", 0)
    peer = Peer(nothing, nothing)
    try:
        answer = await peer.answer(parse_offer(sdp), port, [("127.0.0.1", 9)])
    finally:
        await peer.close()
        port.close()
    return answer[answer.index("m=video") :].splitlines()


@pytest.mark.parametrize("encoder", ENCODERS)
async def test_offers_of_real_encoders_are_answered_with_their_own_profile(encoder: str) -> None:
    payload_type, parameters = ANSWERED[encoder]
    lines = await answer_to(offer_of(ENCODERS[encoder]))
    assert lines[0].split()[3:] == [str(payload_type)]
    assert f"a=rtpmap:{payload_type} H264/90000" in lines
    answered = [line.partition(" ")[2] for line in lines if line.startswith("a=fmtp:")]
    assert answered == ([parameters] if parameters else [])
    assert f"a=rtcp-fb:{payload_type} nack pli" in lines
    assert "a=recvonly" in lines


async def test_the_first_supported_format_is_chosen_and_keeps_its_retransmissions() -> None:
    formats = {
        100: "H264 packetization-mode=2;profile-level-id=42e01f",
        101: "H264 packetization-mode=1;profile-level-id=53001f",
        104: "H264 packetization-mode=1;profile-level-id=64001f",
        105: "rtx apt=104",
        106: "H264 packetization-mode=1;profile-level-id=42e01f",
    }
    lines = await answer_to(offer_of(formats))
    assert lines[0].split()[3:] == ["104", "105"]
    assert "a=fmtp:105 apt=104" in lines


@pytest.mark.parametrize(
    "parameters",
    [
        "packetization-mode=2;profile-level-id=42e01f",
        "packetization-mode=1;profile-level-id=53001f",
        "packetization-mode=1;profile-level-id=nonsense",
        "packetization-mode=x",
    ],
    ids=["interleaved", "scalable", "no profile", "no mode"],
)
def test_formats_that_cannot_be_decoded_are_refused_with_a_reason(parameters: str) -> None:
    with pytest.raises(CodecsMissing, match="Baseline, Main or High"):
        parse_offer(offer_of({102: f"H264 {parameters}"}))


def test_reserved_payload_types_are_not_taken() -> None:
    with pytest.raises(CodecsMissing):
        parse_offer(offer_of({33: "H264 packetization-mode=1;profile-level-id=42e01f"}))
