"""SRT end to end: publishers, the gateway, and hubs that judge them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import TimelineFormat
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.gateway.server import Gateway, running_gateway
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.protocols.srt import (
    ConnectionLost,
    ConnectRefused,
    RejectCode,
    SrtCaller,
    SrtTarget,
    connect,
)
from sluice_media.publishing.locate import StreamNotFound
from tests.support.gateway_rig import RtmpPublisher, until
from tests.support.hub_rig import Rig as HubRig
from tests.support.network import BOTH_LOOPBACKS
from tests.support.ports import free_udp_port
from tests.support.srt_rig import Rig as SrtPeers
from tests.support.srt_rig import make_ts

PASSPHRASE = "canary-passphrase-1"
BACKUP_KEY = "backup-key"
OTHER_FORM = "#!::r=demo/talk?right-key,m=publish"
"""A stream id as some encoders write it; all other tests use the short form."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ts(tmp_path_factory.mktemp("ts") / "clip.ts", seconds=3, bits="800k")


def units_of(clip: Path) -> list[AccessUnit]:
    demuxer = TsDemuxer()
    events = [*demuxer.feed(clip.read_bytes()), *demuxer.flush()]
    return [event for event in events if isinstance(event, AccessUnit)]


def pictures(units: list[AccessUnit]) -> list[bytes]:
    return [unit.payload for unit in units if unit.track == 0]


class Rig:
    def __init__(self, **changes: Any) -> None:
        self.hub = HubRig(protocols=["RTMP", "SRT"], **changes)
        self.hub.backup_key = BACKUP_KEY
        self.hub.passphrase = PASSPHRASE
        self.url = ""
        self.port = free_udp_port()
        self.registry = CollectorRegistry()
        self.gateway: Gateway

    async def locate(self, namespace: str, stream: str) -> str:
        if stream == "nothing":
            raise StreamNotFound
        return self.url

    @asynccontextmanager
    async def running(self, **settings: object) -> AsyncIterator[Rig]:
        chosen = GatewaySettings.model_validate(
            {
                "bind": "127.0.0.1",
                "rtmp_port": 0,
                "srt_port": self.port,
                "unknown_stream_seconds": 0.1,
                **settings,
            }
        )
        async with (
            self.hub.running(),
            running_gateway(chosen, self.locate, self.registry) as self.gateway,
        ):
            self.url = self.hub.url
            yield self

    @asynccontextmanager
    async def call(
        self,
        key: str = "right-key",
        passphrase: str | None = None,
        *,
        stream: str = "talk",
        stream_id: str | None = None,
        latency_ms: int = 120,
        host: str = "127.0.0.1",
        tries: int = 20,
    ) -> AsyncIterator[SrtCaller]:
        """Calls again, as encoders do, where the hub's answer did not come within a handshake."""
        wanted = SecretStr(stream_id or f"demo/{stream}?{key}")
        secret = SecretStr(passphrase) if passphrase else None
        target = SrtTarget(host, self.port, wanted, secret, latency_ms)
        async with AsyncExitStack() as stack:
            while True:
                tries -= 1
                try:
                    caller = await stack.enter_async_context(connect(target))
                    break
                except ConnectRefused as refused:
                    if refused.code != RejectCode.UNAVAILABLE or not tries:
                        raise
                await asyncio.sleep(0.1)
            yield caller

    async def code(
        self,
        key: str = "right-key",
        passphrase: str | None = None,
        *,
        stream: str = "talk",
        stream_id: str | None = None,
        tries: int = 20,
    ) -> int:
        """What a refused caller is told."""
        calling = self.call(key, passphrase, stream=stream, stream_id=stream_id, tries=tries)
        with pytest.raises(ConnectRefused) as refused:
            async with calling:
                pass
        return refused.value.code

    def refused(self, reason: str, count: int) -> bool:
        return self.metric("publishes_refused_total", reason=reason) == count

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"sluice_gateway_{name}", labels) or 0.0


def messages(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 1_316):
        yield data[at : at + 1_316]


async def play(caller: SrtCaller, data: bytes, seconds: float = 1.5) -> None:
    parts = list(messages(data))
    for number, part in enumerate(parts):
        await caller.send(part, round(number / len(parts) * seconds * 90_000))
        await asyncio.sleep(seconds / len(parts))


