"""The API client: what it asks for, and which error each answer becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from sluice_operator.kube import transport as kube_transport
from sluice_operator.kube.client import KubeClient
from sluice_operator.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NamespaceTerminatingError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from sluice_operator.kube.login import LoginError, load_configuration
from sluice_operator.kube.resources import JOBS, LEASES, LIVE_STREAMS, PODS, SECRETS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "ns", "name": "s"}}


class Server:
    """An API server that keeps the requests and answers as it is told."""

    def __init__(self, handler: Handler | None = None) -> None:
        self._handler = handler
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.counted: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {k.lower(): v for k, v in request.headers.items()}
        body = json.loads(raw) if raw else None
        self.requests.append((request.method, request.path_qs, headers, body))
        return await self._handler(request) if self._handler else web.json_response({})


@asynccontextmanager
async def serving(server: Server, token: str = "t1") -> AsyncIterator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    client = KubeClient(configuration, on_request=lambda v, k: server.counted.append((v, k)))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_apply_is_server_side_and_by_force() -> None:
    server = Server()
    async with serving(server) as client:
        await client.apply(SECRET)
    method, path, headers, body = server.requests[0]
    assert (method, body) == ("PATCH", SECRET)
    assert path == ("/api/v1/namespaces/ns/secrets/s?fieldManager=sluice-operator&force=true")
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert headers["authorization"] == "Bearer t1"
    assert server.counted == [("apply", "Secret")]


async def test_a_status_is_put_on_the_subresource() -> None:
    server = Server()
    stream = {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": "LiveStream",
        "metadata": {"namespace": "ns", "name": "a", "uid": "u", "resourceVersion": "7"},
        "status": {"live": True},
    }
    async with serving(server) as client:
        await client.replace(stream, "status")
    method, path, _, body = server.requests[0]
    assert (method, body) == ("PUT", stream)
    assert path.startswith("/apis/sluice.video/v1alpha1/namespaces/ns/livestreams/a/status?")


async def test_a_deletion_names_the_uid_and_takes_the_pods_along() -> None:
    server = Server()
    async with serving(server) as client:
        await client.delete(JOBS, "ns", "a-record", uid="u")
    method, path, _, body = server.requests[0]
    assert (method, path) == ("DELETE", "/apis/batch/v1/namespaces/ns/jobs/a-record")
    assert body["preconditions"] == {"uid": "u"}
    assert body["propagationPolicy"] == "Background"


async def test_a_list_comes_in_chunks_and_its_items_know_their_kind() -> None:
    async def answer(request: web.Request) -> web.Response:
        page = request.query.get("continue", "0")
        more = {"0": "1", "1": "2"}.get(page, "")
        meta = {"continue": more, "resourceVersion": "42"}
        return web.json_response({"metadata": meta, "items": [{"metadata": {"name": page}}]})

    server = Server(answer)
    async with serving(server) as client:
        page = await client.list(PODS, label_selector="a=b", metadata_only=True)
    assert [item["metadata"]["name"] for item in page.items] == ["0", "1", "2"]
    assert {item["kind"] for item in page.items} == {"Pod"}
    assert page.resource_version == "42"
    _, path, headers, _ = server.requests[0]
    assert path == "/api/v1/pods?limit=500&labelSelector=a%3Db"
    assert "PartialObjectMetadataList" in headers["accept"]


async def test_a_list_of_at_most_so_many_is_one_request() -> None:
    async def answer(request: web.Request) -> web.Response:
        items = [{"metadata": {"name": "a"}}]
        return web.json_response({"metadata": {"continue": "more"}, "items": items})

    server = Server(answer)
    async with serving(server) as client:
        page = await client.list(PODS, namespace="ns", field_selector="a=b", at_most=20)
    assert len(page.items) == len(server.requests) == 1
    assert server.requests[0][1] == "/api/v1/namespaces/ns/pods?limit=20&fieldSelector=a%3Db"


async def test_discovery_names_what_is_served() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "gone" in request.path:
            return web.json_response({"code": 404}, status=404)
        names = [{"name": "livestreams"}, {"name": "livestreams/status"}]
        return web.json_response({"resources": names})

    async with serving(Server(answer)) as client:
        assert await client.served("sluice.video", "v1alpha1") == {"livestreams"}
        assert await client.served("gone", "v1") == set()


@pytest.mark.parametrize(
    ("code", "reason", "want"),
    [
        (400, "BadRequest", InvalidError),
        (401, "Unauthorized", UnauthorizedError),
        (403, "Forbidden", ForbiddenError),
        (404, "NotFound", NotFoundError),
        (409, "Conflict", ConflictError),
        (409, "AlreadyExists", AlreadyExistsError),
        (410, "Expired", ExpiredError),
        (422, "Invalid", InvalidError),
        (429, "TooManyRequests", UnavailableError),
        (500, "InternalError", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
    ],
)
async def test_every_refusal_has_its_error(code: int, reason: str, want: type[ApiError]) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": reason, "message": "why not", "code": code}
        return web.json_response(body, status=code)

    async with serving(Server(answer)) as client:
        with pytest.raises(ApiError) as failure:
            await client.get(LIVE_STREAMS, "ns", "a")
    assert type(failure.value) is want


async def test_a_namespace_that_is_being_deleted_is_told_from_a_missing_right() -> None:
    async def answer(request: web.Request) -> web.Response:
        details = {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}
        return web.json_response({"reason": "Forbidden", "details": details}, status=403)

    async with serving(Server(answer)) as client:
        with pytest.raises(NamespaceTerminatingError):
            await client.apply(SECRET)


async def test_what_is_refused_of_a_secret_is_never_quoted() -> None:
    async def answer(request: web.Request) -> web.Response:
        body = {"reason": "Invalid", "message": 'Invalid value: "c2VjcmV0"', "code": 422}
        return web.json_response(body, status=422)

    async with serving(Server(answer)) as client:
        with pytest.raises(InvalidError) as failure:
            await client.apply(SECRET)
    assert "c2VjcmV0" not in str(failure.value)


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    client = KubeClient(Configuration(host="http://127.0.0.1:9"))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await client.get(SECRETS, "ns", "a")
    await client.close()


async def test_a_server_that_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kube_transport, "_TIMEOUT", aiohttp.ClientTimeout(total=0.1))

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with serving(Server(answer)) as client:
        with pytest.raises(UnavailableError):
            await client.get(SECRETS, "ns", "a")


async def test_how_long_a_busy_server_wants_to_be_left_alone_is_kept() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async with serving(Server(answer)) as client:
        with pytest.raises(UnavailableError) as failure:
            await client.get(SECRETS, "ns", "a")
    assert failure.value.retry_after_seconds == 7


async def test_a_401_has_the_credentials_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound token was rotated, or its secret was: one more try with what counts now."""

    async def answer(request: web.Request) -> web.Response:
        good = request.headers["Authorization"] == "Bearer t2"
        return web.json_response({"ok": good}, status=200 if good else 401)

    server = Server(answer)
    async with serving(server) as client:

        async def load() -> Configuration:
            configuration = Configuration(host=client._transport._configuration.host)
            configuration.api_key["BearerToken"] = "Bearer t2"
            return configuration

        monkeypatch.setattr(kube_transport, "load_configuration", load)
        monkeypatch.setattr(client._transport, "_logged_in_at", -1e9)
        assert await client.get(SECRETS, "ns", "a") == {"ok": True}
        assert await client.get(SECRETS, "ns", "a") == {"ok": True}
    assert len(server.requests) == 3


