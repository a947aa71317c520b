"""One pass over one object: gather -> decide -> act.

The actions have an order:

1. Add our finalizer, before there is anything to clean up.
2. Apply children, annotate pods, delete objects, call stores.
3. Remove our finalizer.
4. Write the status once. The write is skipped when the status is equal to the stored one.
5. Apply the optional children. They are last, so that a refused one delays nothing else.

A conflict (409) means that the gathered facts are old. Then all facts are gathered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from sluice_operator.api.v1alpha1.reasons import EventReason, StalledReason
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.invalid_spec import InvalidSpecError
from sluice_operator.domain.names import CONFIG_ANNOTATION
from sluice_operator.engine.cache import Cache, Manifest
from sluice_operator.engine.children import Children
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.conditions import blocked, status_of, transitions
from sluice_operator.engine.controller import Api, Controller, StoreCaller
from sluice_operator.engine.events import EventRecorder
from sluice_operator.engine.objects import ObjectWriter
from sluice_operator.engine.queue import Key
from sluice_operator.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NamespaceTerminatingError,
    NotFoundError,
)
from sluice_operator.kube.resources import PODS, resource_of

_TRIES = 4
"""Maximum passes in one call of `Reconciler.run`. Each conflict (409) starts another pass."""
_REFUSED_RETRY_SECONDS = 30.0
_OPTIONAL_RETRY_SECONDS = 10.0
_STORE_RETRY_SECONDS = 3.0
_TERMINATING_RETRY_SECONDS = 10.0

_log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """Result of a pass, as a label of the metric ``sluice_reconcile_total``."""

    SETTLED = "settled"
    """The object is as decided. The next change starts the next pass."""
    WAITING = "waiting"
    """The object is as decided. The next pass starts after a time."""
    STALLED = "stalled"
    """The user must act. The next change starts the next pass."""
    GONE = "gone"
    """The object does not exist any more."""


@dataclass(slots=True, frozen=True)
class Result:
    """Outcome of a pass, with the time until the next one."""

    outcome: Outcome
    requeue_after_seconds: float | None = None
    """Seconds until the next pass; None: after the next change."""


class Reconciler:
    """Reconciliation of objects of all kinds. ``finalizer`` is the name of our finalizer."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        children: Children,
        events: EventRecorder,
        *,
        store: StoreCaller,
        clock: Clock,
        finalizer: str,
    ) -> None:
        self._api = api
        self._cache = cache
        self._children = children
        self._events = events
        self._store = store
        self._clock = clock
        self._objects = ObjectWriter(api, cache, finalizer=finalizer)

    async def run(self, controller: Controller[Any], key: Key) -> Result:
        """Make a pass over the object, and another one after each conflict. Raises ApiError."""
        for attempt in range(_TRIES):
            obj = self._cache.find(key)
            if obj is None:
                return Result(Outcome.GONE)
            try:
                return await self._pass(controller, obj)
            except NamespaceTerminatingError:
                # The namespace is being deleted, and the object with it.
                return Result(Outcome.WAITING, _TERMINATING_RETRY_SECONDS)
            except ConflictError as conflict:
                _log.debug("gather_again", object=str(key), error=str(conflict))
                if attempt == _TRIES - 1:
                    raise
                await self._objects.refresh(obj)
        raise AssertionError("unreachable")

    async def _pass(self, controller: Controller[Any], obj: Manifest) -> Result:
        try:
            decision = controller.decide(await controller.gather(obj), self._clock.now())
        except InvalidSpecError as invalid:
            decision = invalid.decision(obj)
        refused: ForbiddenError | InvalidError | None = None
        acknowledged = True
        if decision.finalizer:
            obj = await self._objects.set_finalizer(obj, present=True)
        try:
            await self._act(obj, decision)
            acknowledged = await self._call_stores(obj, decision)
            if acknowledged and decision.status_when_acknowledged:
                status = {**decision.status, **decision.status_when_acknowledged}
                decision = replace(decision, status=status)
        except (ForbiddenError, InvalidError) as error:
            refused = error
            forbidden = isinstance(error, ForbiddenError)
            reason = StalledReason.NOT_ALLOWED if forbidden else StalledReason.REFUSED
            decision = blocked(decision, reason, f"The API server refuses an object: {error}")
        # The finalizer goes only after the work that it was held for.
        if not decision.finalizer and refused is None and acknowledged:
            obj = await self._objects.set_finalizer(obj, present=False)
        try:
            if not _is_vanishing(obj):
                await self._write_status(obj, decision)
        finally:
            # In a finally, because automatic Recordings are optional children. A status that cannot
            # be written must not cost a Recording.
            all_made = await self._make_optional(obj, decision)
        for notice in decision.notices:
            self._events.record(obj, notice.type, notice.reason, notice.text)
        if refused is not None:
            return Result(Outcome.STALLED, _REFUSED_RETRY_SECONDS)
        if acknowledged:
            result = _result(decision)
        else:
            result = Result(Outcome.WAITING, _STORE_RETRY_SECONDS)
        return result if all_made else _no_later(result, _OPTIONAL_RETRY_SECONDS)

    async def _act(self, obj: Manifest, decision: Decision) -> None:
        namespace = obj["metadata"]["namespace"]
        await self._children.make(obj, [c for c in decision.children if not c.optional])
        for desired in decision.pod_config_hashes:
            # The annotation makes the kubelet refresh the mounts: 0.2 s instead of 40 to 80 s.
            value = {CONFIG_ANNOTATION: desired.value}
            await self._annotate(obj, desired.pod_name, desired.pod_uid, value)
        for change in decision.pod_annotations:
            await self._annotate(obj, change.pod_name, change.pod_uid, change.values)
        for deletion in decision.deletions:
            manifest = {"apiVersion": deletion.api_version, "kind": deletion.kind}
            resource = resource_of(manifest)
            try:
                await self._api.delete(resource, namespace, deletion.name, uid=deletion.uid)
            except NotFoundError:
                continue
            finally:
                self._children.forget(deletion.kind, namespace, deletion.name)
            if deletion.reason:
                self._events.record(obj, "Normal", deletion.reason, deletion.text)

    async def _make_optional(self, obj: Manifest, decision: Decision) -> bool:
        """Apply the optional children at the same time; return whether all of them succeeded.

        A refused child is reported as an event. Raises ConflictError or NamespaceTerminatingError.
        """
        children = [child for child in decision.children if child.optional]
        made = await asyncio.gather(
            *(self._children.make(obj, [child]) for child in children), return_exceptions=True
        )
        failures = [(c, e) for c, e in zip(children, made, strict=True) if e is not None]
        for child, error in failures:
            if not isinstance(error, ApiError):
                raise error
            if isinstance(error, ConflictError | NamespaceTerminatingError):
                continue
            what = f"{child.manifest['kind']} {child.manifest['metadata']['name']}"
            _log.warning("child_not_made", child=what, error=str(error))
            text = f"{what} could not be made and is tried again: {error}"
            self._events.record(obj, "Warning", f"{child.manifest['kind']}NotMade", text)
        for _, error in failures:
            if isinstance(error, ConflictError | NamespaceTerminatingError):
                raise error
        return not failures

    async def _call_stores(self, obj: Manifest, decision: Decision) -> bool:
        """Send the calls to the stores; return whether the stores accepted all of them.

        A store may still be starting, so a refusal is not an error."""
        try:
            for call in decision.store_calls:
                await self._store.call(obj["metadata"]["namespace"], call)
        except ApiError as error:
            _log.info("store_call_failed", object=obj["metadata"]["name"], error=str(error))
            return False
        return True

    async def _annotate(
        self, obj: Manifest, name: str, uid: str, values: Mapping[str, str | None]
    ) -> None:
        """Patch a pod of the object. A refused patch is reported as an event, and ignored."""
        pod = self._cache.by_uid(uid)
        annotations = (pod["metadata"].get("annotations") or {}) if pod is not None else {}
        if all(annotations.get(key) == value for key, value in values.items()):
            return
        patch = {"metadata": {"uid": uid, "annotations": dict(values)}}
        namespace = obj["metadata"]["namespace"]
        try:
            self._cache.update(await self._api.merge_patch(PODS, namespace, name, patch))
        except (NotFoundError, ConflictError):
            _log.info("pod_gone_before_annotation", namespace=namespace, pod=name)
        except (ForbiddenError, InvalidError) as error:
            _log.warning("pod_not_annotated", namespace=namespace, pod=name, error=str(error))
            text = f"Pod {name} could not be annotated: {error}"
            self._events.record(obj, "Warning", EventReason.POD_NOT_ANNOTATED, text)

    async def _write_status(self, obj: Manifest, decision: Decision) -> None:
        """Write the status; post an event for each condition that it changes."""
        status = status_of(obj, decision, self._clock.now())
        if await self._objects.write_status(obj, status):
            for condition, event_type in transitions(obj, decision):
                self._events.record(obj, event_type, condition.reason, condition.message)


def _is_vanishing(obj: Manifest) -> bool:
    """Return whether the object is deleted and has no finalizer, so that it takes no status."""
    meta = obj["metadata"]
    return "deletionTimestamp" in meta and not meta.get("finalizers")


def _no_later(result: Result, seconds: float) -> Result:
    after = result.requeue_after_seconds
    return replace(result, requeue_after_seconds=seconds if after is None else min(after, seconds))


def _result(decision: Decision) -> Result:
    after = decision.requeue_after_seconds
    if any(c.type == "Stalled" and c.status == "True" for c in decision.conditions):
        return Result(Outcome.STALLED, after)
    return Result(Outcome.SETTLED if after is None else Outcome.WAITING, after)
