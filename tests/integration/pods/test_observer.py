"""Polling of media pods, against the real `/v1/status` of a media pod on a local port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import (
    IngestStatus,
    PlayStatus,
    PodStatus,
    PusherStatus,
    PushState,
    RecorderPhase,
    RecorderStatus,
)
from sluice_media.pod import status_server as media_status
from sluice_media.pod.status_server import StatusBoard, serve_status
from sluice_operator.domain.names import UID_LABEL
from sluice_operator.engine.clock import SystemClock
from sluice_operator.pods.endpoints import endpoint_of
from sluice_operator.pods.observer import ObserverTimes, StatusObserver
from tests.support.pod_world import (
    TOKEN,
    LocalHttp,
    World,
    make_pod,
    make_status,
    polls,
    raw_pod,
    until,
)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(media_status, "HEARTBEAT_SECONDS", 0.1)
    async with LocalHttp() as http:
        assert isinstance(http, LocalHttp)
        made = World(http)
        running = asyncio.ensure_future(made.observer.run())
        await asyncio.sleep(0)
        yield made
        running.cancel()
        await asyncio.wait([running])
        assert polls() == [], "a poll was left behind"


@pytest.fixture
async def pods(world: World) -> AsyncIterator[Callable[..., Any]]:
    """Makes media pods: `await pods(status)` returns the board of a new one."""
    async with AsyncExitStack() as stack:

        async def make(status: PodStatus, name: str = "show-pod-1") -> StatusBoard[Any]:
            board = StatusBoard(status, ticking=frozenset({"recording_duration"}))
            serving = serve_status(
                board=board,
                token=lambda: TOKEN,
                ready=lambda: True,
                registry=CollectorRegistry(),
                host="127.0.0.1",
                port=0,
            )
            world.http.ports[name] = await stack.enter_async_context(serving)
            return board

        yield make


async def test_a_change_is_told_at_once(world: World, pods: Any) -> None:
    board = await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    board.update(on_air=True)
    await until(lambda: len(world.answers) == 2, 1.8)
    assert [getattr(a, "on_air", None) for a in world.answers] == [False, True]


async def test_heartbeats_keep_an_unchanged_word_fresh(world: World, pods: Any) -> None:
    await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    await asyncio.sleep(1.2)
    last = world.samples.last("owner", PodStatus)
    assert last is not None
    assert last[1] < 0.3
    assert len(world.answers) == 1
    assert world.results("answer") == 1


async def test_silence_is_told_and_so_is_the_return(world: World) -> None:
    """A frozen pod: the connection stands, but not even heartbeats come."""
    frozen = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if request.query["version"] == "-1":
            await response.write(make_status().to_json().encode())
            return response
        while frozen.is_set():
            await asyncio.sleep(0.05)
        for _ in range(20):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        await response.write(make_status().to_json().encode())
        return response

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        frozen.set()
        world.observer.see(make_pod())
        await until(lambda: world.liveness == 2)  # heard, then silent
        last = world.samples.last("owner", PodStatus)
        assert last is not None
        assert last[1] > 0.4
        frozen.clear()
        await until(lambda: world.liveness == 3)


async def test_the_answer_of_another_pod_is_discarded(world: World, pods: Any) -> None:
    """A Succeeded pod keeps its podIP after the address was given away."""
    await pods(make_status(uid="somebody-else"))
    world.observer.see(make_pod())
    await until(lambda: world.results("other_pod"))
    assert world.samples.last("owner", PodStatus) is None
    assert world.answers == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": {"phase": "Succeeded", "podIP": "127.0.0.1"}},
        {"status": {"phase": "Running"}},
        {"status": {"phase": "Running", "podIP": "127.0.0.1"}, "deletionTimestamp": "now"},
    ],
)
def test_only_running_pods_with_an_address_are_asked(change: dict[str, Any]) -> None:
    pod = make_pod()
    pod["status"] = change["status"]
    if "deletionTimestamp" in change:
        pod["metadata"]["deletionTimestamp"] = change["deletionTimestamp"]
    assert endpoint_of(pod) is None


def test_pods_of_somebody_else_are_not_asked() -> None:
    pod = make_pod()
    del pod["metadata"]["labels"][UID_LABEL]
    assert endpoint_of(pod) is None


async def test_a_pod_whose_object_does_not_exist_is_not_asked(world: World, pods: Any) -> None:
    await pods(make_status())
    world.owners.clear()
    world.observer.see(make_pod())
    await asyncio.sleep(0.2)
    assert world.answers == []


async def test_a_vanished_pod_is_not_asked_any_more(world: World, pods: Any) -> None:
    await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    world.observer.lose("pod-1")
    await asyncio.sleep(0.05)
    assert polls() == []
    # Its last word is kept, and ages; whoever relies on it is told when it is stale.
    assert world.samples.last("owner", PodStatus) is not None
    told = world.liveness
    await until(lambda: world.liveness > told)


async def test_a_terminating_pod_is_let_go(world: World, pods: Any) -> None:
    board = await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    pod = make_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-03-01T13:00:00Z"
    world.observer.see(pod)
    board.update(on_air=True)
    await asyncio.sleep(0.2)
    assert len(world.answers) == 1


async def test_an_object_that_is_gone_takes_its_polls_and_words_along(
    world: World, pods: Any
) -> None:
    await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    world.observer.forget("owner")
    assert world.samples.last("owner", PodStatus) is None


async def test_a_word_of_an_older_pod_never_replaces_a_newer_ones(world: World, pods: Any) -> None:
    await pods(make_status("pod-1"), "show-pod-1")
    await pods(make_status("pod-2", on_air=True), "show-pod-2")
    newer = make_pod("pod-2")
    newer["metadata"]["creationTimestamp"] = "2026-03-01T12:05:00Z"
    world.observer.see(newer)
    await until(lambda: world.answers)
    world.observer.see(make_pod("pod-1"))
    await until(lambda: len(world.answers) == 2)
    last = world.samples.last("owner", PodStatus)
    assert last is not None
    assert last[0].pod_uid == "pod-2"


async def test_a_refused_token_is_read_again(world: World, pods: Any) -> None:
    await pods(make_status())
    world.token = SecretStr("an-old-token")
    world.observer.see(make_pod())
    await until(lambda: world.fresh_token_reads)
    world.token = TOKEN
    await until(lambda: world.answers)
    assert world.results("http_401") >= 1


async def test_a_pod_that_listens_late_is_found_quickly(world: World, pods: Any) -> None:
    world.observer.see(make_pod())
    await until(lambda: world.results("unreachable") >= 2)
    await pods(make_status())
    await until(lambda: world.answers, 2)


async def test_a_pod_that_is_about_to_listen_is_asked_again_quickly(
    world: World, pods: Any
) -> None:
    """Else its first seconds of refused connections would add up to a long pause."""
    world.observer.see(make_pod())
    await until(lambda: world.results("unreachable") >= 10)
    await pods(make_status())
    await until(lambda: world.answers, 2)


async def test_readiness_ends_the_wait_for_the_next_try(world: World, pods: Any) -> None:
    world.observer = StatusObserver(
        world.http,
        world.samples,
        SystemClock(),
        world.metrics,
        token_of=world._token,
        is_current=lambda target: True,
        on_answer=world._answer,
        on_liveness=world._alive,
        times=ObserverTimes(first_retry_seconds=60, last_retry_seconds=60),
    )
    running = asyncio.ensure_future(world.observer.run())
    await asyncio.sleep(0)
    world.observer.see(make_pod())
    await until(lambda: world.results("unreachable"))
    await pods(make_status())
    world.observer.see(make_pod(conditions=[{"type": "Ready", "status": "True"}]))
    await until(lambda: world.answers)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"x" * 300_000, "too_large"),
        (b"{}", "not_a_status"),
        (b"", "not_a_status"),
        (b'{"role": "push"}', "not_a_status"),
    ],
)
async def test_what_is_no_status_is_refused(world: World, body: bytes, result: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        world.observer.see(make_pod())
        await until(lambda: world.results(result))
    assert world.answers == []


@pytest.mark.parametrize(
    ("role", "ticking"),
    [
        ("record", partial(RecorderStatus, phase=RecorderPhase.RECORDING)),
        ("push", partial(PusherStatus, state=PushState.LIVE)),
    ],
)
async def test_what_ticks_is_fetched_more_often(
    world: World, role: str, ticking: Callable[..., PodStatus]
) -> None:
    waits: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        waits.append(request.query["wait"])
        status = ticking(pod_uid="pod-1", version=1, observed_at=datetime.now(UTC))
        return web.Response(body=status.to_json())

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        world.observer.see(make_pod(role=role))
        await until(lambda: len(waits) > 2)
    assert waits[:3] == ["5", "9", "9"]
    assert len(world.answers) >= 2, "each brings a number to be mirrored"


async def test_answers_of_a_stream_on_air_are_told_and_not_fetched_more_often(
    world: World,
) -> None:
    """Its status shows how old they are."""
    waits: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        waits.append(request.query["wait"])
        return web.Response(body=make_status(on_air=True).to_json())

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        world.observer.see(make_pod())
        await until(lambda: len(world.answers) == 2)
    assert waits == ["5", "5"]


async def test_a_pod_that_does_not_wait_is_not_asked_in_a_rush(world: World) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(body=make_status().to_json())

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        world.observer.see(make_pod())
        await asyncio.sleep(0.8)
    assert asked == 2


def play_status(uid: str, **facts: Any) -> PlayStatus:
    return PlayStatus(pod_uid=uid, version=0, observed_at=datetime.now(UTC), **facts)


async def test_each_play_pod_has_its_own_word_beside_the_hubs(world: World, pods: Any) -> None:
    await pods(make_status(on_air=True))
    world.observer.see(make_pod())
    for uid in ("play-1", "play-2"):
        await pods(play_status(uid, is_serving=uid == "play-1"), f"show-{uid}")
        world.observer.see(make_pod(uid, role="play"))
    await until(lambda: len(world.answers) == 3)
    answers = {s.pod_uid: s.is_serving for s, _ in world.samples.each("owner", PlayStatus)}
    assert answers == {"play-1": True, "play-2": False}
    hub = world.samples.last("owner", IngestStatus)
    assert hub is not None
    assert hub[0].on_air
    world.observer.lose("play-1")
    assert [s.pod_uid for s, _ in world.samples.each("owner", PlayStatus)] == ["play-2"]
    assert world.samples.last("owner", IngestStatus) is not None


async def test_the_window_of_a_play_pod_is_reported_while_it_serves(
    world: World, pods: Any
) -> None:
    await pods(play_status("play-1", is_serving=True), "show-play-1")
    world.observer._times = replace(world.observer._times, wait_seconds=0.1)
    world.observer.see(make_pod("play-1", role="play"))
    await until(lambda: len(world.answers) >= 2)
