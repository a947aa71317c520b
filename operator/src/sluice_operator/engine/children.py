"""Makes the children be as decided: without ever touching what is somebody else's.

An object is ours when its controller is the object decided about, by uid. Forced server-side apply
takes over whatever bears the name (a user's Secret, which a later clean-up would then delete), so
each child is looked at before any is written, and a write carries the uid of what was looked at.

An apply is skipped when the object bears the hash of what we would apply (the hash covers the
owner's uid) and our managedFields entry still holds every path that we set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from sluice_operator.domain.decision import Child
from sluice_operator.domain.names import MANAGED_BY, MANAGED_BY_LABEL
from sluice_operator.engine.cache import Manifest, key_of, uid_of
from sluice_operator.engine.controller import Api
from sluice_operator.engine.fields import holds_every_path
from sluice_operator.engine.lookup import Lookup
from sluice_operator.engine.queue import Key
from sluice_operator.kube.client import FIELD_MANAGER
from sluice_operator.kube.errors import ConflictError
from sluice_operator.kube.resources import resource_of

HASH_ANNOTATION = "sluice.video/spec-hash"


class NameTakenError(ConflictError):
    """A child's name belongs to an object that we do not control.

    A ConflictError, because the next gathering sees it, and the decision says it to the user.
    """

    def __init__(self, child: Key, holder: str) -> None:
        by = f"controlled by {holder}" if holder else "not made by Sluice"
        super().__init__(f"{child.kind} {child.name} exists already and is {by}")


@dataclass(slots=True)
class _Plan:
    manifest: dict[str, Any]
    existing: Manifest | None
    create_only: bool
    over_version: str


class Children:
    def __init__(self, api: Api, lookup: Lookup) -> None:
        self._api = api
        self._lookup = lookup

    async def make(self, owner: Manifest, children: Iterable[Child]) -> None:
        """Applies what differs. Raises NameTakenError before anything is written, or ApiError."""
        plans = [await self._plan(owner, child) for child in children]
        for plan in plans:
            if plan.existing is None or not plan.create_only:
                await self._carry_out(plan)

    async def _plan(self, owner: Manifest, child: Child) -> _Plan:
        manifest = finished(owner, child)
        resource, meta = resource_of(manifest), manifest["metadata"]
        existing = await self._lookup.find(resource, meta["namespace"], meta["name"])
        if existing is not None and child.owned:
            _check_ours(owner, existing)
        # What has no owner outlives us and may be somebody else's: made when missing, that is all.
        create_only = child.create_only or not child.owned
        return _Plan(manifest, existing, create_only, child.over_version)

    async def _carry_out(self, plan: _Plan) -> None:
        manifest, existing = plan.manifest, plan.existing
        try:
            if existing is None and plan.create_only:
                made = await self._api.create(manifest)
            elif existing is None:
                made = await self._api.apply(manifest)
            elif _is_as_decided(existing, manifest):
                return
            else:
                manifest["metadata"]["uid"] = uid_of(existing)
                if plan.over_version:
                    manifest["metadata"]["resourceVersion"] = plan.over_version
                made = await self._api.apply(manifest)
        except ConflictError:
            # It is not what we took it for.
            meta = manifest["metadata"]
            await self._lookup.ask(resource_of(manifest), meta["namespace"], meta["name"])
            raise
        self._lookup.learn(made)


def finished(owner: Manifest, child: Child) -> dict[str, Any]:
    """The manifest with owner reference, managed-by label and hash: what is applied."""
    manifest: dict[str, Any] = deepcopy(dict(child.manifest))
    meta = manifest.setdefault("metadata", {})
    meta["namespace"] = owner["metadata"]["namespace"]
    meta.setdefault("labels", {})[MANAGED_BY_LABEL] = MANAGED_BY
    if child.owned:
        meta["ownerReferences"] = [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).hexdigest()[:16]
    meta.setdefault("annotations", {})[HASH_ANNOTATION] = digest
    return manifest


def controller_of(obj: Manifest) -> Manifest | None:
    """The owner reference that has ``controller: true``."""
    for reference in obj["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            found: Manifest = reference
            return found
    return None


def _check_ours(owner: Manifest, existing: Manifest) -> None:
    controller = controller_of(existing)
    if controller is None or controller["uid"] != uid_of(owner):
        holder = f"{controller['kind']} {controller['name']}" if controller else ""
        raise NameTakenError(key_of(existing), holder)


def _is_as_decided(existing: Manifest, manifest: Manifest) -> bool:
    annotations = existing["metadata"].get("annotations") or {}
    wanted = manifest["metadata"]["annotations"][HASH_ANNOTATION]
    return annotations.get(HASH_ANNOTATION) == wanted and holds_every_path(
        existing, manifest, FIELD_MANAGER
    )
