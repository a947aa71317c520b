"""Index of the holders of a target: the Restreams and pods that may be connected to it.

In: the configurations of the pushers, the digests that they report, and the pods in the cache. Out:
for a target, the Restreams whose configuration clears it or did clear it.

A configuration names a target by a clearance, which is computed from the target's digest and the
hub's token. So a Restream is found by the digests that its pusher reported. When none of these
digests gives the clearance (the pusher has not answered since this operator started), the Restream
counts for every target of its namespace, and its configuration must be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from sluice_media.contract import target_clearance
from sluice_operator.controllers.targets import TargetKey
from sluice_operator.domain.names import KIND_LABEL, UID_LABEL
from sluice_operator.domain.restream.clearance import clearances
from sluice_operator.engine.cache import Cache, Manifest, uid_of
from sluice_operator.pods.endpoints import POD_INDEX

_DIGESTS = 8
"""Number of a Restream's latest targets that are remembered."""


class HolderIndex:
    """Possible holders of each target, by uid of the Restream. It follows the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._digests: dict[str, dict[str, None]] = {}
        self._targets: dict[str, frozenset[TargetKey]] = {}
        self._uids: dict[TargetKey, dict[str, None]] = {}
        self._unknown: dict[str, dict[str, None]] = {}
        """namespace -> Restreams that count for every target of the namespace."""
        for restream in cache.of_kind("Restream"):
            self._on_change(None, restream)
        cache.subscribe(self._on_change)

    def holders(self, target: TargetKey) -> list[str]:
        """Return the uids of all possible holders. Their configurations give the exact answer."""
        return [*self._uids.get(target, ()), *self._unknown.get(target[0], ())]

    def note(
        self, obj: Manifest, config_maps: Iterable[Manifest], token: str | None, digest: str
    ) -> frozenset[TargetKey]:
        """Store the clearances in the configurations of a Restream.

        ``digest`` is the digest that its pusher reports; empty if it has not answered. Return the
        targets that the Restream is known to hold."""
        uid, namespace = uid_of(obj), obj["metadata"]["namespace"]
        if self._cache.by_uid(uid) is None:
            return frozenset()
        if digest:
            self._remember(uid, digest)
        held = frozenset[str]().union(*map(clearances, config_maps))
        found: dict[str, str] = {}
        if token is not None and held:
            found = {target_clearance(d, token): d for d in self._digests.get(uid, ())}
        self._set(uid, frozenset((namespace, found[c]) for c in held & found.keys()))
        unknown = self._unknown.setdefault(namespace, {})
        if held <= found.keys():
            unknown.pop(uid, None)
        else:
            unknown[uid] = None
        return self._targets.get(uid, frozenset())

    def _remember(self, uid: str, digest: str) -> None:
        known = self._digests.setdefault(uid, {})
        known.pop(digest, None)
        known[digest] = None
        if len(known) > _DIGESTS:
            del known[next(iter(known))]

    def _set(self, uid: str, targets: frozenset[TargetKey]) -> None:
        former = self._targets.pop(uid, frozenset())
        for target in former - targets:
            del self._uids[target][uid]
            if not self._uids[target]:
                del self._uids[target]
        for target in targets - former:
            self._uids.setdefault(target, {})[uid] = None
        if targets:
            self._targets[uid] = targets

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        obj = present or former
        if obj is None or obj["kind"] != "Restream":
            return
        unknown = self._unknown.setdefault(obj["metadata"]["namespace"], {})
        if former is None:
            unknown[uid_of(obj)] = None
        elif present is None:
            unknown.pop(uid_of(obj), None)
            self._digests.pop(uid_of(obj), None)
            self._set(uid_of(obj), frozenset())


class OrphanPods:
    """Pods of pushers whose Restream does not exist, by namespace. It follows the cache.

    Such a pod may be connected to any target."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._pods: dict[str, dict[str, None]] = {}
        for pod in cache.of_kind("Pod"):
            self._on_pod(pod, gone=False)
        cache.subscribe(self._on_change)

    def of(self, namespace: str) -> list[Manifest]:
        """Return the orphan pods of a namespace."""
        found = (self._cache.by_uid(uid) for uid in self._pods.get(namespace, ()))
        return [pod for pod in found if pod is not None]

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        obj = present or former
        if obj is None:
            return
        if obj["kind"] == "Pod":
            self._on_pod(obj, gone=present is None)
        elif obj["kind"] == "Restream" and (former is None or present is None):
            for pod in self._cache.select(POD_INDEX, uid_of(obj)):
                self._on_pod(pod, gone=False)

    def _on_pod(self, pod: Manifest, *, gone: bool) -> None:
        labels = pod["metadata"].get("labels") or {}
        if labels.get(KIND_LABEL) != "Restream":
            return
        namespace = pod["metadata"]["namespace"]
        if not gone and self._cache.by_uid(labels.get(UID_LABEL, "")) is None:
            self._pods.setdefault(namespace, {})[uid_of(pod)] = None
            return
        known = self._pods.get(namespace, {})
        known.pop(uid_of(pod), None)
        if not known:
            self._pods.pop(namespace, None)
