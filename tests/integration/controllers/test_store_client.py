"""A store's answers over real HTTP: read to the end, in pages, and asked for again by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sluice_media.contract import Gap, RecordedFile, RecorderPhase, StoredResult, StoreStatus
from sluice_media.store.results import page_of
from sluice_operator.domain.decision import StoreCall
from sluice_operator.kube.errors import UnavailableError
from sluice_operator.pods import store_client as gather_store
from sluice_operator.pods.store_client import StoreAnswer, StoreClient
from tests.support.controller_world import NOW, World, make, make_pod, make_token_secret
from tests.support.finished_recording import Recorded
from tests.support.pod_world import LocalHttp

UID = "rec-uid"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_result(files: int, *, gaps: int = 0, state: str = "Done") -> StoredResult:
    listed = [
        RecordedFile(
            index=number,
            name=f"{UID}-{number:03d}.mp4",
            title="Stream Record: the evening show",
            state="Ready",
            started_at=NOW,
            ended_at=NOW,
            sha256="0123456789abcdef" * 4,
            uri=f"s3://a-bucket/recordings/{UID}/{UID}-{number:03d}.mp4",
            gaps=[Gap(at_seconds=at, wall_seconds=1.0) for at in range(gaps)],
        )
        for number in range(1, files + 1)
    ]
    return StoredResult.model_validate({"uid": UID, "state": state, "files": listed})


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time."""
    monkeypatch.setattr(gather_store, "_TIMEOUT", aiohttp.ClientTimeout(total=60))


class Store:
    """A MediaStore `default` with a pod on a local port, and a client of it."""

    def __init__(self, http: LocalHttp) -> None:
        self.world = World()
        self.store = self.world.put(make("MediaStore", "default"))
        self.world.put(make_token_secret("default-store", self.store, "store-token"))
        self.world.put(make_pod(self.store, "store-pod", podIP="127.0.0.1"))
        self.http = http
        self.client = StoreClient(
            self.world.context.cache,
            self.world.context.samples,
            self.world.context.clock,
            http,
            self.world.context.status_token,
        )

    async def ask(self) -> StoreAnswer:
        return await self.client.result(self.store, UID)

    def changed(self, version: int) -> None:
        status = StoreStatus(pod_uid="s", version=version, observed_at=NOW, changed={UID: version})
        self.world.samples.answered(self.store["metadata"]["uid"], "s", "2026", status)


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Store]:
    app = web.Application()
    app.router.add_route("*", "/v1/recordings/{uid}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with LocalHttp() as http:
            assert isinstance(http, LocalHttp)
            http.ports["store-pod"] = int(runner.addresses[0][1])
            yield Store(http)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("pages", [True, False], ids=["in pages", "a store of a former version"])
async def test_two_hundred_and_twenty_files_are_read_to_the_end(pages: bool) -> None:
    """A body of 90 KiB comes in several pieces; the first piece alone is no JSON."""
    result = make_result(220)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.query_string)
        limit, before = request.query.get("limit"), request.query.get("before")
        page = result
        if pages:
            page = page_of(result, int(limit or 0), int(before) if before else None)
        response = web.StreamResponse()
        await response.prepare(request)
        text = page.to_json().encode()
        for start in range(0, len(text), 20_000):
            await response.write(text[start : start + 20_000])
            await asyncio.sleep(0.001)
        return response

    for _ in range(3):
        async with answering(answer) as store:
            found = (await store.ask()).result
        assert found is not None
        assert [f.index for f in found.files][-200:] == list(range(21, 221))
    assert len(asked) == (12 if pages else 3)


def test_a_page_holds_the_newest_files_and_counts_the_older_ones() -> None:
    page = page_of(make_result(120, gaps=300), 50, None)
    assert ([f.index for f in page.files], page.older_files) == (list(range(71, 121)), 70)
    assert {len(f.gaps) for f in page.files} == {100}
    last = page_of(make_result(120), 50, 21)
    assert ([f.index for f in last.files], last.older_files) == (list(range(1, 21)), 0)


