"""Sound of a codec that is not carried: the picture is on air, and status names the codec."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.clock import Moment
from sluice_media.hub.feed import TsFeed, UnitFeed
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import Leg
from sluice_media.timeline.framing import encode_unit
from sluice_media.timeline.leg_framing import encode_formats
from tests.support import flv_samples as s
from tests.support.flv_leg import FlvLeg
from tests.support.hub_world import World
from tests.support.ts_samples import PPS, SPS, VIDEO, annexb, pes, program, ts_of_pes
from tests.unit.hub.concert import status_of


class FlvFeed:
    """An RTMP publisher, its gateway, and the hub's end of its leg."""

    def __init__(self, hub: Hub, leg: Leg) -> None:
        self._gateway = FlvLeg()
        self._feed = UnitFeed(hub, leg)

    def feed(self, type_id: int, timestamp_ms: int, payload: bytes, now: Moment) -> None:
        for record in self._gateway.feed(type_id, timestamp_ms, payload):
            self._feed.feed(record.data, now)


def flv(world: World, feed: FlvFeed) -> None:
    feed.feed(9, 0, s.avc_config(), world.now)
    for number in range(3):
        feed.feed(9, number * 40, s.avc(s.IDR), world.now)
        feed.feed(8, number * 40, b"\x91Opus" + s.SOUND, world.now)


def framed(world: World, feed: UnitFeed) -> None:
    feed.feed(encode_formats((VIDEO,), True, "Opus"), world.now)
    for number in range(3):
        dts = number * 3_600
        unit = AccessUnit(0, dts, dts, UnitFlags.RANDOM_ACCESS, 0, s.IDR)
        feed.feed(encode_unit(unit), world.now)


def ts(world: World, feed: TsFeed) -> None:
    tables = program((0x1B, 0x100, b""), (0x06, 0x101, b"\x05\x04Opus"))
    pictures = [pes(annexb(SPS, PPS, b"\x65\x88"), n * 3_600) for n in range(8)]
    feed.feed(tables + ts_of_pes(0x100, *pictures), world.now)


@pytest.mark.parametrize(
    ("kind", "send"), [(FlvFeed, flv), (UnitFeed, framed), (TsFeed, ts)], ids=["FLV", "units", "TS"]
)
def test_the_picture_is_on_air_and_the_codec_is_named(
    kind: Callable[..., object], send: Callable[[World, object], None]
) -> None:
    world = World()
    leg = world.publish(formats=()).leg
    revision = world.hub.revision
    send(world, kind(world.hub, leg))
    status = status_of(world)
    assert status["on_air"]
    assert leg.end is None
    assert status["last_rejection"] is None
    assert status["media"].left_out_audio_codec == "Opus"
    assert status["media"].audio_codec is None
    assert world.hub.revision > revision


def test_a_name_from_a_gateway_is_fit_to_be_shown() -> None:
    world = World()
    leg = world.publish(formats=()).leg
    UnitFeed(world.hub, leg).feed(encode_formats((), None, "AAC in LATM, \x1b[31m" * 9), world.now)
    assert leg.left_out.startswith("AAC in LATM, ??31m")
    assert len(leg.left_out) == 64


def test_sound_that_becomes_aac_is_no_longer_named() -> None:
    world = World()
    leg = world.publish(formats=()).leg
    feed = FlvFeed(world.hub, leg)
    flv(world, feed)
    feed.feed(8, 200, s.aac_config(), world.now)
    assert status_of(world)["media"].left_out_audio_codec is None
