"""Readers at a hub over real HTTP: nothing lost, nothing twice, and nobody slowed by another."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from pydantic import SecretStr

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineGap, TimelineHeartbeat
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.http import delivery, server
from sluice_media.hub.output import readers as limits
from sluice_media.timeline.reader import HubBack, TimelineReader
from tests.media.test_hub_legs import until
from tests.support.hub_rig import HUB_TOKEN, RawReader, Rig, numbers


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(resume_window_seconds=1).running() as rig:
        yield rig


async def test_a_reader_before_the_stream_gets_heartbeats_then_everything(rig: Rig) -> None:
    async with rig.reading() as reader, rig.publisher() as publisher:
        await until(lambda: len(reader.of(TimelineHeartbeat)) == 3)
        beats = reader.of(TimelineHeartbeat)
        assert beats == reader.records
        assert not any(beat.session or beat.delivering for beat in beats)
        publisher.start()
        publisher.send(20)
        await until(lambda: len(reader.pictures) == 20)
        assert reader.pictures == list(range(20))


async def test_heartbeats_tell_of_an_interruption_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And do not wait for the next one that is due."""
    for module in (delivery, server):
        monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 30.0)
    async with rig.reading() as reader:
        async with rig.publisher() as publisher:
            publisher.start()
            await publisher.play(0.3)
            await until(lambda: reader.of(TimelineHeartbeat)[-1].delivering)
        started = time.monotonic()
        await until(lambda: not reader.of(TimelineHeartbeat)[-1].delivering)
        assert reader.of(TimelineHeartbeat)[-1].session
        assert time.monotonic() - started < 10


async def test_the_end_closes_the_reply_and_the_next_reader_waits(rig: Rig) -> None:
    async with rig.reading() as reader:
        async with rig.publisher() as publisher:
            publisher.start()
            await publisher.play(0.3)
        await until(reader.done.is_set)
        assert reader.clean_end
        assert reader.of(TimelineEnd)[0].reason == "WindowPassed"
        assert isinstance(reader.records[-1], TimelineEnd)
    async with rig.reading() as late:
        await asyncio.sleep(0.2)
        assert not late.units
        assert not late.done.is_set()