async def test_the_pod_proxy_streams() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b" ", b"{}"):
            await response.write(part)
        return response

    server = Server(answer)
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        serving(server) as client,
        client.stream("GET", "/x", headers={"A": "b"}, timeout=timeout) as response,
    ):
        assert (await response.read()).strip() == b"{}"
    assert server.requests[0][2]["a"] == "b"


async def test_streams_take_no_connection_of_requests_and_have_no_limit() -> None:
    """Each poll through the pod proxy holds a connection: the hundred and first waited for ever."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/poll":
            return web.json_response({})
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b" ")
        await asyncio.sleep(600)
        return response

    timeout = aiohttp.ClientTimeout(total=None, sock_read=20)
    async with serving(Server(answer)) as client, AsyncExitStack() as stack:
        async with asyncio.timeout(60):
            for _ in range(150):
                stream = client.stream("GET", "/poll", headers={}, timeout=timeout)
                await stack.enter_async_context(stream)
            assert await client.get(SECRETS, "ns", "a") == {}


async def test_a_client_waits_only_for_its_own_connections() -> None:
    """The Lease has a client of its own: reading tokens of 12,000 pods took its connections."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "/secrets/" in request.path:
            await asyncio.sleep(600)
        return web.json_response({})

    async with serving(Server(answer)) as client:
        reads = [asyncio.ensure_future(client.get(SECRETS, "ns", str(n))) for n in range(200)]
        lease = KubeClient(Configuration(host=client._transport._configuration.host), connections=1)
        async with asyncio.timeout(60):
            assert await lease.get(LEASES, "ns", "sluice") == {}
        await lease.close()
        for read in reads:
            read.cancel()
        await asyncio.wait(reads)


async def test_no_credentials_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LoginError, match="none"):
        await load_configuration()


def test_paths_of_core_and_of_groups() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("ns", "p", "proxy") == "/api/v1/namespaces/ns/pods/p/proxy"
    assert LIVE_STREAMS.path("ns") == "/apis/sluice.video/v1alpha1/namespaces/ns/livestreams"
