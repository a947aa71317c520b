"""Test objects, a controller that decides what it is told to, and the engine around them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sluice_operator.domain.decision import Child, Condition, Decision, StoreCall
from sluice_operator.engine.cache import Cache, Manifest, slim
from sluice_operator.engine.children import Children
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.lookup import Lookup
from sluice_operator.engine.queue import Key
from sluice_operator.engine.reconcile import Reconciler
from sluice_operator.kube.client import FIELD_MANAGER
from sluice_operator.kube.resources import LIVE_STREAMS, Resource
from sluice_operator.telemetry.metrics import Metrics
from tests.support.engine_fakes import FakeApi, FakeClock

KEY = Key("LiveStream", "ns", "show")
FINALIZER = "sluice.video/test"


def make_livestream(**meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": "LiveStream",
        "metadata": {"name": "show", "namespace": "ns", "generation": 1, **meta},
        "spec": {},
    }


def make_deployment(replicas: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "show-ingest", "labels": {"app": "show"}},
        "spec": {"replicas": replicas, "paused": False},
    }


def make_secret(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "show-ingest"},
        "data": data or {"token": "czNjcjN0"},
    }


def make_job() -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "show-record"}}


def ready(reason: str = "Configured", status: Any = "True") -> Condition:
    return Condition("Ready", status, reason, "in words")


def decided(*children: Child, **more: Any) -> Decision:
    fields: dict[str, Any] = {"status": {"live": False}, "conditions": (ready(),), **more}
    return Decision(children=children, **fields)


class FakeController:
    """Decides `decision`, and counts how often it gathered."""

    resource: Resource = LIVE_STREAMS

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.gathered = 0

    async def gather(self, obj: Manifest) -> Manifest:
        self.gathered += 1
        return obj

    def decide(self, observed: Manifest, now: datetime) -> Decision:
        return self.decision


class FakeStore:
    def __init__(self) -> None:
        self.calls: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    async def call(self, namespace: str, call: StoreCall) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(call.body)


class Engine:
    """Cache, lookup, children, events and reconciler over one `FakeApi`."""

    def __init__(self, api: FakeApi | None = None, clock: FakeClock | None = None) -> None:
        self.api = api or FakeApi()
        self.clock = clock or FakeClock()
        self.metrics = Metrics()
        self.cache = Cache(lambda obj: slim(obj, FIELD_MANAGER))
        self.lookup = Lookup(
            self.api, self.cache, self.clock, watched={"LiveStream", "Deployment", "Job", "Pod"}
        )
        self.children = Children(self.api, self.lookup)
        self.events = EventRecorder(self.api, self.clock, self.metrics, instance="test")
        self.store = FakeStore()
        self.reconciler = Reconciler(
            self.api,
            self.cache,
            self.children,
            self.events,
            store=self.store,
            clock=self.clock,
            finalizer=FINALIZER,
        )

    def watch(self) -> None:
        """What the watch would have told by now."""
        for obj in tuple(self.api.objects.values()):
            if obj["kind"] in ("LiveStream", "Deployment", "Job", "Pod"):
                self.cache.update(obj)


def make_engine(**meta: Any) -> Engine:
    engine = Engine()
    engine.api.put(make_livestream(**meta))
    engine.watch()
    return engine


def stored(engine: Engine, kind: str = "LiveStream", name: str = "show") -> dict[str, Any]:
    return engine.api.objects[kind, "ns", name]


def conditions(engine: Engine) -> dict[str, dict[str, Any]]:
    return {c["type"]: c for c in stored(engine)["status"]["conditions"]}
