"""What the watch did not tell is found; a kind that is not served any more ends the process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluice_operator.domain.names import GROUP
from sluice_operator.engine.queue import Key
from sluice_operator.engine.resync import (
    CrdVanishedError,
    Resync,
    Watched,
    list_everything,
    missing_crds,
)
from sluice_operator.kube.errors import UnavailableError
from sluice_operator.kube.resources import DEPLOYMENTS, LIVE_STREAMS
from tests.unit.engine.builders import KEY, Engine, make_deployment, make_livestream

WATCHED = (Watched(LIVE_STREAMS), Watched(DEPLOYMENTS, "app.kubernetes.io/managed-by=sluice"))


class Rounds:
    def __init__(self, engine: Engine) -> None:
        self.count = 0
        self.resync = Resync(
            engine.api,
            engine.cache,
            engine.lookup,
            engine.clock,
            WATCHED,
            group=GROUP,
            enqueue_all=self._count,
        )

    def _count(self) -> None:
        self.count += 1


def make_ours() -> dict[str, Any]:
    deployment = make_deployment()
    deployment["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "sluice"}
    return deployment


async def test_everything_is_listed_before_the_work_begins() -> None:
    engine = Engine()
    engine.api.put(make_livestream())
    engine.api.put(make_ours())
    await list_everything(engine.api, engine.cache, WATCHED)
    assert len(engine.cache) == 2


async def test_a_ghost_is_removed_and_told() -> None:
    """Deleted between our list and the watch's: nobody reports it."""
    engine = Engine()
    engine.api.put(make_livestream())
    await list_everything(engine.api, engine.cache, WATCHED)
    engine.api.drop("LiveStream", "show")
    heard: list[Any] = []
    engine.cache.subscribe(lambda former, present: heard.append(present))
    await Rounds(engine).resync.once()
    assert engine.cache.find(KEY) is None
    assert heard == [None]


async def test_what_came_unnoticed_is_fetched() -> None:
    engine = Engine()
    await list_everything(engine.api, engine.cache, WATCHED)
    engine.api.put(make_livestream())
    engine.api.put(make_ours())
    await Rounds(engine).resync.once()
    assert engine.cache.find(KEY) is not None
    assert engine.cache.find(Key("Deployment", "ns", "show-ingest")) is not None


async def test_what_changed_unnoticed_is_fetched() -> None:
    engine = Engine()
    engine.api.put(make_livestream())
    await list_everything(engine.api, engine.cache, WATCHED)
    engine.api.set_value("LiveStream", "show", "spec.title", "new")
    await Rounds(engine).resync.once()
    found = engine.cache.find(KEY)
    assert found is not None
    assert found["spec"]["title"] == "new"


async def test_a_round_that_finds_nothing_fetches_nothing() -> None:
    engine = Engine()
    engine.api.put(make_livestream())
    await list_everything(engine.api, engine.cache, WATCHED)
    engine.api.requests.clear()
    await Rounds(engine).resync.once()
    assert {verb for verb, _, _ in engine.api.requests} == {"list"}


async def test_an_object_newer_than_the_list_is_no_ghost() -> None:
    engine = Engine()
    newer = {**make_livestream(uid="u"), "metadata": {**make_livestream(uid="u")["metadata"]}}
    newer["metadata"]["resourceVersion"] = "999999"
    engine.cache.update(newer)
    await Rounds(engine).resync.once()
    assert engine.cache.find(KEY) is not None


async def test_a_kind_that_vanished_ends_the_process() -> None:
    engine = Engine()
    engine.api.plurals.discard("livestreams")
    assert await missing_crds(engine.api, WATCHED, GROUP) == {"livestreams"}
    with pytest.raises(CrdVanishedError, match="livestreams"):
        await Rounds(engine).resync.once()


async def test_the_first_round_is_after_15_seconds_then_every_ten_minutes() -> None:
    engine = Engine()
    rounds = Rounds(engine)
    running = asyncio.ensure_future(rounds.resync.run())
    counts = []
    for seconds in (14, 2, 590, 15, 600):
        await engine.clock.advance(seconds)
        counts.append(rounds.count)
    running.cancel()
    assert counts == [0, 1, 1, 2, 3]


async def test_a_watch_that_began_anew_is_followed_by_a_round() -> None:
    """Its list does not say what was deleted while nobody watched."""
    engine = Engine()
    rounds = Rounds(engine)
    running = asyncio.ensure_future(rounds.resync.run())
    await engine.clock.advance(16)
    for _ in range(500):
        rounds.resync.soon()
    await engine.clock.advance(6)
    assert rounds.count == 2
    await engine.clock.advance(500)
    running.cancel()
    assert rounds.count == 2


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    engine = Engine()
    rounds = Rounds(engine)
    engine.api.fail = lambda verb, kind, name: UnavailableError("away")
    running = asyncio.ensure_future(rounds.resync.run())
    await engine.clock.advance(20)
    engine.api.fail = lambda verb, kind, name: None
    await engine.clock.advance(6)
    running.cancel()
    assert rounds.count == 1
