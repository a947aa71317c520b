"""Talks to the store pods: tells them of Recordings, asks what became of them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import structlog
from pydantic import SecretStr, ValidationError

from sluice_media.contract import STORE_PORT, StoredResult, StoreStatus
from sluice_operator.domain.decision import StoreCall
from sluice_operator.domain.recording.files import MAX_FILES
from sluice_operator.engine.cache import Cache, Manifest, key_of, uid_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.queue import Key
from sluice_operator.kube.errors import ApiError, InvalidError, UnavailableError
from sluice_operator.pods.endpoints import POD_INDEX, PodEndpoint, endpoint_of
from sluice_operator.pods.http import PodHttp, TooLargeError, whole_body
from sluice_operator.pods.samples import Samples

_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)
_FILES_PER_PAGE = 50
_MAX_BODY_BYTES = 8 << 20
"""A page has 250 KiB at most; a store of a former version sends all files at once."""
_RESULT_MAX_AGE_SECONDS = 15.0
_MAX_AGE_SECONDS = {"Deleting": 1.0}
"""Somebody waits for the end of it (kubectl delete)."""
_FIRST_RETRY_SECONDS = 2.0
_LAST_RETRY_SECONDS = 60.0
_UNFINISHED_SECONDS = 60.0
"""The store reports when a Recording changes. This is for a report that was lost with its pod."""
_TOLD_AGAIN_SECONDS = 300.0
_REMEMBERED = 10_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class StoreAnswer:
    """What a store answered, and when to ask again although nothing has happened."""

    result: StoredResult | None = None
    """None: it was not asked, or did not answer."""
    ask_again_seconds: float | None = None


@dataclass(slots=True)
class _Asked:
    """The last question about one Recording."""

    at: float
    place: tuple[str, int]
    """The pod that was asked (empty: there was none) and its version of this Recording then."""
    result: StoredResult | None
    failures: int = 0
    """In a row."""

    @property
    def retry_seconds(self) -> float:
        return min(_FIRST_RETRY_SECONDS * 2.0 ** min(self.failures - 1, 30), _LAST_RETRY_SECONDS)


class StoreClient:
    """What a store was told and what it answered is remembered, so that ticks cost nothing."""

    def __init__(
        self,
        cache: Cache,
        samples: Samples,
        clock: Clock,
        http: PodHttp,
        token_of: Callable[[Key], Awaitable[SecretStr | None]],
    ) -> None:
        """``token_of`` returns the bearer token of a store's pods; it raises ApiError."""
        self._cache = cache
        self._samples = samples
        self._clock = clock
        self._http = http
        self._token_of = token_of
        self._told: OrderedDict[tuple[str, str, str], tuple[float, str]] = OrderedDict()
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def call(self, namespace: str, call: StoreCall) -> None:
        """``PUT`` or ``DELETE /v1/recordings/<uid>``. Raises UnavailableError or InvalidError."""
        store = self._cache.find(Key("MediaStore", namespace, call.store_name))
        endpoint = self._pod(store) if store is not None else None
        uid = str(call.body["uid"])
        if endpoint is None:
            raise UnavailableError(f"MediaStore {call.store_name} has no running pod")
        method = "DELETE" if call.delete else "PUT"
        body = f"{call.occasion} {json.dumps(call.body, sort_keys=True)}"
        now = self._clock.monotonic()
        told = self._told.get((endpoint.pod_uid, uid, method))
        if told is not None and told[1] == body and now - told[0] < _TOLD_AGAIN_SECONDS:
            return
        await self._request(method, endpoint, uid, body=None if call.delete else call.body)
        # What was asked before is no answer to this.
        self._asked.pop(uid, None)
        self._told[endpoint.pod_uid, uid, method] = (now, body)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def result(self, store: Manifest, recording_uid: str) -> StoreAnswer:
        """What became of a Recording: ``GET /v1/recordings/<uid>``, or what is remembered of it.

        A question that failed is not repeated before its time, unless the store has another pod
        or reports news of this Recording.
        """
        endpoint = self._pod(store)
        place = (
            endpoint.pod_uid if endpoint is not None else "",
            self._changed(store, recording_uid),
        )
        known = self._asked.get(recording_uid)
        if known is None or known.place != place or self._is_old(known):
            failures = known.failures if known is not None else 0
            known = await self._ask(endpoint, recording_uid, place, failures)
            self._asked[recording_uid] = known
            self._asked.move_to_end(recording_uid)
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return StoreAnswer(known.result, self._ask_again_seconds(known))

    async def former(self, store: Manifest, recording: Key) -> StoredResult | None:
        """What the store holds of an ended Recording of this name whose deletion it was never told.

        Raises ApiError when it cannot be asked.
        """
        endpoint = self._pod(store)
        if endpoint is None:
            raise UnavailableError(f"MediaStore {store['metadata']['name']} has no running pod")
        names = urlencode({"namespace": recording.namespace, "name": recording.name})
        query = f"?{names}&limit={_FILES_PER_PAGE}"
        try:
            found = StoredResult.model_validate_json(
                await self._request("GET", endpoint, "", query)
            )
            return await self._result(endpoint, found.uid) if found.older_files else found
        except InvalidError:
            return None  # there is none, or the store is of a version that does not know names
        except (TooLargeError, ValidationError) as error:
            raise UnavailableError(f"store pod {endpoint.address.name} sent no result") from error

    def _age(self, known: _Asked) -> float:
        return self._clock.monotonic() - known.at

    def _is_old(self, known: _Asked) -> bool:
        if known.result is None:
            return self._age(known) >= known.retry_seconds
        return self._age(known) >= _MAX_AGE_SECONDS.get(known.result.state, _RESULT_MAX_AGE_SECONDS)

    def _ask_again_seconds(self, known: _Asked) -> float | None:
        if known.result is None:
            return known.retry_seconds - self._age(known)
        unfinished = known.result.state == "Finalizing"
        return _UNFINISHED_SECONDS - self._age(known) if unfinished else None

    async def _ask(
        self, endpoint: PodEndpoint | None, uid: str, place: tuple[str, int], failures: int
    ) -> _Asked:
        result = None
        if endpoint is not None:
            try:
                result = await self._result(endpoint, uid)
            except (ApiError, TooLargeError, ValidationError) as error:
                _log.info("store_not_asked", recording=uid, cause=str(error))
        now = self._clock.monotonic()
        return _Asked(now, place, result, 0 if result is not None else failures + 1)

    async def _result(self, endpoint: PodEndpoint, uid: str) -> StoredResult:
        """The result with its newest files, page by page. Raises what `_request` raises."""
        newest = page = await self._page(endpoint, uid)
        files = page.files
        while page.older_files and page.files and len(files) < MAX_FILES:
            page = await self._page(endpoint, uid, f"&before={files[0].index}")
            files = [*page.files, *files]
        return newest.model_copy(update={"files": files})

    async def _page(self, endpoint: PodEndpoint, uid: str, before: str = "") -> StoredResult:
        query = f"?limit={_FILES_PER_PAGE}{before}"
        return StoredResult.model_validate_json(await self._request("GET", endpoint, uid, query))

    def _changed(self, store: Manifest, recording_uid: str) -> int:
        status, _ = self._samples.last(uid_of(store)) or (None, 0.0)
        return status.changed.get(recording_uid, 0) if isinstance(status, StoreStatus) else 0

    def _pod(self, store: Manifest) -> PodEndpoint | None:
        """The newest pod of the store that can be asked."""
        endpoints = [
            endpoint
            for pod in self._cache.select(POD_INDEX, uid_of(store))
            if (endpoint := endpoint_of(pod)) is not None and endpoint.owner == key_of(store)
        ]
        return max(endpoints, key=lambda t: t.created, default=None)

    async def _request(
        self,
        method: str,
        endpoint: PodEndpoint,
        uid: str,
        query: str = "",
        *,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The body of the answer to a GET. Raises ApiError or TooLargeError."""
        token = await self._token_of(endpoint.owner)
        path = "/v1/recordings" + (f"/{uid}" if uid else "") + query
        try:
            async with self._http.open(
                method, endpoint.address, STORE_PORT, path, token, _TIMEOUT, body
            ) as response:
                status = response.status
                wanted = method == "GET" and status < 300
                raw = await whole_body(response, _MAX_BODY_BYTES) if wanted else b""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"store pod {endpoint.address.name} broke off") from error
        if status in (404, 422):
            raise InvalidError(
                f"store pod {endpoint.address.name} refuses Recording {uid}: {status}"
            )
        if status >= 300:
            raise UnavailableError(f"store pod {endpoint.address.name} answered {status}")
        return raw
