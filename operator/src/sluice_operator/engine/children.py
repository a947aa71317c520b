"""Writer of child objects. It never changes an object that another owner controls.

A child is ours when its controller reference has the uid of the owner. A forced server-side apply
would take over any object of the same name, for example a user's Secret, and a later clean-up would
delete that Secret. So every child is read before any child is written, and a write carries the uid
that was read.

An apply is skipped when two things hold: the object has the hash of the manifest that we would
apply (the hash covers the owner's uid), and our managedFields entry has every path of the manifest.
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
    """The name of a child belongs to an object that we do not control.

    It is a ConflictError, so that the facts are gathered again. The next decision then reports the
    conflict to the user.
    """

    def __init__(self, child: Key, holder: str) -> None:
        by = f"controlled by {holder}" if holder else "not made by Sluice"
        super().__init__(f"{child.kind} {child.name} exists already and is {by}")


@dataclass(slots=True)
class _Plan:
    """The write of one child."""

    manifest: dict[str, Any]
    existing: Manifest | None
    create_only: bool
    over_version: str
    """Resource version that the existing object must have; empty: any version."""


class Children:
    """Writer of the children of all objects."""

    def __init__(self, api: Api, lookup: Lookup) -> None:
        self._api = api
        self._lookup = lookup

    async def make(self, owner: Manifest, children: Iterable[Child]) -> None:
        """Apply the children that differ from their manifest.

        Raises NameTakenError before the first write, or ApiError."""
        plans = [await self._plan(owner, child) for child in children]
        for plan in plans:
            if plan.existing is None or not plan.create_only:
                await self._carry_out(plan)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Forget a child that was deleted. Otherwise a child of the same content that is wanted
        again within seconds would be taken for the deleted one."""
        self._lookup.forget(Key(kind, namespace, name))

    async def _plan(self, owner: Manifest, child: Child) -> _Plan:
        manifest = render_child(owner, child)
        resource, meta = resource_of(manifest), manifest["metadata"]
        existing = await self._lookup.find(resource, meta["namespace"], meta["name"])
        if existing is not None and child.owned:
            _check_ours(owner, existing)
        # A child without an owner reference outlives its owner, and may be a user's object: create
        # it, and never change it.
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
            # The remembered object is old. The next pass must read it again.
            meta = manifest["metadata"]
            await self._lookup.read(resource_of(manifest), meta["namespace"], meta["name"])
            raise
        self._lookup.remember(made)


def render_child(owner: Manifest, child: Child) -> dict[str, Any]:
    """Return the manifest to apply: with owner reference, managed-by label and hash."""
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
    """Return the owner reference that has ``controller: true``."""
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
