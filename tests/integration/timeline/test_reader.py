"""The reader: nothing twice, nothing lost, whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineHeartbeat
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.timeline.reader import HubBack, HubLost, Position, TimelineReader
from tests.support.fake_hub import FakeHub, running_hub

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def unit(dts: int, track: int = 0) -> AccessUnit:
    return AccessUnit(track, dts, dts, UnitFlags.NONE, 0, b"x")


def fmt(timeline: str = "t1") -> TimelineFormat:
    return TimelineFormat(
        timeline=timeline, epoch=1, stream_uid="u", session_started_at=NOW, tracks=[]
    )


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    """A hub that answers each connection with the next script and then closes it."""
    async with running_hub() as hub:
        hub.token, hub.scripts = "secret", []
        yield hub


async def read(hub: FakeHub, count: int, **options: object) -> tuple[list[object], TimelineReader]:
    async with aiohttp.ClientSession() as session:
        reader = TimelineReader(
            session,
            url=lambda: hub.url,
            token=lambda: SecretStr("secret"),
            reader="r1",
            role="recorder",
            **options,  # type: ignore[arg-type]
        )
        found: list[object] = []
        async with asyncio.timeout(20):
            async for record in reader.records():
                found.append(record)
                if len(found) == count:
                    break
        await reader.acknowledge("t", 1)
        return found, reader


async def test_a_broken_connection_is_resumed_without_a_unit_twice(hub: FakeHub) -> None:
    hub.scripts = [
        [fmt(), unit(1_000), unit(1_000, 1), unit(2_000), unit(3_000)],
        # The audio frame comes from another hub, whose clock puts it 2 ms later.
        [fmt(), unit(2_000), unit(1_180, 1), unit(3_000), unit(2_000, 1), unit(4_000)],
    ]
    found, _ = await read(hub, 11)
    units = [(u.track, u.dts) for u in found if isinstance(u, AccessUnit)]
    assert units == [(0, 1_000), (1, 1_000), (0, 2_000), (0, 3_000), (1, 2_000), (0, 4_000)]
    # Track 1 is only held up to 1000, so that is where the hub is asked to go on.
    assert hub.requests[1]["from"] == "t1:1000"
    assert hub.requests[1]["held_until"] == str(unit(3_000).utc_us)
    assert [type(r) for r in found if isinstance(r, HubLost | HubBack)] == [
        HubBack,
        HubLost,
        HubBack,
    ]


async def test_after_an_end_the_reader_asks_for_whatever_comes_next(hub: FakeHub) -> None:
    end = TimelineEnd(reason="WindowPassed", finished_at=NOW)
    hub.scripts = [[fmt(), unit(1), end], [fmt("t2"), unit(1)]]
    found, _ = await read(hub, 8, since=NOW)
    assert hub.requests[0]["since"] == NOW.isoformat()
    assert "from" not in hub.requests[1]
    assert "since" not in hub.requests[1]
    assert [u.dts for u in found if isinstance(u, AccessUnit)] == [1, 1]


async def test_a_hub_without_heartbeat_is_left_alone_after_two_seconds(hub: FakeHub) -> None:
    hub.scripts = []
    found, _ = await read(hub, 2)
    assert isinstance(found[1], HubLost)
    assert found[1].why == "the hub sent nothing for 2 s"


async def test_a_reader_starts_where_it_was_and_acknowledges(hub: FakeHub) -> None:
    hub.scripts = [[fmt(), TimelineHeartbeat(session=True, delivering=True), unit(8_000)]]
    _, reader = await read(hub, 4, start=Position("t1", {0: 7}))
    assert hub.requests[0]["from"] == "t1:7"
    assert reader.position == Position("t1", {0: 8_000})
    assert hub.acks[0].dts == 1
