"""Objects by name: few requests, and never a wrong "there is none"."""

from __future__ import annotations

from sluice_operator.kube.resources import DEPLOYMENTS, SECRETS
from tests.unit.engine.builders import Engine, make_deployment, make_secret


async def test_what_is_not_watched_is_asked_for_once_in_a_while() -> None:
    engine = Engine()
    engine.api.put(make_secret())
    for _ in range(3):
        assert await engine.lookup.find(SECRETS, "ns", "show-ingest")
    await engine.clock.advance(16)
    await engine.lookup.find(SECRETS, "ns", "show-ingest")
    assert engine.api.requests == [("get", "Secret", "show-ingest")] * 2


async def test_that_there_is_none_is_believed_for_a_second() -> None:
    engine = Engine()
    assert await engine.lookup.find(SECRETS, "ns", "show-ingest") is None
    engine.api.put(make_secret())
    await engine.clock.advance(1)
    assert await engine.lookup.find(SECRETS, "ns", "show-ingest") is not None


async def test_what_is_watched_costs_no_request_once_it_is_known() -> None:
    engine = Engine()
    deployment = make_deployment()
    deployment["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "sluice"}
    engine.api.put(deployment)
    engine.watch()
    await engine.clock.advance(1_000)
    assert await engine.lookup.find(DEPLOYMENTS, "ns", "show-ingest")
    assert engine.api.requests == []


async def test_an_object_without_our_label_does_not_enter_the_cache() -> None:
    """The watch does not see it, so nothing would ever correct what we believe of it."""
    engine = Engine()
    engine.api.put(make_deployment())
    assert await engine.lookup.find(DEPLOYMENTS, "ns", "show-ingest") is not None
    assert len(engine.cache) == 0
    engine.api.drop("Deployment", "show-ingest")
    await engine.clock.advance(16)
    assert await engine.lookup.find(DEPLOYMENTS, "ns", "show-ingest") is None


async def test_what_nobody_asked_for_in_a_long_time_is_forgotten() -> None:
    engine = Engine()
    engine.api.put(make_secret())
    await engine.lookup.find(SECRETS, "ns", "show-ingest")
    await engine.clock.advance(901)
    engine.lookup.sweep()
    assert engine.lookup._memory == {}
