"""Playback of one stream from its start to its removal, in the requests to the API server."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.domain.observed import EdgeSettings
from sluice_operator.engine.children import Children
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.queue import Key
from sluice_operator.engine.reconcile import Reconciler
from sluice_operator.kube.errors import ForbiddenError
from sluice_operator.pods.store_client import StoreClient
from sluice_operator.telemetry.metrics import Metrics
from tests.support.controller_world import WATCHED, World, make

SHOW = Key("LiveStream", "ns", "show")
OF_PLAYBACK = {
    ("Secret", "show-playback"),
    ("Secret", "show-edge"),
    ("ConfigMap", "show-play"),
    ("Service", "show-play"),
    ("Deployment", "show-play"),
}


class Operator(World):
    """The passes over one stream, with an edge."""

    def __init__(self) -> None:
        super().__init__()
        context = self.context
        context.settings = replace(context.settings, edge=EdgeSettings(host="edge.system.svc"))
        context.edge_key = SecretStr("the-key")
        self.controller = LiveStreamController(context, None, None)
        self.reconciler = Reconciler(
            self.api,
            self.cache,
            Children(self.api, self.lookup),
            EventRecorder(self.api, self.clock, Metrics(), instance="test"),
            store=StoreClient(
                self.cache, self.samples, self.clock, self.http, context.status_token
            ),
            clock=self.clock,
            finalizer="sluice.video/recording",
        )
        self.put(make("LiveStream", "show", source={"push": {}}))

    async def reconcile(self, **spec: Any) -> set[tuple[str, str, str]]:
        """Set the spec, make a pass, and return its writes to children."""
        stream = self.api.objects["LiveStream", "ns", "show"]
        self.change(stream, spec={"source": {"push": {}}, **spec})
        before = len(self.api.writes())
        await self.reconciler.run(self.controller, SHOW)
        self._watch()
        return {write for write in self.api.writes()[before:] if write[1] not in ("LiveStream",)}

    def _watch(self) -> None:
        """Report the changes of the pass, as the watch does."""
        there = {obj["metadata"]["uid"] for obj in self.api.objects.values()}
        for kind in WATCHED:
            for obj in tuple(self.cache.of_kind(kind)):
                if obj["metadata"]["uid"] not in there:
                    self.cache.remove(obj["metadata"]["uid"])
        for obj in tuple(self.api.objects.values()):
            if obj["kind"] in WATCHED:
                self.cache.update(obj)

    def children(self) -> set[tuple[str, str]]:
        return {(kind, name) for kind, _, name in self.api.objects} & OF_PLAYBACK

    def signing_key(self) -> str:
        secret = self.api.objects["Secret", "ns", "show-playback"]
        return b64decode(secret["data"]["key"]).decode()


async def test_the_children_are_made_once_and_a_second_pass_writes_nothing() -> None:
    operator = Operator()
    await operator.reconcile()
    made = await operator.reconcile(playback={})
    assert {(kind, name) for _, kind, name in made} == OF_PLAYBACK
    key = operator.signing_key()
    assert await operator.reconcile(playback={}) == set()
    await operator.clock.advance(20)
    assert await operator.reconcile(playback={}) == set()
    assert operator.signing_key() == key


async def test_a_change_of_the_spec_keeps_the_keys() -> None:
    operator = Operator()
    await operator.reconcile(playback={})
    key = operator.signing_key()
    written = await operator.reconcile(playback={"replicas": 2, "dvrSeconds": 60})
    assert {(kind, name) for _, kind, name in written} == {
        ("ConfigMap", "show-play"),
        ("Deployment", "show-play"),
        ("PodDisruptionBudget", "show-play"),
    }
    assert operator.signing_key() == key


async def test_removed_playback_leaves_nothing_and_can_be_added_again_at_once() -> None:
    operator = Operator()
    await operator.reconcile(playback={"replicas": 2})
    former = operator.signing_key()
    await operator.reconcile()
    assert operator.children() == set()
    assert ("PodDisruptionBudget", "ns", "show-play") not in operator.api.objects
    assert await operator.reconcile() == set()
    await operator.reconcile(playback={})
    assert operator.children() == OF_PLAYBACK
    assert operator.signing_key() != former


async def test_an_interrupted_removal_is_continued() -> None:
    operator = Operator()
    await operator.reconcile(playback={})

    def refuse(verb: str, kind: str, name: str) -> ForbiddenError | None:
        return ForbiddenError("no right") if (verb, kind) == ("delete", "Service") else None

    operator.api.fail = refuse
    await operator.reconcile()
    assert operator.children() == {("Service", "show-play"), ("Deployment", "show-play")}
    operator.api.fail = lambda verb, kind, name: None
    await operator.reconcile()
    assert operator.children() == set()


@pytest.mark.parametrize("playback", [{}, {"access": "Signed"}])
async def test_the_stored_status_has_no_key(playback: dict[str, Any]) -> None:
    operator = Operator()
    await operator.reconcile(playback=playback)
    status = str(operator.api.objects["LiveStream", "ns", "show"]["status"])
    assert operator.signing_key() not in status
    assert "the-key" not in status
