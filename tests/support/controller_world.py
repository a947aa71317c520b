"""The environment of a controller, with a fake API server and without a network."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sluice_operator.controllers.context import Context
from sluice_operator.controllers.indices import INDICES, slim_object
from sluice_operator.controllers.wakeups import Wakeups, is_current
from sluice_operator.domain.names import KIND_LABEL, NAME_LABEL, ROLE_LABEL, UID_LABEL
from sluice_operator.domain.observed import DomainSettings
from sluice_operator.engine.cache import Cache
from sluice_operator.engine.lookup import Lookup
from sluice_operator.engine.queue import Key, WorkQueue
from sluice_operator.pods.http import PodRequest
from sluice_operator.pods.observer import StatusObserver
from sluice_operator.pods.samples import Samples
from sluice_operator.telemetry.metrics import Metrics
from tests.support.engine_fakes import FakeApi, FakeClock

OURS = {"LiveStream", "Recording", "Restream", "MediaStore"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WATCHED = OURS | {"Pod", "Deployment", "Job", "PodDisruptionBudget"}
ROLES = {"LiveStream": "ingest", "Recording": "record", "Restream": "push", "MediaStore": "store"}


def make(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns", "generation": 1},
        "spec": spec,
    }


def make_livestream(name: str = "show") -> dict[str, Any]:
    return make("LiveStream", name, source={"push": {}})


def make_recording(name: str = "rec", stream: str = "show", **spec: Any) -> dict[str, Any]:
    return make("Recording", name, streamRef={"name": stream}, **spec)


def make_restream(name: str = "out", stream: str = "show") -> dict[str, Any]:
    return make("Restream", name, streamRef={"name": stream}, uri="rtmp://a/b")


def make_child(
    api_version: str, kind: str, name: str, owner: Mapping[str, Any] | None, **more: Any
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "ns", "labels": {}}
    if owner is not None:
        meta["labels"] = {"app.kubernetes.io/managed-by": "sluice"}
        meta["ownerReferences"] = [
            {
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}


def make_pod(owner: Mapping[str, Any], name: str = "pod", **status: Any) -> dict[str, Any]:
    meta = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": {
                "app.kubernetes.io/managed-by": "sluice",
                ROLE_LABEL: ROLES[owner["kind"]],
                KIND_LABEL: owner["kind"],
                NAME_LABEL: meta["name"],
                UID_LABEL: meta["uid"],
            },
        },
        "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": "10.1.2.3", **status},
    }


class FakeHttp:
    """Answers of media pods by (method, path)."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.requests: list[tuple[str, str, str, int, str | None]] = []

    @asynccontextmanager
    async def open(self, request: PodRequest) -> AsyncIterator[Any]:
        token = request.token.get_secret_value() if request.token else None
        self.requests.append((request.method, request.pod.ip, request.path, request.port, token))
        path = request.path.partition("?")[0]
        status, raw = self.answers.get((request.method, path), (404, b""))

        class Content:
            async def iter_any(self) -> AsyncIterator[bytes]:
                for start in range(0, len(raw), 20):
                    yield raw[start : start + 20]

        class Response:
            content = Content()

        Response.status = status  # type: ignore[attr-defined]
        yield Response()


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.cache = Cache(slim_object, INDICES)
        self.lookup = Lookup(self.api, self.cache, self.clock, watched=WATCHED)
        self.samples = Samples(self.clock)
        self.http = FakeHttp()
        self.queue = WorkQueue(self.clock)
        self.context = Context(
            cache=self.cache,
            lookup=self.lookup,
            samples=self.samples,
            clock=self.clock,
            settings=DomainSettings(media_image="media"),
            started_at=0.0,
        )
        self.observer = StatusObserver(
            self.http,
            self.samples,
            self.clock,
            Metrics(),
            token_of=self.context.status_token,
            is_current=lambda target: is_current(self.cache, target),
            on_answer=lambda owner, former, status: None,
            on_liveness=self.queue.add,
        )
        self.wakeups = Wakeups(self.cache, self.queue, self.observer, self.context.targets)

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create or change an object as another client does; the watch reports it."""
        stored = self.api.put(obj)
        if stored["kind"] in WATCHED:
            self.cache.update(stored)
        return stored

    def change(self, obj: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
        """Put the object with ``parts`` replaced; metadata is merged."""
        meta = {**obj["metadata"], **parts.pop("metadata", {})}
        return self.put({**obj, **parts, "metadata": meta})

    async def woken(self) -> set[Key]:
        """Return the queued keys, and remove them from the queue."""
        found = set()
        while len(self.queue):
            key = await self.queue.get()
            self.queue.done(key)
            found.add(key)
        return found


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def make_token_secret(name: str, owner: Mapping[str, Any] | None, token: str) -> dict[str, Any]:
    return make_child("v1", "Secret", name, owner, data={"token": b64(token)})
