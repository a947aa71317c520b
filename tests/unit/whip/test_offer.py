"""Checks of SDP offers, and the parts that never reach aiortc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.whip.offer import BadOffer, CodecsMissing, parse_offer
from tests.support.whip_offers import OFFER, without


def test_a_browsers_offer_is_taken_without_its_candidates() -> None:
    sdp = parse_offer(OFFER).sdp
    assert "candidate" not in sdp
    assert "169.254" not in sdp
    assert "a=ice-ufrag:ABcd" in sdp


@pytest.mark.parametrize(
    ("sdp", "missing"),
    [
        (without("H264/90000", "VP8/90000"), "H.264 video"),
        (without("opus/48000/2", "PCMU/8000"), "Opus audio"),
        (OFFER[: OFFER.index("m=video")].replace("BUNDLE 0 1", "BUNDLE 0"), "H.264 video"),
        (without("m=video 9", "m=video 0"), "H.264 video"),
    ],
    ids=["no H.264", "no Opus", "no video", "video switched off"],
)
def test_both_codecs_must_be_offered(sdp: str, missing: str) -> None:
    with pytest.raises(CodecsMissing, match=missing):
        parse_offer(sdp)


@pytest.mark.parametrize(
    ("sdp", "words"),
    [
        ("", "has no"),
        ("v=0\r\nm=audio nonsense", "not a valid"),
        (without("a=sendonly", "a=recvonly"), "does not send"),
        (without("a=group:BUNDLE 0 1\r\n"), "BUNDLE"),
        (without("a=rtcp-mux\r\n"), "multiplexed"),
        (without("a=ice-ufrag:ABcd\r\n"), "ICE"),
        (without("a=setup:actpass\r\n"), "DTLS"),
        (OFFER + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n", "neither"),
        (OFFER + OFFER[OFFER.index("m=video") :], "more than one"),
        ("a=x\r\n" * 3_000, "lines"),
    ],
)
def test_a_refusal_of_an_offer_names_the_fault(sdp: str, words: str) -> None:
    with pytest.raises(BadOffer, match=words):
        parse_offer(sdp)


@given(st.text(max_size=400), st.integers(0, len(OFFER)))
def test_garbage_in_an_offer_raises_the_typed_error_only(garbage: str, position: int) -> None:
    for sdp in (garbage, OFFER[:position] + garbage + OFFER[position:]):
        try:
            parse_offer(sdp)
        except BadOffer:
            continue
