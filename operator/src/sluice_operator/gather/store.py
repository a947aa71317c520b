"""Talks to the store pods: tells them of Recordings, asks what became of them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import ValidationError

from sluice_media.contract import STORE_PORT, StoredResult, StoreStatus
from sluice_operator.domain.decision import StoreCall
from sluice_operator.engine.cache import Manifest, key_of, uid_of
from sluice_operator.engine.queue import Key
from sluice_operator.gather.common import POD_INDEX, Context
from sluice_operator.kube.errors import InvalidError, UnavailableError
from sluice_operator.observe.http import PodHttp
from sluice_operator.observe.observer import Target, target_of

__all__ = ["StoreClient"]

_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)
_MAX_BODY_BYTES = 1 << 20
_RESULT_MAX_AGE_SECONDS = 15.0
_MAX_AGE_SECONDS = {"Deleting": 1.0}
"""Somebody waits for the end of it (kubectl delete)."""
_TOLD_AGAIN_SECONDS = 300.0
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Result:
    at: float
    changed: int
    """The store's own version of this Recording, when asked."""
    result: StoredResult


class StoreClient:
    """What a store was told and what it answered is remembered, so that ticks cost nothing."""

    def __init__(self, context: Context, http: PodHttp) -> None:
        self._context = context
        self._http = http
        self._told: OrderedDict[tuple[str, str, str], tuple[float, str]] = OrderedDict()
        self._results: OrderedDict[tuple[str, str], _Result] = OrderedDict()

    async def call(self, namespace: str, call: StoreCall) -> None:
        """``PUT`` or ``DELETE /v1/recordings/<uid>``. Raises UnavailableError or InvalidError."""
        store = self._context.cache.find(Key("MediaStore", namespace, call.store_name))
        target = self._pod(store) if store is not None else None
        uid = str(call.body["uid"])
        if target is None:
            raise UnavailableError(f"MediaStore {call.store_name} has no running pod")
        method = "DELETE" if call.delete else "PUT"
        body = f"{call.occasion} {json.dumps(call.body, sort_keys=True)}"
        now = self._context.clock.monotonic()
        told = self._told.get((target.pod_uid, uid, method))
        if told is not None and told[1] == body and now - told[0] < _TOLD_AGAIN_SECONDS:
            return
        await self._request(method, target, uid, None if call.delete else call.body)
        # What was asked before is no answer to this.
        self._results.pop((target.pod_uid, uid), None)
        self._told[target.pod_uid, uid, method] = (now, body)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def result(self, store: Manifest, recording_uid: str) -> StoredResult | None:
        """``GET /v1/recordings/<uid>``; None when no store pod answers."""
        target = self._pod(store)
        if target is None:
            return None
        changed = self._changed(store, recording_uid)
        known = self._results.get((target.pod_uid, recording_uid))
        now = self._context.clock.monotonic()
        if (
            known is not None
            and known.changed == changed
            and now - known.at < _MAX_AGE_SECONDS.get(known.result.state, _RESULT_MAX_AGE_SECONDS)
        ):
            return known.result
        try:
            answer = await self._request("GET", target, recording_uid)
            result = StoredResult.model_validate_json(answer)
        except (UnavailableError, InvalidError, ValidationError):
            return None
        self._results[target.pod_uid, recording_uid] = _Result(now, changed, result)
        if len(self._results) > _REMEMBERED:
            self._results.popitem(last=False)
        return result

    def _changed(self, store: Manifest, recording_uid: str) -> int:
        sample = self._context.sample(store, StoreStatus)
        return sample.status.changed.get(recording_uid, 0) if sample is not None else 0

    def _pod(self, store: Manifest) -> Target | None:
        """The newest pod of the store that can be asked."""
        targets = [
            target
            for pod in self._context.cache.select(POD_INDEX, uid_of(store))
            if (target := target_of(pod)) is not None and target.owner == key_of(store)
        ]
        return max(targets, key=lambda t: t.created, default=None)

    async def _request(
        self, method: str, target: Target, uid: str, body: Mapping[str, Any] | None = None
    ) -> bytes:
        token = await self._context.status_token(target.owner)
        path = f"/v1/recordings/{uid}"
        try:
            async with self._http.open(
                method, target.address, STORE_PORT, path, token, _TIMEOUT, body
            ) as response:
                raw: bytes = await response.content.read(_MAX_BODY_BYTES)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"store pod {target.address.name} broke off") from error
        if status in (404, 422):
            raise InvalidError(f"store pod {target.address.name} refuses Recording {uid}: {status}")
        if status >= 300:
            raise UnavailableError(f"store pod {target.address.name} answered {status}")
        return raw
