"""Kubernetes events, as ``kubectl describe`` and ``kubectl get events`` show them.

Events are posted in the background, so that a slow API server does not delay a pass. When an event
repeats for an object, its counter is raised instead (core/v1 ``count``, ``lastTimestamp``).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import structlog

from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.conditions import timestamp
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ApiError, NamespaceTerminatingError, NotFoundError
from sluice_operator.kube.resources import EVENTS
from sluice_operator.telemetry.metrics import Metrics

COMPONENT = "sluice-operator"
_PENDING = 1_000
_REMEMBERED = 4_096
_MESSAGE_LENGTH = 1_024
"""Maximum characters of a message that the API server accepts."""

_log = structlog.get_logger(__name__)
_Fingerprint = tuple[str, str, str, str]


@dataclass(slots=True, frozen=True)
class _Event:
    """An event to post."""

    about: Manifest
    type: str
    reason: str
    message: str

    @property
    def fingerprint(self) -> _Fingerprint:
        return uid_of(self.about), self.type, self.reason, self.message


@dataclass(slots=True)
class _Posted:
    """An event that was posted."""

    name: str
    count: int


class EventRecorder:
    """Queue of events, and the task that posts them."""

    def __init__(self, api: Api, clock: Clock, metrics: Metrics, *, instance: str) -> None:
        self._api = api
        self._clock = clock
        self._metrics = metrics
        self._instance = instance
        self._pending: asyncio.Queue[_Event] = asyncio.Queue(_PENDING)
        self._posted: OrderedDict[_Fingerprint, _Posted] = OrderedDict()
        self._serial = 0

    def record(self, about: Manifest, event_type: str, reason: str, text: str) -> None:
        """Queue an event. Drop and count it when too many events wait."""
        try:
            self._pending.put_nowait(_Event(about, event_type, reason, text[:_MESSAGE_LENGTH]))
        except asyncio.QueueFull:
            self._metrics.events_dropped.inc()

    async def run(self) -> None:
        """Post events until cancelled. An event that is refused is logged and dropped."""
        while True:
            event = await self._pending.get()
            try:
                await self._post(event)
            except NamespaceTerminatingError:
                continue  # the event would be deleted with the namespace
            except ApiError as error:
                self._metrics.events_dropped.inc()
                _log.warning("event_not_posted", reason=event.reason, error=str(error))
            finally:
                self._pending.task_done()

    async def flush(self, timeout_seconds: float) -> None:
        """Wait until all queued events are posted. `run` must be running."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._pending.join()
        except TimeoutError:
            self._metrics.events_dropped.inc(self._pending.qsize())

    async def _post(self, event: _Event) -> None:
        posted = self._posted.get(event.fingerprint)
        if posted is not None:
            self._posted.move_to_end(event.fingerprint)
            posted.count += 1
            patch = {"count": posted.count, "lastTimestamp": timestamp(self._clock.now())}
            namespace = event.about["metadata"]["namespace"]
            try:
                await self._api.merge_patch(EVENTS, namespace, posted.name, patch)
            except NotFoundError:  # events live for an hour
                del self._posted[event.fingerprint]
            else:
                return
        document = self._document(event)
        await self._api.create(document)
        self._posted[event.fingerprint] = _Posted(document["metadata"]["name"], 1)
        if len(self._posted) > _REMEMBERED:
            self._posted.popitem(last=False)

    def _document(self, event: _Event) -> dict[str, Any]:
        now, meta = self._clock.now(), event.about["metadata"]
        self._serial = (self._serial + 1) % 1_000
        nanoseconds = int(now.timestamp() * 1e6) * 1_000 + self._serial
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                # The naming of client-go: the object's name and the time in nanoseconds.
                "name": f"{meta['name']}.{nanoseconds:x}",
                "namespace": meta["namespace"],
            },
            "involvedObject": {
                "apiVersion": event.about["apiVersion"],
                "kind": event.about["kind"],
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
        }
