"""Lookup of objects by name: in the cache if the kind is watched, or by a GET that is remembered.

Secrets and ConfigMaps are not watched, because the operator may not list Secrets. Objects that were
read or written are remembered for some time, so that a pass without changes needs no request.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from sluice_operator.domain.names import MANAGED_BY, MANAGED_BY_LABEL
from sluice_operator.engine.cache import Cache, Manifest, key_of, slim, uid_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.engine.queue import Key
from sluice_operator.kube.client import FIELD_MANAGER
from sluice_operator.kube.errors import NotFoundError
from sluice_operator.kube.resources import Resource

_MAX_AGE_SECONDS = 15.0
_ABSENT_MAX_AGE_SECONDS = 1.0
_FORGET_SECONDS = 900.0


@dataclass(slots=True)
class _Remembered:
    """Result of the last GET or write of a name."""

    at: float
    obj: Manifest | None
    """None: there was no such object."""


class Lookup:
    """Objects by name. ``watched`` are the kinds whose objects with our label are watched."""

    def __init__(self, api: Api, cache: Cache, clock: Clock, *, watched: Set[str]) -> None:
        self._api = api
        self._cache = cache
        self._clock = clock
        self._watched = watched
        self._memory: dict[Key, _Remembered] = {}

    async def find(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        max_age_seconds: float = _MAX_AGE_SECONDS,
    ) -> Manifest | None:
        """Return the cached or remembered object, or read it. Raises ApiError.

        A missing object is remembered for one second only, because the operator may create it.
        """
        key = Key(resource.kind, namespace, name)
        if resource.kind in self._watched and (cached := self._cache.find(key)) is not None:
            return cached
        known = self._memory.get(key)
        if known is not None:
            limit = max_age_seconds if known.obj is not None else _ABSENT_MAX_AGE_SECONDS
            if self._clock.monotonic() - known.at < limit:
                return known.obj
        return await self.read(resource, namespace, name)

    async def read(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """Read the object from the API server. Raises ApiError."""
        try:
            obj = await self._api.get(resource, namespace, name)
        except NotFoundError:
            self.remember_absent(Key(resource.kind, namespace, name))
            return None
        return self.remember(obj)

    def remember(self, obj: Manifest) -> Manifest:
        """Store an object from an answer of the API server; return its slim copy."""
        key = key_of(obj)
        labels = obj["metadata"].get("labels") or {}
        if key.kind in self._watched and labels.get(MANAGED_BY_LABEL) == MANAGED_BY:
            self._memory.pop(key, None)
            self._cache.update(obj)
            cached = self._cache.by_uid(uid_of(obj))
            return cached if cached is not None else obj
        small = slim(obj, FIELD_MANAGER)
        self._memory[key] = _Remembered(self._clock.monotonic(), small)
        return small

    def remember_absent(self, key: Key) -> None:
        """Note that the object does not exist."""
        cached = self._cache.find(key) if key.kind in self._watched else None
        if cached is not None:
            self._cache.remove(uid_of(cached))
        self._memory[key] = _Remembered(self._clock.monotonic(), None)

    def forget(self, key: Key) -> None:
        """Forget what was read or written under a name. The next lookup reads it again."""
        self._memory.pop(key, None)

    def sweep(self) -> None:
        """Forget objects that were not read or written for 15 minutes."""
        oldest = self._clock.monotonic() - _FORGET_SECONDS
        self._memory = {key: known for key, known in self._memory.items() if known.at > oldest}