async def test_every_picture_and_sound_arrives(clip: Path) -> None:
    async with Rig(srt_latency_milliseconds=300).running() as rig:
        async with rig.hub.reading() as reader:
            async with rig.call(stream_id=OTHER_FORM, latency_ms=60) as caller:
                await play(caller, clip.read_bytes())
                labels = {"namespace": "demo", "stream": "talk"}
                await until(lambda: rig.metric("srt_packets_received_total") > 0)
                assert rig.metric("srt_connection_latency_seconds", **labels) == 0.3
                await asyncio.sleep(0.5)
            sent = units_of(clip)
            await until(lambda: len(reader.units) >= len(sent), 30)
        assert pictures(reader.units) == pictures(sent)
        assert [u.payload for u in reader.units if u.track == 1] == [
            u.payload for u in sent if u.track == 1
        ]
        await until(lambda: not rig.hub.hub.legs)
        await until(lambda: rig.metric("srt_connection_latency_seconds", **labels) == 0.0)
        assert rig.metric("publishes_accepted_total") == 1
        assert rig.metric("publishers") == 0


async def test_a_sender_that_asks_for_more_latency_gets_it() -> None:
    async with Rig(srt_latency_milliseconds=200).running() as rig, rig.call(latency_ms=900):
        labels = {"namespace": "demo", "stream": "talk"}
        await until(lambda: rig.metric("srt_connection_latency_seconds", **labels) == 0.9)


async def test_each_refusal_has_a_code_and_is_counted_with_its_reason() -> None:
    async with Rig().running(max_failures=2) as rig:
        assert await rig.code("wrong") == RejectCode.UNAUTHORIZED
        assert await rig.code(stream="nothing", tries=1) == RejectCode.UNAVAILABLE
        await asyncio.sleep(0.3)
        assert await rig.code(stream="nothing") == RejectCode.NOT_FOUND
        assert await rig.code(stream_id="demo") == RejectCode.BAD_REQUEST
        assert await rig.code(stream_id="#!::r=demo/talk?k,m=request") == RejectCode.BAD_MODE
        rig.hub.configure(protocols=["RTMP"])
        assert await rig.code() == RejectCode.UNACCEPTABLE
        await asyncio.sleep(0.6)
        rig.hub.configure(protocols=["SRT"], active=False)
        assert await rig.code() == RejectCode.FORBIDDEN
        assert await rig.code("wrong-again") == RejectCode.UNAUTHORIZED
        assert await rig.code("anything") == RejectCode.TOO_MANY_FAILURES
        for reason, count in {
            "BadKey": 2, "UnknownStream": 1, "BadPath": 1, "BadMode": 1,
            "ProtocolNotAllowed": 1, "Disabled": 1, "TooManyFailures": 1,
        }.items():  # fmt: skip
            # libsrt's refusals are counted once a second.
            await until(partial(rig.refused, reason, count))
        # A slow machine has more of these: who is answered late calls again.
        assert rig.metric("publishes_refused_total", reason="HubUnavailable") >= 1


async def test_the_streams_passphrase_is_enforced(clip: Path) -> None:
    async with Rig(srt_passphrase=True).running() as rig:
        assert await rig.code() != 0
        assert await rig.code(passphrase="another-passphrase") != 0
        async with rig.call(passphrase=PASSPHRASE) as caller:
            await play(caller, clip.read_bytes(), 0.5)
            await until(lambda: rig.hub.hub.delivering)
        assert len(rig.hub.hub.legs) <= 1


async def test_rtmp_is_on_air_and_srt_with_its_key_is_busy_and_the_other_way_round(
    clip: Path,
) -> None:
    # Long enough that a slow machine does not take a publisher for a silent one.
    async with Rig(stall_milliseconds=2_500).running() as rig:
        async with RtmpPublisher(rig.gateway.port, "demo", "talk?right-key") as first:
            await first.accepted()
            first.play(5)
            assert await rig.code() == RejectCode.CONFLICT
            first.play(5)
            assert len(rig.hub.hub.legs) == 1
        await until(lambda: not rig.hub.hub.legs)
        await asyncio.sleep(0.6)  # the refusal is remembered for half a second
        async with rig.call() as caller:
            playing = asyncio.create_task(play(caller, clip.read_bytes()))
            await until(lambda: rig.hub.hub.delivering)
            async with RtmpPublisher(rig.gateway.port, "demo", "talk?right-key") as second:
                assert "Busy" in str(await second.answer())
            assert not playing.done()
            await playing
            # It falls silent, and RTMP may have the leg; the silent one is closed.
            await asyncio.sleep(2.7)
            async with RtmpPublisher(rig.gateway.port, "demo", "talk?right-key") as third:
                await third.accepted()
                await until(lambda: not rig.gateway.srt or not rig.gateway.srt.connections)


async def test_the_backup_key_is_the_backup_leg() -> None:
    async with Rig().running() as rig, rig.call(), rig.call(BACKUP_KEY):
        await until(lambda: len(rig.hub.hub.legs) == 2)
        assert [leg.name for leg in rig.hub.hub.legs] == ["primary", "backup"]


