"""Whose places are kept while strangers ask for sessions of streams that do not exist."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from sluice_media.whip.problem import Problem
from tests.media.whip_rig import KEY, FakePublication, Rig
from tests.unit.whip.offers import OFFER

PUBLISHER = "203.0.113.1"


async def test_strangers_cannot_take_the_place_of_a_publisher_that_comes_back() -> None:
    rig = Rig()
    known, asked = rig.publish, []

    async def publish(namespace: str, stream: str, key: SecretStr, remote: str) -> FakePublication:
        if stream != "cam":
            asked.append(stream)
            await asyncio.sleep(60)  # until the hub's answer
        return await known(namespace, stream, key, remote)

    rig.publish = publish  # type: ignore[method-assign, assignment]
    async with rig.running(max_connections=10, max_connections_per_address=3):
        begin, key = rig.service.begin, SecretStr(KEY)
        begun = await begin("demo", "cam", key, PUBLISHER, OFFER)
        assert await rig.service.end("demo", "cam", begun.id)
        strangers = [
            asyncio.create_task(begin("demo", f"no-{n}", key, f"198.51.100.{n}", OFFER))
            for n in range(9)
        ]
        while len(asked) < len(strangers):
            await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await begin("demo", "cam", key, "198.51.100.99", OFFER)
        assert refused.value.status == 429
        again = await begin("demo", "cam", key, PUBLISHER, OFFER)
        assert await rig.service.end("demo", "cam", again.id)
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
