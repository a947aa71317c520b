"""Publishers at a hub over real HTTP: who gets in, who does not, and who is cut."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import HELLO_HEADER, LegHello, TimelineEnd, TimelineFormat, TimelineGap
from sluice_media.formats.units import AccessUnit
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, encode_rejection
from sluice_media.timeline.reader import TimelineReader
from tests.support.hub_rig import HUB_TOKEN, Rig, numbers


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(resume_window_seconds=1, stall_milliseconds=400).running() as rig:
        yield rig


async def until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_answer_comes_before_any_media(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        assert publisher.status == 101
        await until(lambda: publisher.lines)
        assert publisher.lines[0]["timeline"] == ""
        await until(lambda: rig.hub.legs)
        assert not rig.hub.delivering


async def test_media_puts_the_stream_on_air_and_is_acknowledged(rig: Rig) -> None:
    async with rig.publisher() as publisher, rig.reading(reader="rec", role="recorder") as reader:
        publisher.start()
        await publisher.play(0.5)
        await until(lambda: publisher.lines[-1]["timeline"])
        assert rig.hub.delivering
        ack = publisher.last_ack
        assert ack.acked_dts is None
        timeline = reader.of(TimelineFormat)[0].timeline
        held = reader.units[-1].dts
        body = f'{{"reader":"rec","timeline":"{timeline}","dts":{held}}}'
        async with rig.client.post(
            f"{rig.url}/v1/timeline/ack",
            data=body,
            headers={"Authorization": "Bearer readers-token"},
        ) as response:
            assert response.status == 204
        await until(lambda: publisher.last_ack.acked_dts is not None)
        ack = publisher.last_ack
        assert ack.acked_dts == held - ack.out_offset
        assert ack.stream_uid == "stream-uid"
        assert ack.timeline == timeline


async def test_a_wrong_key_is_refused_and_said(rig: Rig) -> None:
    async with rig.publisher(key="wrong") as publisher:
        assert publisher.status == 401
        assert publisher.refusal["reason"] == "BadKey"
    assert rig.hub.last_rejection is not None
    assert rig.hub.last_rejection.reason == "BadKey"
    assert not rig.hub.legs


async def test_a_second_publisher_is_busy_and_the_first_untouched(rig: Rig) -> None:
    async with rig.publisher() as first, rig.reading() as reader:
        first.start()
        playing = asyncio.create_task(first.play(1))
        await asyncio.sleep(0.3)
        async with rig.publisher(connection="c2") as second:
            assert second.status == 409
            assert second.refusal["reason"] == "Busy"
        await playing
        await until(lambda: len(reader.pictures) == 25)
        assert reader.pictures == list(range(25))


async def test_a_publisher_that_fell_silent_is_taken_over(rig: Rig) -> None:
    async with rig.publisher() as first, rig.reading() as reader:
        first.start()
        first.send(10)
        await asyncio.sleep(0.5)
        async with rig.publisher(connection="c2", first=100) as second:
            assert second.status == 101
            await until(lambda: first.end_reason == "TakenOver")
            await until(first.closed.is_set)
            second.start()
            second.send(10)
            await until(lambda: len(reader.pictures) == 20)
        assert reader.pictures == [*range(10), *range(100, 110)]
        assert len(reader.of(TimelineGap)) == 1


async def test_the_same_connection_takes_its_leg_over_at_once_and_repeats_nothing(
    rig: Rig,
) -> None:
    async with rig.publisher() as first, rig.reading() as reader:
        first.start()
        first.send(30)
        await until(lambda: first.lines[-1]["timeline"])
        again = first.last_ack
        async with rig.publisher(resume=again) as second:
            assert second.status == 101
            second.start()
            second.send(40)  # from 0 on: ten of them are new
            await until(lambda: len(reader.pictures) == 40)
        assert reader.pictures == list(range(40))
        assert not reader.of(TimelineGap)


async def test_switched_off_cuts_the_publisher_and_refuses_the_next(rig: Rig) -> None:
    async with rig.publisher() as publisher, rig.reading() as reader:
        publisher.start()
        publisher.send(10)
        await until(lambda: reader.pictures)
        rig.configure(active=False)
        await until(lambda: publisher.end_reason == "Disabled", 8)
        await until(reader.done.is_set, 8)
        assert reader.clean_end
    async with rig.publisher() as publisher:
        assert publisher.status == 403
        assert publisher.refusal["reason"] == "Disabled"


async def test_a_rotated_key_cuts_the_old_publisher_and_nobody_else(rig: Rig) -> None:
    async with rig.publisher() as old, rig.reading() as reader:
        old.start()
        old.send(10)
        await until(lambda: len(reader.pictures) == 10)
        rig.key = "new-key"
        rig.configure(resume_window_seconds=1)
        await until(lambda: old.end_reason == "KeyRotated", 8)
        async with rig.publisher(key="right-key", connection="c2") as late:
            assert late.status == 401
        async with rig.publisher(connection="c3", first=50) as new:
            assert new.status == 101
            new.start()
            new.send(5)
            await until(lambda: len(reader.pictures) == 15)
        assert not reader.done.is_set()


async def test_draining_refuses_with_503(rig: Rig) -> None:
    rig.configure(drain=True)
    async with rig.publisher() as publisher:
        assert publisher.status == 503
        assert publisher.refusal["reason"] == "Draining"


async def test_a_hub_that_leaves_sends_its_publisher_on_and_ends_no_session(rig: Rig) -> None:
    async with rig.publisher() as publisher, rig.reading() as reader:
        publisher.start()
        publisher.send(10)
        await until(lambda: len(reader.pictures) == 10)
        rig.server.legs.drain()
        await until(lambda: publisher.end_reason == "Draining")
        assert not reader.of(TimelineEnd)


async def test_the_next_hub_goes_on_with_timeline_and_session(rig: Rig) -> None:
    reader = TimelineReader(
        rig.client,
        url=lambda: rig.url,
        token=lambda: SecretStr(HUB_TOKEN),
        reader="rec",
        role="recorder",
    )
    records: list[object] = []

    async def collect() -> None:
        async for record in reader.records():
            records.append(record)  # noqa: PERF401  they are looked at while it runs

    collecting = asyncio.create_task(collect())
    async with rig.publisher() as publisher:
        publisher.start()
        await publisher.play(1.5)
        ack = publisher.last_ack
        await until(lambda: len(pictures(records)) == 38)
    async with Rig().running() as second, second.publisher(resume=ack) as again:
        rig.url = second.url
        rig.server.timeline.cut_all()
        again.start()
        again.send(65)  # all that it keeps, and then what is new
        await until(lambda: len(pictures(records)) == 65)
        collecting.cancel()
    assert pictures(records) == list(range(65))
    formats = [record for record in records if isinstance(record, TimelineFormat)]
    assert [f.epoch for f in formats] == [1, 2]
    assert len({(f.timeline, f.session_started_at) for f in formats}) == 1
    assert not any(isinstance(record, TimelineGap | TimelineEnd) for record in records)


def pictures(records: list[object]) -> list[int]:
    return numbers([record for record in records if isinstance(record, AccessUnit)])


async def test_garbage_ends_its_own_leg_with_a_reason(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.raw(b"\xff" * 100)
        await until(lambda: publisher.end_reason == "BadMedia")
        await until(publisher.closed.is_set)
    async with rig.publisher(connection="c2") as publisher:
        assert publisher.status == 101
        publisher.start()
        publisher.send(3)
        await until(lambda: rig.hub.delivering)


async def test_a_codec_that_is_not_carried_ends_the_leg_with_its_reason(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        publisher.raw(encode_rejection("UnsupportedCodec", "The video is Sorenson H.263."))
        await until(lambda: publisher.end_reason == "UnsupportedCodec")
    assert rig.hub.last_rejection is not None
    assert rig.hub.last_rejection.reason == "UnsupportedCodec"


async def test_a_hello_that_is_none_is_a_bad_request(rig: Rig) -> None:
    for hello in ("", "{}", "[" * 5_000):
        async with rig.client.post(
            f"{rig.url}/v1/legs",
            headers={
                HELLO_HEADER: hello,
                "Authorization": "Bearer right-key",
                "Connection": "Upgrade",
                "Upgrade": LEG_PROTOCOL,
            },
        ) as response:
            assert response.status == 400
    assert not rig.hub.legs


async def test_a_leg_without_an_upgrade_is_refused(rig: Rig) -> None:
    headers = {HELLO_HEADER: LegHello(protocol="SRT", connection="c").to_json()}
    headers["Authorization"] = "Bearer right-key"
    async with rig.client.post(f"{rig.url}/v1/legs", data=b"leg", headers=headers) as response:
        assert response.status == 426
    assert not rig.hub.legs


async def test_a_body_that_breaks_off_is_the_end_of_the_leg_only(rig: Rig) -> None:
    async with rig.publisher() as publisher, rig.reading() as reader:
        publisher.start()
        publisher.send(10)
        await until(lambda: len(reader.pictures) == 10)
        reader_writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        reader_writer[1].write(b"POST /v1/legs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chu")
        reader_writer[1].close()
        publisher.send(10)
        await until(lambda: len(reader.pictures) == 20)
    await until(lambda: not rig.hub.legs)


async def test_a_broken_leg_may_come_back_inside_the_window(rig: Rig) -> None:
    async with rig.reading() as reader:
        for first in (0, 100):
            async with rig.publisher(connection=f"c{first}", first=first) as publisher:
                publisher.start()
                await publisher.play(0.4)
                assert not reader.done.is_set()
            await asyncio.sleep(0.6)
        [gap] = reader.of(TimelineGap)
        assert 0.5 < gap.wall_seconds < 10
        assert reader.pictures == [*range(10), *range(100, 110)]
        await until(reader.done.is_set)
        assert reader.clean_end


async def test_another_method_is_not_allowed(rig: Rig) -> None:
    async with rig.client.get(f"{rig.url}/v1/legs") as response:
        assert response.status == 405
    with pytest.raises(aiohttp.ClientResponseError, match="401"):
        async with rig.client.get(f"{rig.url}/v1/timeline") as response:
            response.raise_for_status()
