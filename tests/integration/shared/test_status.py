"""The status endpoint: at once when something changed, heartbeats while nothing does."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.contract import TOKEN_HEADER, PodConfig, PusherStatus, PushState
from sluice_media.pod.status_server import StatusBoard, serve_status

AUTH = {"Authorization": "Bearer t0ken"}


@pytest.fixture
async def board() -> StatusBoard[PusherStatus]:
    first = PusherStatus(pod_uid="pod", version=0, observed_at="2026-01-01T00:00:00Z")
    return StatusBoard(first, ticking=frozenset({"bytes_sent"}))


@pytest.fixture
async def url(board: StatusBoard[PusherStatus]) -> AsyncIterator[str]:
    async with serve_status(
        board=board,
        token=lambda: SecretStr("t0ken"),
        ready=lambda: False,
        registry=CollectorRegistry(),
        host="127.0.0.1",
        port=0,
    ) as port:
        yield f"http://127.0.0.1:{port}"


async def test_a_change_answers_the_long_poll_at_once(
    board: StatusBoard[PusherStatus], url: str
) -> None:
    async with aiohttp.ClientSession(headers=AUTH) as session:
        first = await (await session.get(f"{url}/v1/status")).json()
        assert first["podUid"] == "pod"
        started = time.monotonic()
        asyncio.get_running_loop().call_later(0.3, lambda: board.update(state=PushState.LIVE))
        second = await (
            await session.get(f"{url}/v1/status?version={first['version']}&wait=20")
        ).json()
        assert second["state"] == "Live"
        assert second["version"] > first["version"]
        assert time.monotonic() - started < 5


async def test_ticking_fields_wake_nobody_but_are_never_old(
    board: StatusBoard[PusherStatus], url: str
) -> None:
    version = board.version
    assert not board.update(bytes_sent=1_000)
    assert board.version == version
    async with aiohttp.ClientSession(headers=AUTH) as session:
        assert (await (await session.get(f"{url}/v1/status")).json())["bytesSent"] == 1_000


async def test_a_waiting_poll_gets_heartbeats(board: StatusBoard[PusherStatus], url: str) -> None:
    async with aiohttp.ClientSession(headers=AUTH) as session:
        response = await session.get(f"{url}/v1/status?version={board.version}&wait=2.5")
        assert (await response.read()).startswith(b" ")


async def test_the_configuration_is_echoed(board: StatusBoard[PusherStatus], url: str) -> None:
    config = PodConfig(namespace="n", name="a", uid="u", generation=3, hash="abc")
    board.configured(config, ("SecretKeyMissing", "the Secret has no key uri"))
    async with aiohttp.ClientSession(headers=AUTH) as session:
        body = await (await session.get(f"{url}/v1/status")).json()
    assert (body["configGeneration"], body["configHash"]) == (3, "abc")
    assert body["configErrorReason"] == "SecretKeyMissing"


async def test_the_token_may_come_in_the_header_that_the_pod_proxy_leaves_alone(url: str) -> None:
    headers = {"Authorization": "Bearer of-the-api-server", TOKEN_HEADER: "Bearer t0ken"}
    async with aiohttp.ClientSession(headers=headers) as session:
        assert (await session.get(f"{url}/v1/status")).status == 200


async def test_without_the_token_there_is_no_status_but_there_are_probes(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert (await session.get(f"{url}/v1/status")).status == 401
        assert (await session.get(f"{url}/healthz")).status == 200
        assert (await session.get(f"{url}/readyz")).status == 503
        assert (await session.get(f"{url}/metrics")).status == 200
