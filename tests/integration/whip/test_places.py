"""Sessions of known publishers stay possible while strangers post offers for unknown streams."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from sluice_media.publishing.publication import Publication
from sluice_media.whip.problem import Problem
from sluice_media.whip.service import PostedOffer
from tests.support.whip_offers import OFFER
from tests.support.whip_rig import KEY, Rig

PUBLISHER = "203.0.113.1"


def offer(remote: str, stream: str = "cam") -> PostedOffer:
    return PostedOffer("demo", stream, SecretStr(KEY), remote, OFFER)


async def test_strangers_cannot_keep_a_known_publisher_out() -> None:
    rig = Rig()
    known, waiting = rig.publish, []

    async def publish(namespace: str, stream: str, key: SecretStr, remote: str) -> Publication:
        if stream != "cam":
            waiting.append(stream)
            await asyncio.sleep(60)  # until the hub's answer
        return await known(namespace, stream, key, remote)

    rig.publish = publish  # type: ignore[method-assign, assignment]
    async with rig.running(max_connections=10, max_connections_per_address=3):
        begin = rig.service.begin
        begun = await begin(offer(PUBLISHER))
        assert await rig.service.end("demo", "cam", begun.id)
        strangers = [
            asyncio.create_task(begin(offer(f"198.51.100.{n}", f"no-{n}"))) for n in range(9)
        ]
        while len(waiting) < len(strangers):
            await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await begin(offer("198.51.100.99"))
        assert refused.value.status == 429
        again = await begin(offer(PUBLISHER))
        assert await rig.service.end("demo", "cam", again.id)
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
