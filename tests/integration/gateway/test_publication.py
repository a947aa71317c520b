"""What SRT and WHIP publish with: accepted or refused, held while hubs change, ended with words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import LegEnd, Refusal
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.keeper import Hubs
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.publication import (
    HubUnavailable,
    Publication,
    Publish,
    PublishEnd,
    PublishRefused,
    publisher_for,
)
from tests.support.fake_hub import FakeHub
from tests.support.fake_hub_legs import KEY
from tests.support.gateway_rig import Rig, until
from tests.support.hub_rig import AUDIO, GOP, VIDEO, picture

RIGHT = SecretStr(KEY)


@asynccontextmanager
async def publishing(**settings: object) -> AsyncIterator[tuple[Rig, Publish]]:
    rig = Rig(**settings)
    await rig.hub.start()
    try:
        async with aiohttp.ClientSession() as http:
            hubs = Hubs(
                http,
                rig.locate,
                rig.settings,
                GatewayMetrics(rig.registry),
                RetentionBudget(1 << 30),
            )
            limits = AddressLimits(rig.settings, time.monotonic)
            yield rig, publisher_for("WHIP", hubs, limits)
    finally:
        await rig.hub.stop()


def send(publication: Publication, first: int, count: int) -> None:
    for number in range(first, first + count):
        dts = number * 3_600
        flags = UnitFlags.NONE if number % GOP else UnitFlags.RANDOM_ACCESS
        publication.take_unit(AccessUnit(0, dts, dts, flags, 0, picture(number, 50)))


async def test_units_reach_the_hub_and_finish_waits_until_it_has_them() -> None:
    async with publishing() as (rig, publish):
        publication = await publish("ns", "talk", RIGHT, "192.0.2.7")
        assert publication.leg == "primary"
        publication.take_formats((VIDEO, AUDIO))
        send(publication, 0, 30)
        await publication.finish()
        (leg,) = rig.hub.legs
        assert leg.hello.protocol == "WHIP"
        assert leg.hello.remote == "192.0.2.7"
        assert leg.pictures == [n * 40 for n in range(30)]
        assert leg.ended == "eof"
        assert publication.ended.result().reason == "Finished"
        assert rig.metric("publishes_accepted_total") == 1
        assert rig.metric("publishers") == rig.metric("retained_bytes") == 0
        assert rig.metric("received_bytes_total") > 30 * 50


async def test_a_picture_that_comes_is_announced_and_changes_nothing() -> None:
    async with publishing() as (rig, publish):
        publication = await publish("ns", "talk", RIGHT, "192.0.2.7")
        publication.picture_comes()
        publication.take_formats((VIDEO, AUDIO))
        send(publication, 0, 3)
        publication.picture_comes()
        send(publication, 3, 3)
        await publication.finish()
        (leg,) = rig.hub.legs
        assert leg.notices == 2
        assert leg.pictures == [n * 40 for n in range(6)]


async def test_refusals_are_raised_counted_and_repeated_wrong_keys_blocked() -> None:
    async with publishing(max_failures=2) as (rig, publish):
        for _ in range(2):
            with pytest.raises(PublishRefused, match="the stream key is wrong") as refused:
                await publish("ns", "talk", SecretStr("wrong"), "192.0.2.7")
            assert refused.value.reason == "BadKey"
        with pytest.raises(PublishRefused) as refused:
            await publish("ns", "talk", RIGHT, "192.0.2.7")
        assert refused.value.reason == "TooManyFailures"
        rig.hub.refuse = (403, Refusal(reason="ProtocolNotAllowed", message="WHIP is off"))
        with pytest.raises(PublishRefused, match="WHIP is off"):
            await publish("ns", "talk", RIGHT, "192.0.2.8")
        with pytest.raises(PublishRefused) as refused:
            await publish("ns/..", "talk", RIGHT, "192.0.2.8")
        assert refused.value.reason == "BadPath"
        assert rig.metric("publishes_refused_total", reason="BadKey") == 2
        assert rig.metric("publishers") == 0


async def test_without_a_hub_in_time_it_says_so_and_leaves_nothing_behind() -> None:
    async with publishing(hold_new_seconds=0.5) as (rig, publish):
        await rig.hub.stop()
        with pytest.raises(HubUnavailable):
            await publish("ns", "talk", RIGHT, "")
        assert rig.metric("publishes_given_up_total") == 1
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("publication")]


async def test_the_next_hub_gets_what_the_first_had_not_acknowledged() -> None:
    async with publishing() as (rig, publish):
        publication = await publish("ns", "talk", RIGHT, "")
        publication.take_formats((VIDEO, AUDIO))
        rig.hub.acknowledges = lambda leg: 30 * 3_600
        send(publication, 0, 60)
        await until(lambda: len(rig.hub.legs[0].pictures) == 60)
        await until(lambda: rig.hub.legs[0].acked_dts)
        await asyncio.sleep(0.2)
        first, rig.hub = rig.hub, FakeHub("next")
        await first.stop()
        send(publication, 60, 10)
        await rig.hub.start()
        await until(lambda: rig.hub.legs and len(rig.hub.legs[0].pictures) >= 45)
        assert rig.hub.legs[0].pictures == [n * 40 for n in range(25, 70)]
        assert rig.hub.legs[0].hello.resume is not None
        await publication.abort()
        await rig.hub.stop()


async def test_the_hubs_end_and_our_own_rejection_arrive_with_their_words() -> None:
    async with publishing() as (rig, publish):
        publication = await publish("ns", "talk", RIGHT, "")
        rig.hub.legs[0].end = LegEnd(reason="TakenOver", message="its publisher is back")
        end = await asyncio.wait_for(publication.ended, 20)
        assert end == PublishEnd("TakenOver", "its publisher is back")
        publication.take_formats((VIDEO,))  # too late, and harmless
        await publication.finish()

        publication = await publish("ns", "talk", RIGHT, "")
        publication.reject("UnsupportedCodec", "The video is VP8.")
        end = await asyncio.wait_for(publication.ended, 20)
        assert end == PublishEnd("UnsupportedCodec", "The video is VP8.")
        await publication.abort()


async def test_who_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    async with publishing() as (rig, publish):
        rig.hub.refuse = (503, Refusal(reason="Draining", message="soon"))
        waiting = asyncio.ensure_future(publish("ns", "talk", RIGHT, ""))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("publication")]
