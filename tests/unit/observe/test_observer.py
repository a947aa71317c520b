"""Polling of media pods, against the real `/v1/status` of a media pod on a local port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media import status as media_status
from sluice_media.contract import IngestStatus, PodStatus, RecorderPhase, RecorderStatus
from sluice_media.status import StatusBoard, serve_status
from sluice_operator.domain.names import KIND_LABEL, NAME_LABEL, ROLE_LABEL, UID_LABEL
from sluice_operator.engine.clock import SystemClock
from sluice_operator.engine.queue import Key
from sluice_operator.observe.http import DirectHttp, PodAddress
from sluice_operator.observe.observer import ObserverTimes, StatusObserver, target_of
from sluice_operator.observe.samples import Samples
from sluice_operator.telemetry.metrics import Metrics

OWNER = Key("LiveStream", "ns", "show")
TOKEN = SecretStr("a-token")
TIMES = ObserverTimes(
    wait_seconds=5, silence_seconds=0.5, connect_seconds=0.5, last_retry_seconds=0.2
)


def make_pod(uid: str = "pod-1", role: str = "ingest", **status: Any) -> dict[str, Any]:
    labels = {ROLE_LABEL: role, KIND_LABEL: "LiveStream", NAME_LABEL: "show", UID_LABEL: "owner"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"show-{uid}",
            "namespace": "ns",
            "uid": uid,
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": labels,
        },
        "status": {"phase": "Running", "podIP": "127.0.0.1", **status},
    }


def make_status(uid: str = "pod-1", **more: Any) -> IngestStatus:
    return IngestStatus(pod_uid=uid, version=0, observed_at=datetime.now(UTC), **more)


class LocalHttp(DirectHttp):
    """Pods by name at local ports instead of by address at 9100."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, int] = {}

    @asynccontextmanager
    async def open(
        self,
        method: str,
        pod: PodAddress,
        port: int,
        path: str,
        token: SecretStr | None,
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        local = self.ports.get(pod.name, 9)
        async with super().open(method, pod, local, path, token, timeout, body) as response:
            yield response


class World:
    """An observer with everything around it, and what it told."""

    def __init__(self, http: LocalHttp) -> None:
        self.http = http
        self.metrics = Metrics()
        self.samples = Samples(SystemClock())
        self.answers: list[PodStatus] = []
        self.liveness = 0
        self.token: SecretStr | None = TOKEN
        self.asked_fresh = 0
        self.owners = {"owner"}
        self.observer = StatusObserver(
            http,
            self.samples,
            SystemClock(),
            self.metrics,
            token_of=self._token,
            is_current=lambda target: target.owner_uid in self.owners,
            on_answer=self._answer,
            on_liveness=self._alive,
            times=TIMES,
        )

    async def _token(self, owner: Key, fresh: bool) -> SecretStr | None:
        assert owner == OWNER
        self.asked_fresh += fresh
        return self.token

    def _answer(self, owner: Key, former: PodStatus | None, status: PodStatus) -> None:
        assert owner == OWNER
        self.answers.append(status)

    def _alive(self, owner: Key) -> None:
        self.liveness += 1

    def results(self, result: str) -> float:
        return float(self.metrics.poll_answers.labels(result)._value.get())


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


def polls() -> list[str]:
    names = (task.get_name() for task in asyncio.all_tasks())
    return [name for name in names if name.startswith("poll-")]


async def until(true: Callable[[], object], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_change_is_told_at_once(world: World, pods: Any) -> None:
    board = await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    board.update(on_air=True)
    await until(lambda: len(world.answers) == 2, 0.5)
    assert [getattr(a, "on_air", None) for a in world.answers] == [False, True]


async def test_heartbeats_keep_an_unchanged_word_fresh(world: World, pods: Any) -> None:
    await pods(make_status())
    world.observer.see(make_pod())
    await until(lambda: world.answers)
    await asyncio.sleep(1.2)
    last = world.samples.last("owner")
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
        last = world.samples.last("owner")
        assert last is not None
        assert last[1] > 0.4
        frozen.clear()
        await until(lambda: world.liveness == 3)


async def test_the_answer_of_another_pod_is_discarded(world: World, pods: Any) -> None:
    """A Succeeded pod keeps its podIP after the address was given away."""
    await pods(make_status(uid="somebody-else"))
    world.observer.see(make_pod())
    await until(lambda: world.results("other_pod"))
    assert world.samples.last("owner") is None
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
    assert target_of(pod) is None


def test_pods_of_somebody_else_are_not_asked() -> None:
    pod = make_pod()
    del pod["metadata"]["labels"][UID_LABEL]
    assert target_of(pod) is None


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
    assert world.samples.last("owner") is not None
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
    assert world.samples.last("owner") is None


async def test_a_word_of_an_older_pod_never_replaces_a_newer_ones(world: World, pods: Any) -> None:
    await pods(make_status("pod-1"), "show-pod-1")
    await pods(make_status("pod-2", on_air=True), "show-pod-2")
    newer = make_pod("pod-2")
    newer["metadata"]["creationTimestamp"] = "2026-03-01T12:05:00Z"
    world.observer.see(newer)
    await until(lambda: world.answers)
    world.observer.see(make_pod("pod-1"))
    await until(lambda: len(world.answers) == 2)
    last = world.samples.last("owner")
    assert last is not None
    assert last[0].pod_uid == "pod-2"


async def test_a_refused_token_is_read_again(world: World, pods: Any) -> None:
    await pods(make_status())
    world.token = SecretStr("an-old-token")
    world.observer.see(make_pod())
    await until(lambda: world.asked_fresh)
    world.token = TOKEN
    await until(lambda: world.answers)
    assert world.results("http_401") >= 1


async def test_a_pod_that_listens_late_is_found_quickly(world: World, pods: Any) -> None:
    world.observer.see(make_pod())
    await until(lambda: world.results("unreachable") >= 2)
    await pods(make_status())
    await until(lambda: world.answers, 0.5)


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
    await until(lambda: world.answers, 1)
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


async def test_a_duration_that_ticks_is_fetched_more_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        waits.append(request.query["wait"])
        status = RecorderStatus(
            pod_uid="pod-1",
            version=1,
            observed_at=datetime.now(UTC),
            phase=RecorderPhase.RECORDING,
        )
        return web.Response(body=status.to_json())

    async with raw_pod(answer) as port:
        world.http.ports["show-pod-1"] = port
        world.observer.see(make_pod(role="record"))
        await until(lambda: len(waits) > 2)
    assert waits[:3] == ["5", "10", "10"]


@asynccontextmanager
async def raw_pod(
    handler: Callable[[web.Request], Any],
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/v1/status", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()
