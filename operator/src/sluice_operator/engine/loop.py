"""The workers: they take keys from the queue, reconcile them, and queue failed keys again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Controller
from sluice_operator.engine.queue import Key, WorkQueue
from sluice_operator.engine.reconcile import Outcome, Reconciler
from sluice_operator.kube.errors import ApiError
from sluice_operator.telemetry.metrics import Metrics

_PASS_TIMEOUT_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class Loop:
    """The worker tasks and the controllers of all kinds."""

    def __init__(
        self,
        queue: WorkQueue,
        reconciler: Reconciler,
        controllers: Iterable[Controller[Any]],
        clock: Clock,
        metrics: Metrics,
        *,
        workers: int,
    ) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._controllers = {c.resource.kind: c for c in controllers}
        self._clock = clock
        self._metrics = metrics
        self._workers = workers
        self._busy: set[Key] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    async def run(self) -> None:
        """Run the workers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._workers):
                tasks.create_task(self._work(), name=f"worker-{number}")

    async def drain(self, timeout_seconds: float) -> None:
        """Start no new pass, and wait for the running passes."""
        self._stopping = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("passes_cut_off", count=len(self._busy))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            if self._stopping:
                return
            self._busy.add(key)
            self._idle.clear()
            try:
                await self._reconcile(key)
            finally:
                self._busy.discard(key)
                if not self._busy:
                    self._idle.set()
                self._queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(_PASS_TIMEOUT_SECONDS):
                result = await self._reconciler.run(self._controllers[key.kind], key)
        except (ApiError, TimeoutError) as error:
            self._failed(key, error)
            return
        except Exception as error:
            # A bug that one object triggers must not stop the passes of the others.
            _log.exception("reconcile_crashed", object=str(key))
            self._failed(key, error)
            return
        finally:
            elapsed = self._clock.monotonic() - started
            self._metrics.reconcile_seconds.labels(key.kind).observe(elapsed)
        self._metrics.reconciles.labels(key.kind, result.outcome).inc()
        if result.outcome is Outcome.GONE:
            self._queue.forget(key)
            return
        self._queue.succeeded(key)
        if result.requeue_after_seconds is not None:
            self._queue.add_after(key, result.requeue_after_seconds)

    def _failed(self, key: Key, error: Exception) -> None:
        kind = type(error).__name__
        self._metrics.reconciles.labels(key.kind, "failed").inc()
        self._metrics.reconcile_errors.labels(key.kind, kind).inc()
        seconds = self._queue.retry(key)
        _log.warning(
            "reconcile_failed",
            object=str(key),
            error_type=kind,
            error=str(error),
            retry_in_seconds=round(seconds, 1),
        )
