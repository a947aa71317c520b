"""What it costs that the status of a stream on air shows when it was measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from sluice_media.contract import IngestStatus, PodStatus, Session
from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.observed import ObservedLiveStream
from sluice_operator.engine.children import Children
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.loop import Loop
from sluice_operator.engine.queue import Key
from sluice_operator.engine.reconcile import Reconciler
from sluice_operator.pods.http import PodRequest
from sluice_operator.pods.observer import StatusObserver
from sluice_operator.pods.store_client import StoreClient
from sluice_operator.telemetry.metrics import Metrics
from tests.support.controller_world import World, make_livestream, make_pod, make_token_secret
from tests.support.engine_fakes import FakeClock, settle

SHOW = Key("LiveStream", "ns", "show")


class Hub:
    """An ingest pod whose status stays as it is: each poll is held for as long as was asked."""

    def __init__(self, clock: FakeClock, status: IngestStatus) -> None:
        self._clock = clock
        self._status = status

    @asynccontextmanager
    async def open(self, request: PodRequest) -> AsyncIterator[Any]:
        asked = parse_qs(request.path.partition("?")[2])
        held = 0.0 if int(asked["version"][0]) != self._status.version else float(asked["wait"][0])
        clock, status = self._clock, self._status

        class Content:
            async def iter_any(self) -> AsyncIterator[bytes]:
                until = clock.monotonic() + held
                while (left := until - clock.monotonic()) > 0:
                    await clock.sleep(min(2.0, left))
                    yield b" "
                yield status.model_copy(update={"observed_at": clock.now()}).to_json().encode()

        class Response:
            status = 200
            content = Content()

        yield Response()


class CountedPasses(LiveStreamController):
    passes = 0
    oldest_seconds = 0.0

    def decide(self, observed: ObservedLiveStream, now: datetime) -> Decision:
        self.passes += 1
        measured = (observed.raw.get("status") or {}).get("observedAt")
        if measured is not None:
            age = (now - datetime.fromisoformat(measured)).total_seconds()
            self.oldest_seconds = max(self.oldest_seconds, age)
        return super().decide(observed, now)


class Operator(World):
    """Observer, queue and workers around one stream."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        stream = self.put(make_livestream())
        self.pod = make_pod(stream)
        self.pod["metadata"]["uid"] = "hub"
        self.put(make_token_secret("show-hub", stream, "t" * 32))
        answer = IngestStatus(pod_uid="hub", version=7, observed_at=self.clock.now(), **facts)
        metrics = Metrics()
        self.observer = StatusObserver(
            Hub(self.clock, answer),
            self.samples,
            self.clock,
            metrics,
            token_of=self.context.status_token,
            is_current=lambda target: True,
            on_answer=self.on_answer,
            on_liveness=self.queue.add,
        )
        self.controller = CountedPasses(self.context, None, None)
        reconciler = Reconciler(
            self.api,
            self.cache,
            Children(self.api, self.lookup),
            EventRecorder(self.api, self.clock, metrics, instance="test"),
            store=StoreClient(
                self.context.cache,
                self.context.samples,
                self.context.clock,
                self.http,
                self.context.status_token,
            ),
            clock=self.clock,
            finalizer="sluice.video/recording",
        )
        self.loop = Loop(self.queue, reconciler, [self.controller], self.clock, metrics, workers=1)

    def on_answer(self, owner: Key, former: PodStatus | None, status: PodStatus) -> None:
        self.wakeups.on_answer(owner, former, status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the stream has got all it needs and nothing about it changes any more."""
        tasks = [asyncio.ensure_future(self.observer.run()), asyncio.ensure_future(self.loop.run())]
        self.put(self.pod)
        self.observer.see(self.cache.by_uid("hub") or {})
        await self.clock.advance(60)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await settle()

    async def ten_minutes(self) -> tuple[int, int]:
        """(passes, status writes) of the stream."""
        self.controller.passes, before = 0, len(self.api.requests)
        await self.clock.advance(600)
        asked = self.api.requests[before:]
        writes = sum(request == ("update-status", "LiveStream", "show") for request in asked)
        return self.controller.passes, writes


@pytest.fixture
def on_air() -> dict[str, Any]:
    session = Session(started_at=FakeClock().now(), protocol="RTMP")
    delivers = {"primary_connected": True, "primary_delivers": True}
    return {"on_air": True, "session": session, **delivers}


async def test_a_quiet_stream_on_air_is_looked_at_only_to_renew_its_age(
    on_air: dict[str, Any],
) -> None:
    """Answers come every 26 s. It was looked at every 2.5 s in between, or never again."""
    operator = Operator(**on_air)
    async with operator.running():
        passes, writes = await operator.ten_minutes()
    assert passes == writes
    assert 10 <= writes <= 12


async def test_its_age_stays_below_a_minute(on_air: dict[str, Any]) -> None:
    operator = Operator(**on_air)
    async with operator.running():
        operator.controller.oldest_seconds = 0.0
        await operator.ten_minutes()
    assert 0 < operator.controller.oldest_seconds < 60


async def test_a_quiet_stream_off_air_is_not_looked_at() -> None:
    operator = Operator()
    async with operator.running():
        assert await operator.ten_minutes() == (0, 0)
