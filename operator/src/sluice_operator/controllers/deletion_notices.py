"""Notices to the stores about Recordings that were deleted.

A Recording that is over has no finalizer, so its object can disappear at any time. Until its store
has the notice, a new Recording of the same name would get the files of the deleted one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from sluice_operator.domain.decision import StoreCall
from sluice_operator.domain.invalid_spec import InvalidSpecError
from sluice_operator.domain.recording.store_calls import farewell
from sluice_operator.engine.cache import Cache, Manifest, key_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import StoreCaller
from sluice_operator.engine.queue import Key
from sluice_operator.kube.errors import ApiError

_RETRY_SECONDS = 5.0
_GIVE_UP_SECONDS = 600.0
_PENDING = 10_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Notice:
    call: StoreCall
    since: float
    """Monotonic time of the deletion."""


class DeletionNotices:
    """Notices that wait for their store. It follows the cache; :meth:`run` must be a task."""

    def __init__(self, cache: Cache, stores: StoreCaller, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._pending: dict[Key, _Notice] = {}
        self._wake = asyncio.Event()
        cache.subscribe(self._on_change)

    def is_pending(self, recording: Key) -> bool:
        """Return whether the store has not yet got the notice about a Recording of this name."""
        return recording in self._pending

    async def run(self) -> None:
        """Send the notices until cancelled. A notice is dropped after ten minutes of failures."""
        while True:
            self._wake.clear()
            for key, waiting in tuple(self._pending.items()):
                await self._send(key, waiting)
            if self._pending:
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                await self._wake.wait()

    async def _send(self, key: Key, waiting: _Notice) -> None:
        try:
            await self._stores.call(key.namespace, waiting.call)
        except ApiError as error:
            if self._clock.monotonic() - waiting.since < _GIVE_UP_SECONDS:
                return
            _log.warning("deletion_not_reported", recording=str(key), error=str(error))
        if self._pending.get(key) is waiting:
            del self._pending[key]

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        if present is not None or former is None or former["kind"] != "Recording":
            return
        try:
            call = farewell(former)
        except InvalidSpecError as error:
            _log.warning("deletion_not_reported", recording=str(key_of(former)), error=str(error))
            return
        if call is not None and len(self._pending) < _PENDING:
            self._pending[key_of(former)] = _Notice(call, self._clock.monotonic())
            self._wake.set()