async def test_a_silent_publisher_is_cut_and_one_whose_key_is_rotated_too(clip: Path) -> None:
    async with Rig().running(srt_silence_seconds=1) as rig:
        async with rig.call():
            await until(lambda: rig.hub.hub.legs)
            await until(lambda: not rig.hub.hub.legs, 4)
        async with rig.call() as caller:
            playing = asyncio.create_task(play(caller, clip.read_bytes(), 4))
            await until(lambda: rig.hub.hub.delivering)
            rig.hub.key = "the-next-key"
            rig.hub.configure(protocols=["SRT"])
            await until(lambda: rig.gateway.srt and not rig.gateway.srt.connections)
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def test_what_is_no_transport_stream_is_bad_media() -> None:
    async with Rig().running() as rig, rig.call() as caller:
        await until(lambda: rig.hub.hub.legs)
        with contextlib.suppress(ConnectionLost):  # it is cut while it sends
            await play(caller, b"no transport stream " * 65_000)
        await until(lambda: rig.hub.hub.last_rejection is not None)
        assert rig.hub.hub.last_rejection is not None
        assert rig.hub.hub.last_rejection.reason == "BadMedia"
        await until(lambda: rig.gateway.srt and not rig.gateway.srt.connections)


async def test_the_encoder_stays_connected_while_its_hub_is_replaced(tmp_path: Path) -> None:
    clip = make_ts(tmp_path / "long.ts", seconds=8, bits="400k")
    rig = Rig()
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(HubRig(protocols=["SRT"]).running())
        first_life = AsyncExitStack()
        first = await first_life.enter_async_context(HubRig(protocols=["SRT"]).running())
        await stack.enter_async_context(rig.running())
        rig.url = first.url
        caller = await stack.enter_async_context(rig.call())
        playing = asyncio.create_task(play(caller, clip.read_bytes(), 8))
        await until(lambda: first.hub.delivering)
        async with first.reading() as before:
            await until(lambda: len(before.units) > 60)
        rig.url = second.url
        await first_life.aclose()
        await until(lambda: second.hub.delivering)
        timeline = before.of(TimelineFormat)[0].timeline
        position = before.units[-1].dts
        async with second.reading(**{"from": f"{timeline}:{position}"}) as after:
            await until(lambda: after.of(TimelineFormat) and len(after.units) > 60)
        await playing
    found = after.of(TimelineFormat)[0]
    assert (found.timeline, found.epoch) == (timeline, 2)
    joined = [u.dts for u in before.units if u.track == 0]
    joined += [u.dts for u in after.units if u.track == 0 and u.dts > position]
    assert {b - a for a, b in pairwise(joined)} == {3_600}


async def test_foreign_publishers_are_understood(clip: Path) -> None:
    async with Rig().running() as rig:
        peers = SrtPeers()
        peers.listener = rig.gateway.srt.listener  # type: ignore[union-attr]
        for start in (peers.ffmpeg, peers.live_transmit):
            async with rig.hub.reading() as reader, start(clip, "demo/talk?right-key"):
                await until(lambda: len(pictures(reader.units)) > 20, 30)
            await until(lambda: not rig.hub.hub.legs, 30)


async def test_draining_refuses_who_is_new_and_keeps_the_publisher_until_it_goes(
    clip: Path,
) -> None:
    async with Rig().running() as rig:
        async with rig.call() as caller:
            await until(lambda: rig.hub.hub.legs)
            draining = asyncio.create_task(rig.gateway.drain(30))
            await until(lambda: rig.gateway.draining)
            assert rig.gateway.ready
            assert await rig.code(BACKUP_KEY, tries=1) == RejectCode.UNAVAILABLE
            async with rig.hub.reading() as reader:
                await play(caller, clip.read_bytes())
                sent = len(pictures(units_of(clip)))
                await until(lambda: len(pictures(reader.units)) > sent * 0.8, 30)
            assert not draining.done()
        await asyncio.wait_for(draining, 30)


async def test_srt_has_as_many_places_as_the_gateway() -> None:
    async with Rig().running(max_connections=1) as rig:
        for _ in range(2):
            async with rig.call():
                await until(lambda: rig.hub.hub.legs)
                assert await rig.code(BACKUP_KEY) == RejectCode.OVERLOAD
            # The place is free when the connection's task has ended, after its publication.
            await until(lambda: rig.gateway.srt and not rig.gateway.srt.connections)
            await until(lambda: rig.metric("connections") == 0)


@pytest.mark.parametrize("host", BOTH_LOOPBACKS)
async def test_one_port_takes_ipv4_and_ipv6(host: str) -> None:
    async with Rig().running(bind="::") as rig, rig.call(host=host):
        await until(lambda: rig.hub.hub.legs)
        assert rig.hub.hub.legs[0].hello.remote == host
