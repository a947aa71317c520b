"""Pulled sources as legs: bytes of a transport stream in, one timeline out."""

from __future__ import annotations

import pytest

from sluice_media.contract import PullConfig
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.pull_legs import PulledLegs
from sluice_media.hub.status import hub_status
from sluice_media.pull import BadMedia
from tests.support.hub_world import AUDIO, AUDIO_FRAME, World


def transport_stream(frames: int, first: int = 0) -> bytes:
    """So many frames of sound."""
    muxer = TsMuxer((AUDIO,))
    return b"".join(
        muxer.write(
            AccessUnit(
                track=AUDIO.track,
                dts=90_000 + number * AUDIO_FRAME,
                pts=90_000 + number * AUDIO_FRAME,
                flags=UnitFlags.RANDOM_ACCESS,
                utc_us=0,
                payload=b"\x21%d" % number,
            )
        )
        for number in range(first, first + frames)
    )


@pytest.fixture
def world() -> World:
    world = World(pull=PullConfig(uris=["http://a.example/1", "http://a.example/2"]))
    world.pass_time(10)  # a hub that is new waits for readers of the one before it
    return world


@pytest.fixture
def legs(world: World) -> PulledLegs:
    return PulledLegs(world.hub, clock=lambda: world.now, changed=lambda: None)


def test_a_pulled_source_is_live_and_is_no_backup(world: World, legs: PulledLegs) -> None:
    source = legs.open(0, standby=False)
    source.feed(transport_stream(20))
    world.pass_time(0.1)
    status = hub_status(world.hub, world.now)
    assert source.delivers
    assert (status["on_air"], status["primary_delivers"]) == (True, True)
    assert (status["active_source"], status["backup_delivers"]) == ("Pull", False)
    assert status["session"].protocol == "Pull"


def test_the_warm_one_goes_on_when_the_first_ends(world: World, legs: PulledLegs) -> None:
    first = legs.open(0, standby=False)
    first.feed(transport_stream(20))
    second = legs.open(1, standby=True)
    second.feed(transport_stream(20))
    world.pass_time(0.1)
    first.close("Ended", "the source has ended")
    second.feed(transport_stream(20, first=20))
    world.pass_time(0.1)
    status = hub_status(world.hub, world.now)
    assert status["on_air"]
    assert status["failovers"] == 1
    assert (status["last_failover"].from_, status["last_failover"].to) == ("Uri 0", "Uri 1")


def test_a_third_source_takes_the_place_of_the_one_that_is_not_on_air(
    world: World, legs: PulledLegs
) -> None:
    first = legs.open(0, standby=False)
    first.feed(transport_stream(20))
    stuck = legs.open(1, standby=True)
    legs.open(2, standby=True)
    stuck.close("Stalled", "no byte came")
    assert {leg.hello.remote for leg in world.hub.legs} == {"uri/0", "uri/2"}
    assert first.delivers


def test_bytes_that_are_no_transport_stream_are_refused(legs: PulledLegs) -> None:
    source = legs.open(0, standby=False)
    with pytest.raises(BadMedia):
        source.feed(b"<html>no media here</html>" * 60_000)


def test_what_the_hub_ended_is_not_fed_any_more(world: World, legs: PulledLegs) -> None:
    source = legs.open(0, standby=False)
    source.feed(transport_stream(20))
    world.hub.configure(world.hub.config.model_copy(update={"active": False}), world.now)
    source.feed(transport_stream(20, first=20))
    source.close("Stopped", "the stream is off")
    assert not world.hub.legs
    assert world.hub.output.timeline is None
