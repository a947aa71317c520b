"""Recording: its recorder, its stream, and what the store made of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from sluice_media.contract import (
    IngestStatus,
    RecorderPhase,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.api.v1alpha1.reasons import SucceededReason
from sluice_operator.controllers.context import Context
from sluice_operator.controllers.farewells import Farewells
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
    resource: Resource = RECORDINGS

    def __init__(
        self, context: Context, stores: StoreClient, farewells: Farewells | None = None
    ) -> None:
        self._context = context
        self._stores = stores
        self._farewells = farewells
        self._first_asked: OrderedDict[str, float] = OrderedDict()
        """uid of a Recording -> when its store was first asked what it holds of the name."""

    async def gather(self, obj: Manifest) -> ObservedRecording:
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
        decision = decide(observed, now)
        wait = soonest(decision.requeue_after_seconds, observed.ask_store_again_seconds)
        return replace(decision, requeue_after_seconds=wait)

    async def _stored(
        self, obj: Manifest, store: Manifest | None, sample: Sample[RecorderStatus] | None
    ) -> StoreAnswer:
        """The store's word, once there may be something of it that the recorder does not know."""
        if store is None:
            return StoreAnswer()
        status = obj.get("status") or {}
        began = status.get("recordingStartedAt") or (sample is not None and sample.status.files)
        # Only who is heard writes: what a lost recorder said last may be long over.
        heard = fresh(sample)
        writing = heard is not None and heard.phase in _WRITING and not _lacks_files(status, heard)
        over = status.get("phase") in FINAL_PHASES and not _may_change(obj)
        done = sample is not None and sample.status.phase is RecorderPhase.DONE
        # Also of a recorder that was never heard: it may have written.
        deleting = "deletionTimestamp" in obj["metadata"]
        if not deleting and (over or writing or not (began or done)):
            return StoreAnswer()
        return await self._stores.result(store, stored_uid(obj))

    async def _former(
        self, obj: Manifest, store: Manifest
    ) -> tuple[StoredResult | None, float | None]:
        """Return what the store holds of the name, or since when it has been asked, in seconds."""
        now = self._context.clock.monotonic
        first = self._first_asked.setdefault(uid_of(obj), now())
        if len(self._first_asked) > _REMEMBERED:
            self._first_asked.popitem(last=False)
        try:
            return await self._stores.former(store, key_of(obj)), None
        except ApiError as error:
            _log.info("store_not_asked", recording=str(key_of(obj)), cause=str(error))
            return None, now() - first

    def _may_be_restored(self, obj: Manifest) -> bool:
        """Whether it has not begun, and may be one that its store holds already."""
        status, meta = obj.get("status") or {}, obj["metadata"]
        if status.get("endReason") or status.get("recordingStartedAt"):
            return False
        if "deletionTimestamp" in meta or RESTART_ANNOTATION in (meta.get("annotations") or {}):
            return False
        deleted = self._farewells is not None and self._farewells.is_pending(key_of(obj))
        return not deleted and not self._context.pods(obj)


def _lacks_files(status: Mapping[str, Any], recorder: RecorderStatus) -> bool:
    """Whether the status lacks files that the recorder has no room to list any more."""
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
    """What is over may still be finished after all, or be taken by retention."""
    status, spec = obj.get("status") or {}, obj["spec"]
    if _may_be_retried(status) or "keptUntil" in (status.get("damage") or {}):
        return True
    files = status.get("files") or ()
    if any(file.get("originUri") or file.get("expiresAt") for file in files):
        return True
    retention = spec.get("retention") or {}
    limited = retention.get("seconds") is not None or retention.get("keepOriginal")
    return bool(limited) and any(file["state"] == "Ready" for file in files)


def _may_be_retried(status: Mapping[str, Any]) -> bool:
    """A file that could not be made is tried again by the store: the failure is not the end."""
    return any(
        c["type"] == "Succeeded" and c["reason"] == SucceededReason.FINALIZE_FAILED
        for c in status.get("conditions") or ()
    )
