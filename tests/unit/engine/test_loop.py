"""The workers: outcomes lead back into the queue, and one bad object stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sluice_operator.domain.decision import Decision
from sluice_operator.engine.loop import Loop
from sluice_operator.engine.queue import Key, WorkQueue
from tests.support.engine_fakes import settle
from tests.unit.engine.builders import KEY, Engine, FakeController, decided, make_livestream

OTHER = Key("LiveStream", "ns", "other")


@asynccontextmanager
async def running(
    engine: Engine, controller: FakeController, workers: int = 2
) -> AsyncIterator[tuple[WorkQueue, Loop]]:
    queue = WorkQueue(engine.clock, jitter=lambda: 0.0)
    loop = Loop(
        queue, engine.reconciler, [controller], engine.clock, engine.metrics, workers=workers
    )
    task = asyncio.ensure_future(loop.run())
    yield queue, loop
    task.cancel()
    await asyncio.wait([task])


def make_engine() -> Engine:
    engine = Engine()
    engine.api.put(make_livestream())
    engine.api.put({**make_livestream(), "metadata": {"name": "other", "namespace": "ns"}})
    engine.watch()
    return engine


class Crashing(FakeController):
    def decide(self, observed: Any, now: datetime) -> Decision:
        if observed["metadata"]["name"] == "show":
            raise ZeroDivisionError
        return self.decision


async def test_a_bug_that_one_object_brings_out_stops_no_other() -> None:
    engine = make_engine()
    async with running(engine, Crashing(decided())) as (queue, _):
        queue.add(KEY)
        queue.add(OTHER)
        await settle()
        assert "status" in engine.api.objects["LiveStream", "ns", "other"]
        await engine.clock.advance(10)
    failed = engine.metrics.reconcile_errors.labels("LiveStream", "ZeroDivisionError")
    assert failed._value.get() >= 5


async def test_an_object_is_looked_at_again_when_its_decision_says_so() -> None:
    engine = make_engine()
    controller = FakeController(decided(requeue_after_seconds=10))
    async with running(engine, controller) as (queue, _):
        queue.add(KEY)
        await engine.clock.advance(35)
    assert controller.gathered == 4


async def test_an_object_that_is_gone_is_not_looked_at_again() -> None:
    engine = make_engine()
    controller = FakeController(decided(requeue_after_seconds=10))
    async with running(engine, controller) as (queue, _):
        queue.add(KEY)
        await settle()
        engine.cache.remove(engine.api.objects["LiveStream", "ns", "show"]["metadata"]["uid"])
        await engine.clock.advance(100)
    assert controller.gathered == 1


async def test_draining_finishes_what_was_begun_and_begins_nothing() -> None:
    engine = make_engine()
    gate, order = asyncio.Event(), []

    class Slow(FakeController):
        async def gather(self, obj: Any) -> Any:
            order.append(f"begin {obj['metadata']['name']}")
            await gate.wait()
            order.append(f"end {obj['metadata']['name']}")
            return obj

    async with running(engine, Slow(decided()), workers=1) as (queue, loop):
        queue.add(KEY)
        queue.add(OTHER)
        await settle()
        draining = asyncio.ensure_future(loop.drain(5))
        await settle()
        assert not draining.done()
        gate.set()
        await draining
        await settle()
    assert order == ["begin show", "end show"]
