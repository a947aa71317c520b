"""Client of the store pods: sends them calls about Recordings, and reads the results."""

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

from sluice_media.contract import STORE_PORT, ResultState, StoredResult, StoreStatus
from sluice_operator.domain.decision import StoreCall
from sluice_operator.domain.recording.files import MAX_FILES
from sluice_operator.engine.cache import Cache, Manifest, key_of, uid_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.queue import Key
from sluice_operator.kube.errors import ApiError, InvalidError, UnavailableError
from sluice_operator.pods.endpoints import POD_INDEX, PodEndpoint, endpoint_of
from sluice_operator.pods.http import PodHttp, PodRequest, TooLargeError, whole_body
from sluice_operator.pods.samples import Samples

_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)
_FILES_PER_PAGE = 50
_MAX_BODY_BYTES = 8 << 20
"""Limit of a body. A page has at most 250 KiB, but a store of a former version sends all files at
once."""
_RESULT_MAX_AGE_SECONDS = 15.0
_MAX_AGE_SECONDS: Mapping[str, float] = {ResultState.DELETING: 1.0}
"""State of a result -> its maximum age, where that is shorter. A user waits for the end of a
deletion."""
_FIRST_RETRY_SECONDS = 2.0
_LAST_RETRY_SECONDS = 60.0
_UNFINISHED_SECONDS = 60.0
"""Time after which an unfinished result is read again. The store reports changes, but a report can
be lost with its pod."""
_REPEAT_SECONDS = 300.0
"""Time after which an accepted call is sent again."""
_REMEMBERED = 10_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class StoreAnswer:
    """The answer of a store, and the time of the next request."""

    result: StoredResult | None = None
    """Result of the Recording. None: no request was sent, or the store did not answer."""
    ask_again_seconds: float | None = None
    """Seconds until the next request without a change; None: only after a change."""


@dataclass(slots=True)
class _Asked:
    """The last request about one Recording."""

    at: float
    """Monotonic time of the request."""
    place: tuple[str, int]
    """Uid of the pod that got the request (empty: there was no pod), and its version of this
    Recording."""
    result: StoredResult | None
    failures: int = 0
    """Number of failed requests in a row."""

    @property
    def retry_seconds(self) -> float:
        """Pause before the next request."""
        return min(_FIRST_RETRY_SECONDS * 2.0 ** min(self.failures - 1, 30), _LAST_RETRY_SECONDS)


class StoreClient:
    """Requests to the stores. Calls and results are remembered, so that ticks cost no request."""

    def __init__(
        self,
        cache: Cache,
        samples: Samples,
        clock: Clock,
        http: PodHttp,
        token_of: Callable[[Key], Awaitable[SecretStr | None]],
    ) -> None:
        """``token_of`` reads the bearer token of a store's pods; it raises ApiError."""
        self._cache = cache
        self._samples = samples
        self._clock = clock
        self._http = http
        self._token_of = token_of
        self._acknowledged: OrderedDict[tuple[str, str, str], tuple[float, str]] = OrderedDict()
        """(uid of the pod, uid of the Recording, method) -> time and body of the last call."""
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def call(self, namespace: str, call: StoreCall) -> None:
        """Send ``PUT`` or ``DELETE /v1/recordings/<uid>``.

        A call that the same pod has accepted is repeated after five minutes at the earliest. Raises
        UnavailableError or InvalidError."""
        store = self._cache.find(Key("MediaStore", namespace, call.store_name))
        endpoint = self._pod(store) if store is not None else None
        uid = str(call.body["uid"])
        if endpoint is None:
            raise UnavailableError(f"MediaStore {call.store_name} has no running pod")
        method = "DELETE" if call.delete else "PUT"
        body = f"{call.occasion} {json.dumps(call.body, sort_keys=True)}"
        now = self._clock.monotonic()
        last = self._acknowledged.get((endpoint.pod_uid, uid, method))
        if last is not None and last[1] == body and now - last[0] < _REPEAT_SECONDS:
            return
        await self._request(method, endpoint, uid, body=None if call.delete else call.body)
        # The remembered result is older than the call.
        self._asked.pop(uid, None)
        self._acknowledged[endpoint.pod_uid, uid, method] = (now, body)
        if len(self._acknowledged) > _REMEMBERED:
            self._acknowledged.popitem(last=False)

    async def result(self, store: Manifest, recording_uid: str) -> StoreAnswer:
        """Return the result of a Recording, remembered or from ``GET /v1/recordings/<uid>``.

        A failed request waits for its retry time. It is repeated earlier only if the store has
        another pod or reports a change of this Recording.
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
        """Return the result of an ended Recording of this name that was not reported as deleted.

        Raises ApiError when the store does not answer.
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
            return None  # no such Recording, or the store's version does not support names
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
        unfinished = known.result.state == ResultState.FINALIZING
        return _UNFINISHED_SECONDS - self._age(known) if unfinished else None

    async def _ask(
        self, endpoint: PodEndpoint | None, uid: str, place: tuple[str, int], failures: int
    ) -> _Asked:
        result = None
        if endpoint is not None:
            try:
                result = await self._result(endpoint, uid)
            except (ApiError, TooLargeError, ValidationError) as error:
                _log.info("store_not_reached", recording=uid, error=str(error))
        now = self._clock.monotonic()
        return _Asked(now, place, result, 0 if result is not None else failures + 1)

    async def _result(self, endpoint: PodEndpoint, uid: str) -> StoredResult:
        """Return the result with its newest files, read page by page.

        Raises the errors of `_request`."""
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
        status, _ = self._samples.last(uid_of(store), StoreStatus) or (None, 0.0)
        return status.changed.get(recording_uid, 0) if isinstance(status, StoreStatus) else 0

    def _pod(self, store: Manifest) -> PodEndpoint | None:
        """Return the newest running pod of the store."""
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
        """Send a request; return the body of the answer to a GET.

        Raises ApiError or TooLargeError."""
        token = await self._token_of(endpoint.owner)
        path = "/v1/recordings" + (f"/{uid}" if uid else "") + query
        try:
            request = PodRequest(method, endpoint.address, STORE_PORT, path, token, _TIMEOUT, body)
            async with self._http.open(request) as response:
                status = response.status
                wanted = method == "GET" and status < 300
                raw = await whole_body(response, _MAX_BODY_BYTES) if wanted else b""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(
                f"store pod {endpoint.address.name} did not complete its answer"
            ) from error
        if status in (404, 422):
            raise InvalidError(
                f"store pod {endpoint.address.name} refuses Recording {uid}: {status}"
            )
        if status >= 300:
            raise UnavailableError(f"store pod {endpoint.address.name} answered {status}")
        return raw
