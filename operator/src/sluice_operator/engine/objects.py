"""Writes of the reconciled object itself: its finalizer and its status.

In: an object of the cache. Out: the object after the write, which is also in the cache. Every write
carries uid and resourceVersion. A write of an old object raises ConflictError.
"""

from __future__ import annotations

from typing import Any

import structlog

from sluice_operator.engine.cache import Cache, Manifest, uid_of
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ConflictError, NotFoundError
from sluice_operator.kube.resources import resource_of

_log = structlog.get_logger(__name__)


class ObjectWriter:
    """Writer of finalizers and statuses. ``finalizer`` is the name of our finalizer."""

    def __init__(self, api: Api, cache: Cache, *, finalizer: str) -> None:
        self._api = api
        self._cache = cache
        self._finalizer = finalizer

    async def set_finalizer(self, obj: Manifest, *, present: bool) -> Manifest:
        """Add or remove our finalizer; return the object after the change."""
        meta = obj["metadata"]
        finalizers = list(meta.get("finalizers") or ())
        if (self._finalizer in finalizers) == present:
            return obj
        if present and "deletionTimestamp" in meta:
            return obj  # the API server accepts no new finalizer during a deletion
        changed = (
            [*finalizers, self._finalizer]
            if present
            else [f for f in finalizers if f != self._finalizer]
        )
        patch = {
            "metadata": {
                "uid": uid_of(obj),
                "resourceVersion": meta["resourceVersion"],
                "finalizers": changed,
            }
        }
        try:
            answer = await self._api.merge_patch(
                resource_of(obj), meta["namespace"], meta["name"], patch
            )
        except NotFoundError as gone:
            raise ConflictError("the object is gone") from gone
        self._cache.update(answer)
        return answer

    async def write_status(self, obj: Manifest, status: dict[str, Any]) -> bool:
        """Write the whole status; return False when it is equal to the stored one."""
        if status == (obj.get("status") or {}):
            return False
        meta = obj["metadata"]
        document = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            },
            "status": status,
        }
        try:
            answer = await self._api.replace(document, "status")
        except NotFoundError as gone:
            raise ConflictError("the object is gone") from gone
        self._cache.update(answer)
        if answer.get("status") != status:
            _log.error("status_not_kept_as_written", object=f"{obj['kind']} {meta['name']}")
        return True

    async def refresh(self, obj: Manifest) -> None:
        """Read the object again into the cache, without waiting for the watch."""
        meta = obj["metadata"]
        try:
            live = await self._api.get(resource_of(obj), meta["namespace"], meta["name"])
        except NotFoundError:
            self._cache.remove(uid_of(obj))
            return
        self._cache.update(live)
