"""The two ways to a pod carry the same request; only the token's header differs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from sluice_operator.kube.errors import UnavailableError
from sluice_operator.pods.http import DirectHttp, PodAddress, PodRequest, ProxyHttp

TIMEOUT = aiohttp.ClientTimeout(total=2)
TOKEN = SecretStr("a-token")


class FakeClient:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[None]:
        self.asked.append((method, path, dict(headers), body))
        yield None


async def test_through_the_api_server_the_token_has_a_header_of_its_own() -> None:
    """The API server takes ``Authorization`` for itself."""
    client = FakeClient()
    pod = PodAddress("ns", "show-1", "10.0.0.1")
    proxy = ProxyHttp(client)  # type: ignore[arg-type]
    async with proxy.open(PodRequest("GET", pod, 9100, "/v1/status?version=1", TOKEN, TIMEOUT)):
        pass
    assert client.asked == [
        (
            "GET",
            "/api/v1/namespaces/ns/pods/http:show-1:9100/proxy/v1/status?version=1",
            {"Sluice-Authorization": "Bearer a-token"},
            None,
        )
    ]


async def test_straight_to_the_pod_the_token_is_a_bearer_token() -> None:
    seen: dict[str, str] = {}

    async def answer(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/v1/status", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pod, port = PodAddress("ns", "show-1", "127.0.0.1"), runner.addresses[0][1]
    async with (
        DirectHttp() as http,
        http.open(PodRequest("GET", pod, port, "/v1/status", TOKEN, TIMEOUT)) as response,
    ):
        assert await response.text() == "ok"
    await runner.cleanup()
    assert seen["Authorization"] == "Bearer a-token"


async def test_a_pod_that_does_not_listen_is_unavailable() -> None:
    pod = PodAddress("ns", "show-1", "127.0.0.1")
    async with DirectHttp() as http:
        with pytest.raises(UnavailableError, match="show-1"):
            async with http.open(PodRequest("GET", pod, 9, "/", None, TIMEOUT)):
                pass