async def test_a_failed_question_is_asked_again_by_time_and_not_before() -> None:
    broken = True
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(status=503) if broken else web.Response(text=make_result(1).to_json())

    async with answering(answer) as store:
        first = await store.ask()
        assert (first.result, first.ask_again_seconds) == (None, 2.0)
        waits = []
        for _ in range(7):
            assert (await store.ask()).result is None
            assert (await store.ask()).ask_again_seconds is not None
            wait = (await store.ask()).ask_again_seconds
            assert wait is not None
            waits.append(wait)
            await store.world.clock.advance(wait)
            await store.ask()
        assert waits == [2, 4, 8, 16, 32, 60, 60]
        assert asked == 8
        broken = False
        await store.world.clock.advance(60)
        found = await store.ask()
        assert found.result is not None
        assert found.ask_again_seconds is None, "it is finished"


async def test_news_of_the_store_or_another_pod_end_the_wait() -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(status=503)

    async with answering(answer) as store:
        await store.ask()
        store.changed(7)
        await store.ask()
        assert asked == 2
        store.http.ports["younger"] = store.http.ports["store-pod"]
        pod = make_pod(store.store, "younger", podIP="127.0.0.1")
        pod["metadata"]["creationTimestamp"] = "2026-03-01T12:30:00Z"
        store.world.put(pod)
        await store.ask()
        assert asked == 3


async def test_a_store_without_a_pod_is_looked_for_again() -> None:
    world = World()
    store = world.put(make("MediaStore", "default"))
    found = await StoreClient(
        world.context.cache,
        world.context.samples,
        world.context.clock,
        world.http,
        world.context.status_token,
    ).result(store, UID)
    assert (found.result, found.ask_again_seconds) == (None, 2.0)


async def test_what_is_being_finalised_is_looked_at_again_although_nobody_tells() -> None:
    """The store lists the latest 200 changes, and a new pod of it none of the former one's."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=make_result(0, state="Finalizing").to_json())

    async with answering(answer) as store:
        assert (await store.ask()).ask_again_seconds == 60.0
        await store.world.clock.advance(10)
        assert (await store.ask()).ask_again_seconds == 50.0


async def test_the_answer_to_a_put_is_not_read() -> None:
    """It is of no interest, and may be larger than what is read."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * (9 << 20))

    async with answering(answer) as store:
        await store.client.call("ns", StoreCall("default", {"uid": UID}, "closed"))
        assert (await store.ask()).result is None, "a GET has a limit"


async def test_a_store_that_breaks_off_has_not_answered() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(make_result(1).to_json().encode()[:50])
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(answer) as store:
        assert (await store.ask()).result is None
        with pytest.raises(UnavailableError):
            await store.client.call("elsewhere", StoreCall("default", {"uid": UID}, "closed"))


async def test_the_decision_comes_back_when_the_store_is_to_be_asked_again() -> None:
    """One GET that failed left a Recording Finalizing until the next resync, ten minutes later."""
    recorded = Recorded()
    recorded.world.http.answers["GET", recorded.path] = (503, b"")
    status = {
        "phase": "Finalizing",
        "endReason": "Stopped",
        "recordingStartedAt": "2026-03-01T12:00:00Z",
    }
    over = recorded.world.change(recorded.recording, status=status)
    observed = await recorded.controller.gather(over)
    decision = recorded.controller.decide(observed, recorded.world.clock.now())
    assert decision.requeue_after_seconds is not None
    assert decision.requeue_after_seconds <= 2.0


@pytest.mark.parametrize(("known", "asks"), [(range(1, 41), 0), (range(1, 11), 1), ((), 1)])
async def test_files_that_a_recorder_no_longer_lists_are_asked_of_the_store(
    known: range | tuple[int, ...], asks: int
) -> None:
    """Its status has room for the newest; who was away meanwhile has the others from the store."""
    recorded = Recorded()
    recorded.recorder_reports(RecorderPhase.RECORDING, index=41, older_files=40)
    files = [{"index": index, "state": "Ready"} for index in known]
    begun = recorded.world.change(recorded.recording, status={"files": files})
    await recorded.controller.gather(begun)
    assert len(recorded.world.http.requests) == asks
