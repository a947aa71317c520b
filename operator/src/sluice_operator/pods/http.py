"""The way to a media pod: straight to its address, or through the API server's pod proxy.

Straight is for an operator inside the cluster. The proxy is for one outside (a desk), and costs
the right ``get`` on ``pods/proxy``. The API server consumes ``Authorization`` itself, so that the
pod's token travels in a header of our own there.
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
    """A body is larger than it may be."""


async def whole_body(
    response: aiohttp.ClientResponse,
    limit_bytes: int,
    on_piece: Callable[[bool], None] = lambda begun: None,
) -> bytes:
    """Read a body to its end, without the white space before it. Raises TooLargeError.

    ``on_piece(begun)`` is called for each piece that arrives; ``begun``: the body has begun.
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
    namespace: str
    name: str
    ip: str


class PodHttp(Protocol):
    def open(
        self,
        method: str,
        pod: PodAddress,
        port: int,
        path: str,
        token: SecretStr | None,
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Async context manager of an `aiohttp.ClientResponse` whose body is still to be read.

        Raises UnavailableError when the pod cannot be reached.
        """


class DirectHttp:
    """``async with DirectHttp() as http``; proxies of the environment are not for pods."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> DirectHttp:
        # Each poll holds a connection: no limit of their number.
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=0)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        pod: PodAddress,
        port: int,
        path: str,
        token: SecretStr | None,
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        try:
            response = await self._session.request(
                method,
                f"http://{host}:{port}{path}",
                headers=headers,
                json=body,
                timeout=timeout,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"pod {pod.name} cannot be reached on port {port}") from error
        try:
            yield response
        finally:
            response.close()


class ProxyHttp:
    def __init__(self, client: KubeClient) -> None:
        self._client = client

    @asynccontextmanager
    async def open(
        self,
        method: str,
        pod: PodAddress,
        port: int,
        path: str,
        token: SecretStr | None,
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        through = f"{PODS.path(pod.namespace, f'http:{pod.name}:{port}', 'proxy')}{path}"
        headers = {TOKEN_HEADER: f"Bearer {token.get_secret_value()}"} if token else {}
        async with self._client.stream(
            method, through, headers=headers, timeout=timeout, body=body
        ) as response:
            yield response
