"""Controller of Recording: gathers its recorder, its stream, and the result in its store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from sluice_media.contract import (
    FileState,
    IngestStatus,
    RecorderPhase,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.api.v1alpha1.reasons import SucceededReason
from sluice_operator.controllers.context import Context
from sluice_operator.controllers.deletion_notices import DeletionNotices
from sluice_operator.controllers.indices import FINAL_PHASES, store_name
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.names import RESTART_ANNOTATION
from sluice_operator.domain.observed import ObservedRecording, Sample
from sluice_operator.domain.recording.decide import decide
from sluice_operator.domain.recording.files import MAX_FILES, OPEN_STATES
from sluice_operator.domain.recording.store_calls import stored_uid
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.times import soonest
from sluice_operator.engine.cache import Manifest, key_of, uid_of
from sluice_operator.kube.errors import ApiError
from sluice_operator.kube.resources import RECORDINGS, Resource
from sluice_operator.pods.store_client import StoreAnswer, StoreClient

_log = structlog.get_logger(__name__)
_REMEMBERED = 10_000
_WRITING = frozenset({RecorderPhase.RECORDING, RecorderPhase.INTERRUPTED})


class RecordingController:
    """Reconciliation of Recordings."""

    resource: Resource = RECORDINGS

    def __init__(
        self, context: Context, stores: StoreClient, deletions: DeletionNotices | None = None
    ) -> None:
        self._context = context
        self._stores = stores
        self._deletions = deletions
        self._first_asked: OrderedDict[str, float] = OrderedDict()
        """uid of a Recording -> monotonic time of the first request for a former result."""

    async def gather(self, obj: Manifest) -> ObservedRecording:
        """Collect the facts of a Recording. Raises ApiError."""
        context = self._context
        children, conflicts = await context.children(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        store = context.referred("MediaStore", obj, store_name(obj))
        sample = context.sample(obj, RecorderStatus)
        answer = await self._stored(obj, store, sample)
        former, former_asked_seconds = None, None
        if store is not None and not children and sample is None and self._may_be_restored(obj):
            former, former_asked_seconds = await self._former(obj, store)
        return ObservedRecording(
            raw=obj,
            settings=context.settings,
            operator_uptime_seconds=context.uptime_seconds(obj),
            children=children,
            conflicts=conflicts,
            stream=stream,
            hub_token=await context.hub_token(stream),
            stream_sample=context.sample(stream, IngestStatus) if stream is not None else None,
            store=store,
            store_sample=context.sample(store, StoreStatus) if store is not None else None,
            pods=context.pods(obj),
            sample=sample,
            stored=former or answer.result,
            former=former,
            former_asked_seconds=former_asked_seconds,
            ask_store_again_seconds=answer.ask_again_seconds,
        )

    def decide(self, observed: ObservedRecording, now: datetime) -> Decision:
        """Return the decision of the domain, with the time of the next request to the store."""
        decision = decide(observed, now)
        wait = soonest(decision.requeue_after_seconds, observed.ask_store_again_seconds)
        return replace(decision, requeue_after_seconds=wait)

    async def _stored(
        self, obj: Manifest, store: Manifest | None, sample: Sample[RecorderStatus] | None
    ) -> StoreAnswer:
        """Return the result in the store, if the store may know more than the recorder."""
        if store is None:
            return StoreAnswer()
        status = obj.get("status") or {}
        began = status.get("recordingStartedAt") or (sample is not None and sample.status.files)
        # Only a recorder that answers is writing. The last answer of a lost recorder may be old.
        current = fresh(sample)
        writing = (
            current is not None and current.phase in _WRITING and not _lacks_files(status, current)
        )
        over = status.get("phase") in FINAL_PHASES and not _may_change(obj)
        done = sample is not None and sample.status.phase is RecorderPhase.DONE
        # The store is always queried for a deleted Recording: a recorder that never answered may
        # have written files.
        deleting = "deletionTimestamp" in obj["metadata"]
        if not deleting and (over or writing or not (began or done)):
            return StoreAnswer()
        return await self._stores.result(store, stored_uid(obj))

    async def _former(
        self, obj: Manifest, store: Manifest
    ) -> tuple[StoredResult | None, float | None]:
        """Return the store's result of a former Recording with this name.

        If the store does not answer, return None and the seconds since the first request."""
        now = self._context.clock.monotonic
        first = self._first_asked.setdefault(uid_of(obj), now())
        if len(self._first_asked) > _REMEMBERED:
            self._first_asked.popitem(last=False)
        try:
            return await self._stores.former(store, key_of(obj)), None
        except ApiError as error:
            _log.info("store_not_reached", recording=str(key_of(obj)), error=str(error))
            return None, now() - first

    def _may_be_restored(self, obj: Manifest) -> bool:
        """Return whether the Recording has not begun, and its store may hold a former result."""
        status, meta = obj.get("status") or {}, obj["metadata"]
        if status.get("endReason") or status.get("recordingStartedAt"):
            return False
        if "deletionTimestamp" in meta or RESTART_ANNOTATION in (meta.get("annotations") or {}):
            return False
        deleted = self._deletions is not None and self._deletions.is_pending(key_of(obj))
        return not deleted and not self._context.pods(obj)


def _lacks_files(status: Mapping[str, Any], recorder: RecorderStatus) -> bool:
    """Return whether the status lacks older files that the recorder does not list any more."""
    if not recorder.older_files or not recorder.files:
        return False
    first = recorder.files[0].index
    known = [
        file
        for file in status.get("files") or ()
        if file["index"] < first and file["state"] not in OPEN_STATES
    ]
    return len(known) < min(recorder.older_files, MAX_FILES - len(recorder.files))


def _may_change(obj: Manifest) -> bool:
    """Return whether the store may still change the files of a Recording that is over.

    It may finish a failed file after all, and retention may delete files."""
    status, spec = obj.get("status") or {}, obj["spec"]
    if _may_be_retried(status) or "keptUntil" in (status.get("damage") or {}):
        return True
    files = status.get("files") or ()
    if any(file.get("originUri") or file.get("expiresAt") for file in files):
        return True
    retention = spec.get("retention") or {}
    limited = retention.get("seconds") is not None or retention.get("keepOriginal")
    return bool(limited) and any(file["state"] == FileState.READY for file in files)


def _may_be_retried(status: Mapping[str, Any]) -> bool:
    """Return whether the store retries a file of the Recording that could not be made."""
    return any(
        c["type"] == "Succeeded" and c["reason"] == SucceededReason.FINALIZE_FAILED
        for c in status.get("conditions") or ()
    )
