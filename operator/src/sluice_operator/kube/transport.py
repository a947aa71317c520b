"""Connections to the API server: login, pools, timeouts, and a new login after a 401.

In: a method, a path and a JSON body. Out: the HTTP status with the body, or an open response.
``kubernetes.aio`` has the configuration (kubeconfig, in-cluster, token refresh) and the REST client
(TLS, connection pool).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from sluice_operator.kube.errors import UnauthorizedError, UnavailableError
from sluice_operator.kube.login import LoginError, authorization, load_configuration

JSON = "application/json"
CONNECTIONS = 100
_RELOGIN_SECONDS = 5.0
_USER_AGENT = "sluice-operator (kubernetes.aio)"
_TIMEOUT = aiohttp.ClientTimeout(total=15.0, sock_connect=5.0)
"""Timeout of one request. Long polls through the pod proxy have their own timeout."""


@dataclass(slots=True, frozen=True)
class HttpRequest:
    """An HTTP request to the API server."""

    method: str
    path: str
    """Path with the query."""
    body: Mapping[str, Any] | None = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=lambda: {"Accept": JSON})


@asynccontextmanager
async def _transport_errors() -> AsyncIterator[None]:
    """Turn the errors of aiohttp into :class:`UnavailableError`."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        detail = str(error) or type(error).__name__
        raise UnavailableError(f"the API server cannot be reached: {detail}") from error
    except TimeoutError as error:
        raise UnavailableError("the API server did not answer in time") from error


class Transport:
    """The connections of one client; safe to use from many tasks.

    ``connections`` is the maximum number at the same time; further requests wait. Streams have a
    pool without a limit, because each of them holds its connection until it ends.
    """

    def __init__(self, configuration: Configuration, *, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._use(configuration)
        self._logged_in_at = time.monotonic()

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()
        await self._streams.close()

    async def send(self, request: HttpRequest) -> tuple[int, bytes]:
        """Send a request; return the HTTP status and the body. Raises UnavailableError."""
        for last_try in (False, True):
            async with _transport_errors():
                response = await self._open(request, self._rest, _TIMEOUT)
                async with response:
                    raw = await response.read()
            if response.status == 401 and not last_try and await self._log_in_again():
                continue
            break
        if response.status in (429, 503):
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else None
            raise UnavailableError(
                f"the API server is busy ({response.status})", retry_after_seconds=seconds
            )
        return response.status, raw

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; yield the response while its body arrives."""
        async with _transport_errors():
            response = await self._open(request, self._streams, timeout)
        try:
            yield response
        finally:
            response.close()

    async def _open(
        self, request: HttpRequest, pool: RESTClientObject, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        answer = await pool.request(  # type: ignore[no-untyped-call]
            request.method,
            self._configuration.host + request.path,
            headers={
                "User-Agent": _USER_AGENT,
                **request.headers,
                **await authorization(self._configuration),
                "Content-Type": request.content_type,
            },
            body=request.body,
            _request_timeout=timeout,
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _log_in_again(self) -> bool:
        """Load new credentials after a 401; return False if the last login was 5 s ago or less."""
        if time.monotonic() - self._logged_in_at < _RELOGIN_SECONDS:
            return False
        self._logged_in_at = time.monotonic()
        former = self._rest, self._streams
        try:
            self._use(await load_configuration())
        except LoginError as error:
            raise UnauthorizedError(str(error)) from error
        for pool in former:
            await pool.close()
        return True

    def _use(self, configuration: Configuration) -> None:
        self._configuration = configuration
        configuration.connection_pool_maxsize = self._connections
        self._rest = RESTClientObject(configuration)
        configuration.connection_pool_maxsize = 0  # no limit
        self._streams = RESTClientObject(configuration)
