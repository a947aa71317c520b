"""Cache of the cluster's objects: slim copies, keyed by uid.

The key is the uid because a name can get a new object: a decision about the former object must
never change the new one. Objects come from the watch, from our own writes (so that a pass sees the
result of the former pass) and from the resync. An older version never replaces a newer one, and a
late answer does not bring a removed object back. Resource versions of one kind are compared as
numbers. Kubernetes guarantees this order since 1.35 (KEP-5504); earlier versions have it too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from sluice_operator.engine.queue import Key

Manifest = Mapping[str, Any]
Slimmer = Callable[[Manifest], Manifest]
IndexFunction = Callable[[Manifest], Iterable[Hashable]]
Listener = Callable[[Manifest | None, Manifest | None], None]
"""Callback with (former, present) object. Former is None for a new object, and present is None for
a removed one."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TOMBSTONES = 10_000


def key_of(obj: Manifest) -> Key:
    """Return kind, namespace and name of an object."""
    return Key(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def uid_of(obj: Manifest) -> str:
    return str(obj["metadata"]["uid"])


def version_of(obj: Manifest) -> int:
    """Return the resource version as a number; 0 when it is not a number."""
    version = str(obj["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _is_newer(obj: Manifest, former: Manifest) -> bool:
    version = version_of(obj)
    return version == 0 or version > version_of(former)


def owner_uids(obj: Manifest) -> list[str]:
    """Return the uids of the owners of an object."""
    return [str(ref["uid"]) for ref in obj["metadata"].get("ownerReferences", ())]


def slim(obj: Manifest, manager: str) -> Manifest:
    """Return a copy without the two largest parts that the operator never reads.

    These are the managedFields of other managers and kubectl's last-applied copy."""
    meta = dict(obj["metadata"])
    ours = [e for e in meta.pop("managedFields", ()) if e.get("manager") == manager]
    if ours:
        meta["managedFields"] = ours
    annotations = meta.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        meta["annotations"] = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    return {**obj, "metadata": meta}


class Cache:
    """Objects by uid, with indices by name and by owner, and with indices that a caller adds."""

    def __init__(
        self, slimmer: Slimmer, indices: Mapping[str, IndexFunction] | None = None
    ) -> None:
        """``slimmer`` returns the part of an object that is kept. ``indices`` are the additional
        indices: name -> function that returns the values under which `select` finds an object."""
        self._slim = slimmer
        self._functions: dict[str, IndexFunction] = {"owner": owner_uids, **(indices or {})}
        self._objects: dict[str, Manifest] = {}
        self._uid_by_key: dict[Key, str] = {}
        self._uids_by_kind: dict[str, dict[str, None]] = {}
        self._index: dict[tuple[str, Hashable], dict[str, None]] = {}
        self._filed: dict[str, list[tuple[str, Hashable]]] = {}
        self._tombstones: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._objects)

    def subscribe(self, listener: Listener) -> None:
        """Call the listener after each change of the cache."""
        self._listeners.append(listener)

    def update(self, obj: Manifest) -> bool:
        """Store an object. Return False if the cache has this version or a newer one, or if the
        object was removed in a newer version."""
        uid, key = uid_of(obj), key_of(obj)
        if version_of(obj) <= self._tombstones.get(uid, -1):
            return False
        former = self._objects.get(uid)
        if former is not None and not _is_newer(obj, former):
            return False
        incarnation = self._uid_by_key.get(key)
        if incarnation is not None and incarnation != uid:
            if not _is_newer(obj, self._objects[incarnation]):
                return False
            self.remove(incarnation, version_of(obj))
        self._unfile(uid)
        small = self._slim(obj)
        self._objects[uid] = small
        self._uid_by_key[key] = uid
        self._uids_by_kind.setdefault(key.kind, {})[uid] = None
        filed = [(name, v) for name, function in self._functions.items() for v in function(small)]
        for entry in filed:
            self._index.setdefault(entry, {})[uid] = None
        self._filed[uid] = filed
        self._notify(former, small)
        return True

    def remove(self, uid: str, version: int | None = None) -> Manifest | None:
        """Remove an object as of a version; return its cached copy.

        The default is the cached version. The object comes back only in a newer version: the watch
        reports an object as deleted also when it only lost our label.
        """
        obj = self._objects.pop(uid, None)
        self._bury(uid, version if version is not None else version_of(obj) if obj else 0)
        if obj is None:
            return None
        self._unfile(uid)
        key = key_of(obj)
        self._uids_by_kind[key.kind].pop(uid, None)
        if self._uid_by_key.get(key) == uid:
            del self._uid_by_key[key]
        self._notify(obj, None)
        return obj

    def by_uid(self, uid: str) -> Manifest | None:
        """Return the object with this uid, if it is cached."""
        return self._objects.get(uid)

    def find(self, key: Key) -> Manifest | None:
        """Return the object of this kind, namespace and name, if it is cached."""
        uid = self._uid_by_key.get(key)
        return self._objects[uid] if uid is not None else None

    def of_kind(self, kind: str) -> Iterator[Manifest]:
        """Return all objects of a kind."""
        return (self._objects[uid] for uid in tuple(self._uids_by_kind.get(kind, ())))

    def owned(self, owner_uid: str, kind: str | None = None) -> list[Manifest]:
        """Return the objects with this owner, oldest first."""
        return self.select("owner", owner_uid, kind)

    def select(self, index: str, value: Hashable, kind: str | None = None) -> list[Manifest]:
        """Return the objects that an index has under a value, oldest first."""
        found = [self._objects[uid] for uid in self._index.get((index, value), ())]
        if kind is not None:
            found = [obj for obj in found if obj["kind"] == kind]
        found.sort(key=lambda o: (o["metadata"].get("creationTimestamp", ""), key_of(o)))
        return found

    def _notify(self, former: Manifest | None, present: Manifest | None) -> None:
        for listener in self._listeners:
            listener(former, present)

    def _bury(self, uid: str, version: int) -> None:
        self._tombstones.pop(uid, None)
        self._tombstones[uid] = version
        if len(self._tombstones) > _TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]

    def _unfile(self, uid: str) -> None:
        for entry in self._filed.pop(uid, ()):
            bucket = self._index[entry]
            bucket.pop(uid, None)
            if not bucket:
                del self._index[entry]
