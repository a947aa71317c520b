"""Pushers' pods whose Restream is not there, by namespace: they may be connected anywhere."""

from __future__ import annotations

from sluice_operator.domain.names import KIND_LABEL, UID_LABEL
from sluice_operator.engine.cache import Cache, Manifest, uid_of
from sluice_operator.pods.endpoints import POD_INDEX


class OrphanPods:
    """Follows the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._pods: dict[str, dict[str, None]] = {}
        for pod in cache.of_kind("Pod"):
            self._on_pod(pod, gone=False)
        cache.subscribe(self._on_change)

    def of(self, namespace: str) -> list[Manifest]:
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
