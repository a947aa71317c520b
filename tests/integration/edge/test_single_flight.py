"""One origin request per object and worker, for any number of viewers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.edge_origin import SESSION
from tests.support.edge_rig import Rig, make_rig
from tests.support.edge_viewers import ask_at_once

VIEWERS = 200
WORKERS = 2


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("flight")
    with make_rig(folder, edge={"SLUICE_WORKERS": str(WORKERS)}) as made:
        yield made


async def test_200_waiters_for_a_part_make_one_request_per_worker(rig: Rig) -> None:
    number, part = divmod(rig.finished + 2, rig.parts)
    path = f"{SESSION}/video/{number}.{part}.m4s"
    rig.wait_part(rig.finished + 2)
    answers = await ask_at_once(rig.edge.port, [rig.path(path)] * VIEWERS)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert rig.counts()[f"/{path}"] <= WORKERS


async def test_200_waiters_for_a_playlist_make_one_request_per_worker(rig: Rig) -> None:
    number, part = divmod(rig.finished + 2, rig.parts)
    path = f"{SESSION}/video.m3u8?_HLS_msn={number}&_HLS_part={part}"
    rig.wait_part(rig.finished + 2)
    # An unknown parameter makes no other flight.
    paths = [rig.path(f"{path}&viewer={viewer}") for viewer in range(VIEWERS)]
    answers = await ask_at_once(rig.edge.port, paths)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert rig.counts()[f"/{path}"] <= WORKERS
    slowest = max(answer.seconds for answer in answers)
    assert slowest < 0.5 + 0.5


@pytest.mark.parametrize("path", [f"{SESSION}/video/2.m4s", f"{SESSION}/video/init.1.mp4"])
async def test_200_viewers_of_a_new_segment_make_one_request_per_worker(
    rig: Rig, path: str
) -> None:
    answers = await ask_at_once(rig.edge.port, [rig.path(path)] * VIEWERS)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert rig.counts()[f"/{path}"] <= WORKERS


async def test_200_viewers_of_a_growing_segment_make_one_request_per_part(rig: Rig) -> None:
    number = rig.finished // rig.parts + 1
    rig.wait_part(number * rig.parts)
    path = f"{SESSION}/audio/{number}.m4s"
    answers = await ask_at_once(rig.edge.port, [rig.path(path)] * VIEWERS)
    assert {answer.status for answer in answers} == {200}
    # With the sizes of the chunks: four parts.
    assert {answer.body.count(b"4e20\r\n") for answer in answers} == {4}
    counts = rig.counts()
    for part in range(rig.parts + 1):
        assert counts[f"/{SESSION}/audio/{number}.{part}.m4s"] <= WORKERS


async def test_a_viewer_that_leaves_does_not_end_the_request_of_the_others(rig: Rig) -> None:
    number, part = divmod(rig.finished + 2, rig.parts)
    path = rig.path(f"{SESSION}/video.m3u8?_HLS_msn={number}&_HLS_part={part}")
    _, first = await asyncio.open_connection("127.0.0.1", rig.edge.port)
    first.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.sleep(0.05)
    others = asyncio.create_task(ask_at_once(rig.edge.port, [path] * 10))
    await asyncio.sleep(0.05)
    first.close()
    assert {answer.status for answer in await others} == {200}


async def test_verdicts_are_asked_once_per_worker(rig: Rig) -> None:
    rig.reset()
    await ask_at_once(rig.edge.port, [rig.path("info.json")] * VIEWERS)
    assert rig.counts().get("/access?token=", 0) <= WORKERS
