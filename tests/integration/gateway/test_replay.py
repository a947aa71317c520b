"""What a hub is sent when a leg goes on: everything that is kept, or what it lacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import TimelineFormat
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.http import leg_endpoint
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.keeper import Hubs
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.publication import Publication, publisher_for
from tests.support.fake_hub_legs import FakeLeg
from tests.support.gateway_rig import GOP, PICTURE_MS, Rig, until
from tests.support.hub_rig import AUDIO, VIDEO, picture
from tests.support.hub_rig import Rig as HubRig

KEPT_PICTURES = 1_500
"""A minute."""
SKEW_PICTURES = 250
"""Ten seconds."""


async def silence(rig: Rig) -> FakeLeg:
    """Lets the hub say nothing until the gateway posts again. Returns the second leg."""
    rig.hub.frozen = True
    await until(lambda: rig.metric("legs_lost_total") == 1)
    rig.hub.frozen = False
    await until(lambda: len(rig.hub.legs) == 2)
    return rig.hub.legs[1]


async def test_a_hub_that_was_only_silent_is_not_sent_the_whole_minute_again() -> None:
    async with Rig().running() as rig, rig.publisher() as publisher:
        rig.hub.last_output_dts = lambda leg: max(rig.hub.legs[0].pictures, default=0) * 90
        await publisher.accepted()
        publisher.play(KEPT_PICTURES)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        first = rig.hub.legs[0]
        last_dts = first.pictures[-1] * 90
        await until(lambda: first.reported_dts == last_dts)
        second = await silence(rig)
        publisher.play(3)
        await until(lambda: second.pictures and second.pictures[-1] == publisher.pictures[-1])
        assert second.units[0].is_random_access
        again = len(second.pictures) - 3
        assert SKEW_PICTURES <= again <= SKEW_PICTURES + GOP
        assert second.pictures == publisher.pictures[-again - 3 :]


@pytest.mark.parametrize("change", [{"epoch": 2}, {"timeline": "another"}, {"timeline": ""}])
async def test_a_successor_at_the_same_address_is_sent_everything(
    change: dict[str, object],
) -> None:
    async with Rig().running() as rig, rig.publisher() as publisher:
        rig.hub.last_output_dts = lambda leg: KEPT_PICTURES * PICTURE_MS * 90
        await publisher.accepted()
        publisher.play(KEPT_PICTURES)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        rig.hub.changes = change
        second = await silence(rig)
        await until(lambda: second.pictures == publisher.pictures)


class Encoder:
    """Pictures and sounds of a publication, numbered."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self.sent = 0
        publication.take_formats((VIDEO, AUDIO))

    def send(self, pictures: int) -> None:
        for number in range(self.sent, self.sent + pictures):
            flags = UnitFlags.NONE if number % 25 else UnitFlags.RANDOM_ACCESS
            dts = number * 3_600
            take = self._publication.take_unit
            take(AccessUnit(0, dts, dts, flags, 0, picture(number, 50)))
            take(AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"sound"))
        self.sent += pictures


@asynccontextmanager
async def encoding(rig: Rig, url: Callable[[], str], key: str) -> AsyncIterator[Encoder]:
    """A publisher over units, whose hub is where ``url`` says."""

    async def locate(_namespace: str, _stream: str) -> str:
        return url()

    async with aiohttp.ClientSession() as http:
        budget = RetentionBudget(1 << 30)
        hubs = Hubs(http, locate, rig.settings, GatewayMetrics(rig.registry), budget)
        publish = publisher_for("WHIP", hubs, AddressLimits(rig.settings, time.monotonic))
        publication = await publish("demo", "talk", SecretStr(key), "192.0.2.7")
        try:
            yield Encoder(publication)
        finally:
            await publication.finish()
        assert budget.size == 0


async def test_readers_of_a_hub_that_was_silent_miss_nothing_and_get_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, hub = Rig(), HubRig(protocols=["RTMP", "WHIP"])
    async with (
        hub.running(),
        hub.reading() as reader,
        encoding(rig, lambda: hub.url, hub.key) as encoder,
    ):
        encoder.send(1_000)
        await until(lambda: len(reader.pictures) == encoder.sent)
        await asyncio.sleep(0.5)  # the map is on its way
        with monkeypatch.context() as silent:
            silent.setattr(leg_endpoint, "takes_more", lambda transport: False)
            while not rig.metric("legs_lost_total"):
                encoder.send(1)
                await asyncio.sleep(0.04)
        await until(lambda: rig.metric("legs_resumed_total") == 1)
        encoder.send(50)
        await until(lambda: reader.pictures[-1] == encoder.sent - 1)
        assert reader.pictures == list(range(encoder.sent))
        for track in (0, 1):
            dts = [unit.dts for unit in reader.units if unit.track == track]
            assert {b - a for a, b in pairwise(dts)} == {3_600}


async def test_without_a_recorder_little_is_kept_and_readers_see_no_hole_at_the_next_hub() -> None:
    rig = Rig()
    first, second = (HubRig(protocols=["RTMP", "WHIP"]) for _ in range(2))
    url = ""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(second.running())
        first_life = AsyncExitStack()
        await first_life.enter_async_context(first.running())
        url = first.url
        encoder = await stack.enter_async_context(encoding(rig, lambda: url, first.key))
        before = await first_life.enter_async_context(first.reading())
        encoder.send(KEPT_PICTURES)
        await until(lambda: len(before.pictures) == encoder.sent)
        tail_bytes = (SKEW_PICTURES + 25) * 200
        await until(lambda: 0 < rig.metric("retained_bytes") < tail_bytes)
        url = second.url
        await first_life.aclose()
        encoder.send(100)
        await until(lambda: second.hub.delivering)
        position = before.units[-1].dts
        timeline = before.of(TimelineFormat)[0].timeline
        after = await stack.enter_async_context(
            second.reading(**{"from": f"{timeline}:{position}"})
        )
        await until(lambda: after.pictures and after.pictures[-1] == encoder.sent - 1)
        assert before.pictures + after.pictures == list(range(encoder.sent))
