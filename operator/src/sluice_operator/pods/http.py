"""HTTP requests to media pods: direct to their address, or through the pod proxy of the API server.

Direct requests are for an operator in the cluster. The proxy is for an operator outside, such as on
a laptop, and needs the right ``get`` on ``pods/proxy``. The API server does not forward the header
``Authorization``, so requests through the proxy carry the pod's token in a header of our own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from pydantic import SecretStr

from sluice_media.contract import TOKEN_HEADER
from sluice_operator.kube.client import KubeClient
from sluice_operator.kube.errors import UnavailableError
from sluice_operator.kube.resources import PODS


class TooLargeError(Exception):
    """The body of a response is too large."""


async def whole_body(
    response: aiohttp.ClientResponse,
    limit_bytes: int,
    on_piece: Callable[[bool], None] = lambda begun: None,
) -> bytes:
    """Read a body to its end, without the white space before it. Raises TooLargeError.

    ``on_piece(begun)`` is called for each piece; ``begun`` is true after the white space.
    """
    body = bytearray()
    async for piece in response.content.iter_any():
        on_piece(bool(body))
        body += piece if body else piece.lstrip()
        if len(body) > limit_bytes:
            raise TooLargeError(f"the body has more than {limit_bytes} bytes")
    return bytes(body)


@dataclass(slots=True, frozen=True)
class PodAddress:
    """A pod, with its IP address."""

    namespace: str
    name: str
    ip: str


@dataclass(slots=True, frozen=True)
class PodRequest:
    """A request to a port of a media pod."""

    method: str
    pod: PodAddress
    port: int
    path: str
    """Path with the query."""
    token: SecretStr | None
    """Bearer token; None: no authorization."""
    timeout: aiohttp.ClientTimeout
    body: Mapping[str, Any] | None = None
    """JSON body."""


class PodHttp(Protocol):
    """A way to the media pods."""

    def open(self, request: PodRequest) -> Any:
        """Return an async context manager of an `aiohttp.ClientResponse` with an unread body.

        Raises UnavailableError when the pod cannot be reached.
        """


class DirectHttp:
    """Requests to the address of the pod: ``async with DirectHttp() as http``.

    HTTP proxies in the environment are ignored."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> DirectHttp:
        # No limit of connections, because each poll holds one.
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=0)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(self, request: PodRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        pod, port = request.pod, request.port
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        try:
            response = await self._session.request(
                request.method,
                f"http://{host}:{port}{request.path}",
                headers=_authorization(request, "Authorization"),
                json=request.body,
                timeout=request.timeout,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"pod {pod.name} cannot be reached on port {port}") from error
        try:
            yield response
        finally:
            response.close()


class ProxyHttp:
    """Requests through the pod proxy of the API server."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    @asynccontextmanager
    async def open(self, request: PodRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        pod = request.pod
        proxy = PODS.path(pod.namespace, f"http:{pod.name}:{request.port}", "proxy")
        async with self._client.stream(
            request.method,
            f"{proxy}{request.path}",
            headers=_authorization(request, TOKEN_HEADER),
            timeout=request.timeout,
            body=request.body,
        ) as response:
            yield response


def _authorization(request: PodRequest, header: str) -> dict[str, str]:
    token = request.token
    return {header: f"Bearer {token.get_secret_value()}"} if token is not None else {}
