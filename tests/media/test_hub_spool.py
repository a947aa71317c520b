"""Sessions that nobody recorded: the ingest pod has them on its disk for who comes later."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sluice_media.contract import (
    RingPin,
    TimelineAck,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.hub.spool.disk import Piece, SpoolDisk
from sluice_media.hub.spool.policy import recordable
from tests.media.test_hub_legs import until
from tests.media.test_hub_role import HUB_TOKEN, Pod
from tests.support.flv_leg import FlvLeg
from tests.support.hub_rig import LegClient, RawReader, Rig
from tests.support.media_clips import Clip, make_clip

HEADERS = {"Authorization": f"Bearer {HUB_TOKEN}"}
AUTO: dict[str, Any] = {"resume_window_seconds": 1, "auto_record": True}


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
        pod = Pod(tmp_path, client)
        pod.write(**AUTO)
        await pod.start()
        try:
            yield pod
        finally:
            if pod.process.returncode is None:
                pod.process.kill()
                await pod.process.wait()


async def broadcast(pod: Pod, flv: bytes) -> None:
    """A whole session; returns after its end."""
    ended = len((await pod.status()).past_sessions)
    leg = LegClient()
    listening = await pod.publish(leg)
    for record in FlvLeg().of_file(flv):
        leg.raw(record)
    await asyncio.sleep(1.5)
    leg.close()

    async def over() -> None:
        while len((await pod.status()).past_sessions) == ended:
            await asyncio.sleep(0.1)

    await asyncio.wait_for(over(), 30)
    listening.cancel()


@asynccontextmanager
async def reading(pod: Pod, **query: str) -> AsyncIterator[RawReader]:
    query = {"role": "recorder", **query}
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{pod.hub}/v1/timeline", params=query, headers=HEADERS) as response,
    ):
        response.raise_for_status()
        reader = RawReader(response)
        task = asyncio.create_task(reader.run())
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def hashes(payloads: list[bytes]) -> list[str]:
    return [sha256(payload).hexdigest() for payload in payloads]


def assert_whole(reader: RawReader, made: Clip) -> None:
    first = next(unit.dts for unit in made.units if unit.is_random_access)
    for track in (0, 1):
        sent = [u.payload for u in made.units if u.track == track and u.dts >= first]
        got = [u.payload for u in reader.units if u.track == track]
        assert hashes(got) == hashes(sent)
    assert not reader.of(TimelineGap)
    assert isinstance(reader.records[-1], TimelineEnd)


async def test_two_sessions_that_nobody_recorded_come_out_whole_though_the_process_was_killed(
    pod: Pod, tmp_path: Path
) -> None:
    clips = []
    for number in range(2):
        source = tmp_path / f"clip{number}.flv"
        clips.append(make_clip(source, seconds=3 + number))
        await broadcast(pod, source.read_bytes())

    async def written() -> None:
        while "sluice_hub_spool_behind" not in (text := await pod.metrics()) or (
            "sluice_hub_spooled_sessions 2.0" not in text
        ):
            await asyncio.sleep(0.1)

    await asyncio.wait_for(written(), 30)
    await asyncio.sleep(6)  # the end is written a second later
    pod.process.kill()
    await pod.process.wait()
    await pod.start()
    offered = (await pod.status()).recordable
    assert [session.on for session in offered] == [False, False]
    async with aiohttp.ClientSession() as client:
        query = {"session": "2001-01-01T00:00:00Z"}
        response = await client.get(f"{pod.hub}/v1/timeline", params=query, headers=HEADERS)
        assert response.status == 404
        assert (await response.json())["reason"] == "NoSuchSession"
        query = {"session": "the one before"}
        response = await client.get(f"{pod.hub}/v1/timeline", params=query, headers=HEADERS)
        assert response.status == 400
    # Another session is on while they are fetched.
    leg = LegClient()
    listening = await pod.publish(leg)
    leg.start()
    leg.send(100)
    pins = [
        RingPin(recording_uid=f"rec{n}", since=s.started_at, session_started_at=s.started_at)
        for n, s in enumerate(offered)
    ]
    pod.write(**AUTO, pins=pins, generation=2)
    while (await pod.status()).config_generation != 2:
        await asyncio.sleep(0.1)
    for number, (session, made) in enumerate(zip(offered, clips, strict=True)):
        asked = {"session": session.started_at.isoformat(), "reader": f"rec{number}"}
        async with reading(pod, **asked) as reader:
            await until(reader.done.is_set, 30)
        assert reader.clean_end
        assert_whole(reader, made)
        last = {unit.track: unit.dts for unit in reader.units}
        timeline = reader.of(TimelineFormat)[0].timeline
        ack = TimelineAck(reader=f"rec{number}", timeline=timeline, dts=min(last.values()))
        async with aiohttp.ClientSession() as client:
            url = f"{pod.hub}/v1/timeline/ack"
            response = await client.post(url, data=ack.to_json(), headers=HEADERS)
            assert response.status == 204

    async def freed() -> None:
        while [session.on for session in (await pod.status()).recordable] != [True]:
            await asyncio.sleep(0.1)

    await asyncio.wait_for(freed(), 30)
    listening.cancel()


async def test_a_disk_that_stalls_stops_neither_the_air_nor_the_heartbeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.hub.spool.spooler.WRITE_SECONDS", 0.1)
    real_read, real_write = SpoolDisk.read, SpoolDisk.write
    well = threading.Event()
    well.set()

    def read(*args: Any) -> Piece:
        well.wait(60)
        return real_read(*args)

    def write(*args: Any) -> None:
        well.wait(60)
        real_write(*args)

    monkeypatch.setattr(SpoolDisk, "read", read)
    monkeypatch.setattr(SpoolDisk, "write", write)
    async with (
        Rig(tmp_path, auto_record=True).running() as rig,
        rig.publisher() as publisher,
        rig.reading() as live,
    ):
        publisher.start()
        publisher.send(25 * 50)
        await until(lambda: len(live.pictures) == 1_250, 30)
        timeline = rig.hub.output.timeline
        assert timeline is not None
        await until(lambda: timeline.spooled is not None, 20)
        publisher.send(25 * 100)
        async with asyncio.timeout(30):
            while not timeline.ring.first:
                await publisher.play(1)
        well.clear()
        session = str(timeline.started_us)
        async with rig.reading(role="recorder", session=session) as recorder:
            await publisher.play(2)
            await until(lambda: len(live.pictures) == publisher.number, 20)
            await until(lambda: len(recorder.of(TimelineHeartbeat)) >= 3, 20)
            assert not recorder.units
            well.set()
            await until(lambda: len(recorder.pictures) == publisher.number, 20)
            assert recorder.pictures == list(range(publisher.number))


async def test_a_session_goes_on_in_the_next_process_with_what_its_gateway_sends_again(
    tmp_path: Path,
) -> None:
    async with (
        Rig(tmp_path, auto_record=True).running() as before,
        before.publisher(connection="c") as publisher,
    ):
        publisher.start()
        await publisher.play(3)
        await until(lambda: before.hub.output.units == 150)
        await asyncio.sleep(0.3)
        ack = publisher.last_ack
        timeline = before.hub.output.timeline
        assert timeline is not None
        session = str(timeline.started_us)
    async with (
        Rig(tmp_path, auto_record=True).running() as rig,
        rig.reading(role="recorder", reader="early", session=session) as early,
        rig.publisher(connection="c", resume=ack) as publisher,
    ):
        publisher.start()
        publisher.send(100)
        await until(lambda: len(early.pictures) == 100, 30)
        async with rig.reading(role="recorder", reader="late", session=session) as late:
            await until(lambda: len(late.pictures) == 100, 30)
        assert early.pictures == late.pictures == list(range(100))
        assert not early.of(TimelineGap)
        assert not late.of(TimelineGap)
        [offered] = recordable(rig.hub.output.timelines, rig.config)
        assert offered.on
