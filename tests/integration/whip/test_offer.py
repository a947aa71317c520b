"""The offer that aiortc itself makes."""

from __future__ import annotations

from sluice_media.whip.offer import parse_offer
from tests.support.whip_offers import make_offer


async def test_a_real_offer_is_taken() -> None:
    assert parse_offer(await make_offer()).sdp
