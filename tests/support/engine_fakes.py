"""A clock that tests control, and a small fake API server.

`FakeApi` implements the rules that the engine depends on: resource versions, uids and their
preconditions, field ownership by server-side apply, finalizers. Its lists are atomic.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice_operator.domain.names import GROUP
from sluice_operator.kube.client import FIELD_MANAGER, ListPage
from sluice_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    NotFoundError,
)
from sluice_operator.kube.resources import Resource

Obj = dict[str, Any]
Id = tuple[str, str, str]


@dataclass(order=True)
class _Timer:
    due: float
    serial: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    def __init__(self) -> None:
        self._elapsed = 0.0
        self._timers: list[_Timer] = []
        self._serial = itertools.count()

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(self._elapsed + seconds, next(self._serial), callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Let time pass, and run everything that waited for it."""
        await settle()
        end = self._elapsed + seconds
        while self._timers and self._timers[0].due <= end:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._elapsed = max(self._elapsed, timer.due)
                timer.callback()
                await settle()
        self._elapsed = end
        await settle()


async def settle() -> None:
    """Run every task that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[Id, Obj] = {}
        self.requests: list[tuple[str, str, str]] = []
        """(verb, kind, name) of each request."""
        self.fail: Callable[[str, str, str], ApiError | None] = lambda verb, kind, name: None
        self.before: Callable[[str, str, str], None] = lambda verb, kind, name: None
        """Callback before each request, for a change by another client at the worst moment."""
        self.plurals = {"livestreams", "recordings", "restreams", "mediastores"}
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)

    # ---------------------------------------------------------------- what tests do

    def writes(self) -> list[tuple[str, str, str]]:
        return [r for r in self.requests if r[0] not in ("get", "list")]

    def put(self, obj: Mapping[str, Any]) -> Obj:
        """Create or replace an object as another client."""
        stored = deepcopy(dict(obj))
        meta = stored["metadata"]
        meta.setdefault("namespace", "ns")
        former = self.objects.get(_id(stored))
        meta.setdefault("uid", former["metadata"]["uid"] if former else f"uid-{next(self._uids)}")
        meta.setdefault("creationTimestamp", "2026-03-01T12:00:00Z")
        meta.setdefault("generation", 1)
        return self._store(stored)

    def set_value(self, kind: str, name: str, path: str, value: Any) -> Obj:
        """Set a field as another client: our managedFields entry loses the field."""
        obj = self.objects[kind, "ns", name]
        node, fields = obj, _entry(obj)
        *parents, leaf = path.split(".")
        for part in parents:
            node, fields = node[part], (fields or {}).get(f"f:{part}")
        if value is None:
            node.pop(leaf, None)
        else:
            node[leaf] = value
        if fields is not None:
            fields.pop(f"f:{leaf}", None)
        return self._store(obj)

    def drop(self, kind: str, name: str) -> None:
        del self.objects[kind, "ns", name]

    # ---------------------------------------------------------------- what the engine does

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        self._arrive("get", resource.kind, name)
        return deepcopy(self._find(resource.kind, namespace, name))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        at_most: int | None = None,
    ) -> ListPage:
        self._arrive("list", resource.kind, "")
        key, _, value = label_selector.partition("=")
        fields = [pair.partition("=") for pair in field_selector.split(",") if pair]
        items = [
            deepcopy(obj)
            for (kind, _, _), obj in self.objects.items()
            if kind == resource.kind
            and namespace in (None, obj["metadata"]["namespace"])
            and (not key or (obj["metadata"].get("labels") or {}).get(key) == value)
            and all(_field(obj, path) == wanted for path, _, wanted in fields)
        ]
        return ListPage(items[:at_most], str(next(self._versions)))

    async def served(self, group: str, version: str) -> set[str]:
        return set(self.plurals) if group == GROUP else set()

    async def create(self, manifest: Mapping[str, Any]) -> Obj:
        self._arrive("create", manifest["kind"], manifest["metadata"]["name"])
        if _id(manifest) in self.objects:
            raise AlreadyExistsError("the name is taken")
        return deepcopy(self.put(manifest))

    async def apply(self, manifest: Mapping[str, Any]) -> Obj:
        self._arrive("apply", manifest["kind"], manifest["metadata"]["name"])
        wanted = deepcopy(dict(manifest))
        preconditions = {k: wanted["metadata"].pop(k, None) for k in ("uid", "resourceVersion")}
        former = self.objects.get(_id(wanted))
        if former is not None:
            _check(former, preconditions)
        elif any(preconditions.values()):
            raise ConflictError("there is no such object")
        if former is None:
            former = self.put(
                {k: v for k, v in wanted.items() if k in ("apiVersion", "kind")}
                | {"metadata": {k: wanted["metadata"][k] for k in ("name", "namespace")}}
            )
        merged = _merge(former, wanted)
        merged["metadata"]["managedFields"] = [
            {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": _fields(wanted)}
        ]
        return deepcopy(self._store(merged))

    async def replace(self, manifest: Mapping[str, Any], subresource: str = "") -> Obj:
        verb = f"update-{subresource}" if subresource else "update"
        meta = manifest["metadata"]
        self._arrive(verb, manifest["kind"], meta["name"])
        former = self._find(manifest["kind"], meta["namespace"], meta["name"])
        _check(former, meta)
        if subresource == "status":
            return deepcopy(self._store({**former, "status": deepcopy(manifest["status"])}))
        return deepcopy(self._store(deepcopy(dict(manifest))))

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> Obj:
        self._arrive("patch", resource.kind, name)
        former = self._find(resource.kind, namespace, name)
        _check(former, patch.get("metadata", {}))
        merged = self._store(_merge(former, patch))
        if "deletionTimestamp" in merged["metadata"] and not merged["metadata"].get("finalizers"):
            del self.objects[_id(merged)]
        return deepcopy(merged)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        self._arrive("delete", resource.kind, name)
        _check(self._find(resource.kind, namespace, name), {"uid": uid})
        del self.objects[resource.kind, namespace, name]

    # ---------------------------------------------------------------- inside

    def _arrive(self, verb: str, kind: str, name: str) -> None:
        self.requests.append((verb, kind, name))
        self.before(verb, kind, name)
        error = self.fail(verb, kind, name)
        if error is not None:
            raise error

    def _find(self, kind: str, namespace: str, name: str) -> Obj:
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise NotFoundError(f"{kind} {name} not found") from None

    def _store(self, obj: Obj) -> Obj:
        former = self.objects.get(_id(obj))
        if former is not None and former is not obj and _same(former, obj):
            return former  # a write without a change makes no new version
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[_id(obj)] = obj
        return obj


def _id(obj: Mapping[str, Any]) -> Id:
    return obj["kind"], obj["metadata"].get("namespace", "ns"), obj["metadata"]["name"]


def _same(a: Obj, b: Obj) -> bool:
    strip = [deepcopy(x) for x in (a, b)]
    for x in strip:
        x["metadata"].pop("resourceVersion", None)
    return strip[0] == strip[1]


def _check(obj: Obj, preconditions: Mapping[str, Any]) -> None:
    for name in ("uid", "resourceVersion"):
        wanted = preconditions.get(name)
        if wanted is not None and wanted != obj["metadata"][name]:
            raise ConflictError(f"{name} does not match")


def _merge(former: Mapping[str, Any], patch: Mapping[str, Any]) -> Obj:
    merged = deepcopy(dict(former))
    for name, value in patch.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), dict):
            merged[name] = _merge(merged[name], value)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = deepcopy(value)
    return merged


def _fields(value: Mapping[str, Any], *, top: bool = True) -> Obj:
    hidden = ("apiVersion", "kind") if top else ()
    found: Obj = {}
    for name, inner in value.items():
        if name in hidden:
            continue
        if name == "metadata" and top:
            inner = {k: v for k, v in inner.items() if k not in ("name", "namespace")}
        found[f"f:{name}"] = _fields(inner, top=False) if isinstance(inner, Mapping) else {}
    return found


def _entry(obj: Obj) -> Obj | None:
    entries = obj["metadata"].get("managedFields") or [None]
    return entries[0]["fieldsV1"] if entries[0] else None


def _field(obj: Obj, path: str) -> str:
    """Return the value at a path in the notation of field selectors."""
    found: Any = obj
    for name in path.split("."):
        found = found[name]
    return str(found).lower() if isinstance(found, bool) else str(found)