async def test_a_reader_that_comes_back_resumes_without_loss_or_repetition(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.start()
        playing = asyncio.create_task(publisher.play(2))
        got: list[AccessUnit] = []
        position = ""
        while len(numbers(got)) < 45:
            query = {"from": position} if position else {}
            async with rig.reading(reader="r", **query) as reader:
                await until(lambda: reader.of(TimelineFormat))
                await asyncio.sleep(0.3)
            taken = {unit.track: unit.dts for unit in got}
            got += [u for u in reader.units if u.dts > taken.get(u.track, -1)]
            newest = {unit.track: unit.dts for unit in got}
            position = f"{reader.of(TimelineFormat)[0].timeline}:{min(newest.values())}"
            assert not reader.of(TimelineGap)
        await playing
    assert numbers(got) == list(range(len(numbers(got))))


async def test_the_reader_client_rides_over_a_loss_in_one_sequence(rig: Rig) -> None:
    client = TimelineReader(
        rig.client,
        url=lambda: rig.url,
        token=lambda: SecretStr(HUB_TOKEN),
        reader="rec",
        role="recorder",
        since=datetime.now(UTC),
    )
    got: list[AccessUnit] = []
    kinds: list[str] = []

    async def collect() -> None:
        async for record in client.records():
            if isinstance(record, AccessUnit):
                got.append(record)
            elif not isinstance(record, TimelineHeartbeat | HubBack):
                kinds.append(type(record).__name__)
            if isinstance(record, TimelineEnd):
                return

    collecting = asyncio.create_task(collect())
    for first in (0, 100):
        async with rig.publisher(connection=f"c{first}", first=first) as publisher:
            publisher.start()
            await publisher.play(0.4)
        await asyncio.sleep(0.6)
    await asyncio.wait_for(collecting, 20)
    assert numbers(got) == [*range(10), *range(100, 110)]
    assert kinds == [
        "TimelineFormat",
        "TimelineAnchor",
        "TimelineSegment",
        "TimelineGap",
        "TimelineAnchor",
        "TimelineSegment",
        "TimelineEnd",
    ]
    assert all(b.dts > a.dts for a, b in pairwise([u for u in got if u.track == 0]))


async def test_a_reader_comes_back_after_the_end_for_the_tail_it_missed(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.start()
        publisher.send(10)
        async with rig.reading() as reader:
            await until(lambda: len(reader.pictures) == 10)
        publisher.send(10)
        await until(lambda: len(rig.hub.legs) == 1)
        await asyncio.sleep(0.1)
    await until(lambda: rig.hub.output.timeline is None)
    position = f"{reader.of(TimelineFormat)[0].timeline}:{reader.units[-1].dts}"
    async with rig.reading(**{"from": position}) as back:
        await until(back.done.is_set)
    assert numbers([u for u in back.units if u.dts > reader.units[-1].dts]) == list(range(10, 20))
    assert isinstance(back.records[-1], TimelineEnd)


async def test_since_starts_at_the_keyframe_before_that_moment(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.start()
        await publisher.play(1.5)
        asked = datetime.now(UTC)
        await publisher.play(1.0)
        async with rig.reading(since=asked.isoformat()) as reader:
            await until(lambda: reader.pictures)
            assert reader.pictures[0] == 25
        micros = str(int(asked.timestamp() * 1_000_000))
        async with rig.reading(since=micros) as reader:
            await until(lambda: reader.pictures)
            assert reader.pictures[0] == 25
        async with rig.reading() as reader:
            await until(lambda: reader.pictures)
            assert reader.pictures[0] == 50


@pytest.mark.parametrize("query", [{"from": "abc"}, {"from": "t:x"}, {"since": "yesterday"}])
async def test_a_place_that_cannot_be_understood_is_a_bad_request(
    rig: Rig, query: dict[str, str]
) -> None:
    async with rig.client.get(
        f"{rig.url}/v1/timeline",
        params=query,
        headers={"Authorization": f"Bearer {HUB_TOKEN}"},
    ) as response:
        assert response.status == 400


async def test_a_slow_reader_is_dropped_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BEHIND_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.3)
    port = int(rig.url.rpartition(":")[2])
    frozen = socket.socket()
    frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    frozen.connect(("127.0.0.1", port))
    request = f"GET /v1/timeline HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {HUB_TOKEN}\r\n\r\n"
    frozen.sendall(request.encode())
    async with rig.publisher() as publisher, rig.reading() as healthy:
        publisher.start()
        await until(lambda: len(rig.hub.readers) == 2)
        for _ in range(80):
            publisher.send(1, size=200_000)
            await asyncio.sleep(0.02)
        await until(lambda: rig.hub.readers.dropped == 1)
        await until(lambda: len(rig.hub.readers) == 1)
        await until(lambda: len(healthy.pictures) == 80)
        assert healthy.pictures == list(range(80))
    frozen.close()


async def test_a_stopping_hub_breaks_readers_without_an_end() -> None:
    async with Rig().running() as rig, rig.publisher() as publisher:
        publisher.start()
        publisher.send(5)
        async with rig.reading() as reader:
            await until(lambda: len(reader.pictures) == 5)
            rig.server.timeline.cut_all()
            await until(reader.done.is_set)
            assert not reader.clean_end
            assert not reader.of(TimelineEnd)


async def test_an_acknowledgement_of_nobody_is_not_taken(rig: Rig) -> None:
    headers = {"Authorization": f"Bearer {HUB_TOKEN}"}
    url = f"{rig.url}/v1/timeline/ack"
    for body, want in (
        ('{"reader":"ghost","timeline":"t","dts":1}', 404),
        ("{}", 400),
    ):
        async with rig.client.post(url, data=body, headers=headers) as response:
            assert response.status == want
    async with rig.client.post(url, data="{}") as response:
        assert response.status == 401


async def test_a_plain_transport_stream_for_people(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.start()
        publisher.send(30)
        async with rig.client.get(
            f"{rig.url}/v1/timeline",
            params={"format": "ts"},
            headers={"Authorization": f"Bearer {HUB_TOKEN}"},
        ) as response:
            assert response.content_type == "video/mp2t"
            packets = await response.content.readexactly(188 * 10)
    assert all(packets[at] == 0x47 for at in range(0, len(packets), 188))


async def test_many_readers_get_the_same(rig: Rig) -> None:
    got: list[RawReader] = []
    async with rig.publisher() as publisher:
        publisher.start()
        async with asyncio.TaskGroup() as group:

            async def read() -> None:
                async with rig.reading(role="recorder") as reader:
                    got.append(reader)
                    await until(lambda: len(reader.pictures) == 50, 15)

            for _ in range(20):
                group.create_task(read())
            await publisher.play(2)
    assert all(reader.pictures == list(range(50)) for reader in got)
