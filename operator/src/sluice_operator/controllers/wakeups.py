"""Wake-ups: which change queues which objects for a pass.

The changes come from the cache, and into the cache from the watch, the resync and our own writes.
Our own writes wake related objects (a Recording wakes its LiveStream), but not the object itself:
its own key is queued only by changes that a user makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice_media.contract import (
    IngestStatus,
    PlayStatus,
    PodStatus,
    PusherStatus,
    StoreStatus,
)
from sluice_operator.controllers.indices import (
    FOLLOWER_INDEX,
    RESTORED_INDEX,
    STORE_INDEX,
    store_name,
)
from sluice_operator.controllers.targets import TargetIndex
from sluice_operator.domain.livestream.decide import renews_age
from sluice_operator.domain.livestream.playback.status import renews_window
from sluice_operator.domain.names import KIND_LABEL, NAME_LABEL, UID_LABEL
from sluice_operator.engine.cache import Cache, Manifest, key_of, uid_of
from sluice_operator.engine.children import controller_of
from sluice_operator.engine.queue import Key, Lane, WorkQueue
from sluice_operator.pods.endpoints import POD_INDEX, PodEndpoint
from sluice_operator.pods.observer import StatusObserver

KINDS = ("MediaStore", "LiveStream", "Recording", "Restream")
"""Our kinds, in the order in which they are queued after a start."""


def is_current(cache: Cache, endpoint: PodEndpoint) -> bool:
    """Return whether the object in the labels of a pod exists in the namespace of the pod."""
    owner = cache.by_uid(endpoint.owner_uid)
    return owner is not None and key_of(owner) == endpoint.owner


class Wakeups:
    """Listener of the cache and of the pods' answers, which adds keys to the queue."""

    def __init__(
        self, cache: Cache, queue: WorkQueue, observer: StatusObserver, targets: TargetIndex
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._observer = observer
        self._targets = targets
        cache.subscribe(self._on_change)

    def enqueue_all(self) -> None:
        """Queue every object of ours with the lowest priority."""
        for kind in KINDS:
            for obj in self._cache.of_kind(kind):
                self._queue.add(key_of(obj), Lane.TICK)

    def on_answer(self, owner: Key, former: PodStatus | None, status: PodStatus) -> None:
        """Queue the owner of a media pod that answered, and the objects that depend on the answer.

        With an unchanged version, only counters or durations changed."""
        ticked = (
            former is not None
            and former.pod_uid == status.pod_uid
            and former.version == status.version
        )
        if ticked and isinstance(status, IngestStatus):
            # An ingest status has no counters that tick. Only `observedAt` may be due.
            stream = self._cache.find(owner)
            if stream is None or not renews_age(stream, status):
                return
        if ticked and isinstance(status, PlayStatus):
            stream = self._cache.find(owner)
            if stream is None or not renews_window(stream, status):
                return
        self._queue.add(owner, Lane.TICK if ticked else Lane.CHANGE)
        if isinstance(status, StoreStatus):
            before = former.changed if isinstance(former, StoreStatus) else {}
            for uid, version in status.changed.items():
                if before.get(uid) == version:
                    continue
                self._wake((uid,))
                for recording in self._cache.select(RESTORED_INDEX, uid):
                    self._queue.add(key_of(recording))
        if isinstance(status, PusherStatus) and not ticked:
            self._on_target(owner, status.target_digest)

    def _on_target(self, owner: Key, digest: str) -> None:
        """Queue the Restreams with the same target: they may have to leave it, or may take it."""
        restream = self._cache.find(owner)
        if restream is not None:
            uid = uid_of(restream)
            self._wake(self._targets.note(uid, owner.namespace, digest))
            self._wake(self._targets.others(uid))

    def _wake(self, uids: Iterable[str]) -> None:
        for uid in uids:
            obj = self._cache.by_uid(uid)
            if obj is not None:
                self._queue.add(key_of(obj))

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        obj = present if present is not None else former
        if obj is None:
            return
        if obj["kind"] in KINDS:
            self._on_own(former, present, obj)
            return
        if obj["kind"] == "Pod":
            self._on_pod(present, obj)
        owner = _owner_key(obj)
        if owner is not None:
            self._queue.add(owner)

    def _on_own(self, former: Manifest | None, present: Manifest | None, obj: Manifest) -> None:
        if present is None:
            self._observer.forget(uid_of(obj))
        elif former is None:
            for pod in self._cache.select(POD_INDEX, uid_of(obj)):
                self._observer.see(pod)
        changed_by_user = _desired(former) != _desired(present)
        if changed_by_user:
            self._queue.add(key_of(obj))
            self._wake(self._targets.others(uid_of(obj)))
        if present is None:
            self._forget_target(uid_of(obj))
        if _visible(former) == _visible(present):
            return
        ticked = _conditions(former) == _conditions(present) and not changed_by_user
        for other in self._related(obj, ticked=ticked):
            waits = not ticked and (obj["kind"] != "MediaStore" or _waits_to_begin(other))
            self._queue.add(key_of(other), Lane.CHANGE if waits else Lane.TICK)

    def _on_pod(self, present: Manifest | None, obj: Manifest) -> None:
        if present is None:
            self._observer.lose(uid_of(obj))
        else:
            self._observer.see(present)
        owner = (obj["metadata"].get("labels") or {}).get(UID_LABEL, "")
        self._wake(self._targets.others(owner))
        self._forget_target(owner)

    def _forget_target(self, uid: str) -> None:
        """Forget the target of a Restream when the object and all its pods are gone."""
        if self._cache.by_uid(uid) is None and not self._cache.select(POD_INDEX, uid):
            self._wake(self._targets.forget(uid))

    def _related(self, obj: Manifest, *, ticked: bool) -> Iterable[Manifest]:
        """Return the objects that depend on this object.

        A change of counters or durations concerns only the LiveStream of a Recording or Restream.
        """
        meta = obj["metadata"]
        here = (meta["namespace"], meta["name"])
        if obj["kind"] in ("Recording", "Restream"):
            names = [("LiveStream", obj["spec"]["streamRef"]["name"])]
            if obj["kind"] == "Recording" and not ticked:
                names.append(("MediaStore", store_name(obj)))
            found = (self._cache.find(Key(kind, meta["namespace"], name)) for kind, name in names)
            return [other for other in found if other is not None]
        if ticked:
            return []
        index = FOLLOWER_INDEX if obj["kind"] == "LiveStream" else STORE_INDEX
        return self._cache.select(index, here)


def _owner_key(obj: Manifest) -> Key | None:
    """Return the object of ours that a child or a pod belongs to."""
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    if obj["kind"] == "Pod":
        kind, name = labels.get(KIND_LABEL), labels.get(NAME_LABEL)
    else:
        controller = controller_of(obj) or {}
        kind, name = controller.get("kind"), controller.get("name")
    return Key(kind, meta["namespace"], name) if kind in KINDS and name else None


def _waits_to_begin(recording: Manifest) -> bool:
    """Return whether a Recording has no recorder yet, so that it may wait for its store."""
    status = recording.get("status") or {}
    return not status.get("recordingStartedAt") and not status.get("endReason")


def _desired(obj: Manifest | None) -> Any:
    """Return the parts of an object that a user changes."""
    if obj is None:
        return None
    meta = obj["metadata"]
    return (
        meta.get("generation"),
        meta.get("deletionTimestamp"),
        meta.get("annotations"),
        meta.get("labels"),
    )


def _visible(obj: Manifest | None) -> Any:
    """Return the parts of an object that other objects depend on."""
    return None if obj is None else (_desired(obj), obj.get("status"))


def _conditions(obj: Manifest | None) -> Any:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
    return [(c["type"], c["status"], c.get("reason")) for c in conditions]
