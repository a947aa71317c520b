"""The WHIP role in front of a real hub, and as the process that a pod runs."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import aioice.ice
import pytest
from prometheus_client import CollectorRegistry

import sluice_media
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.keeper import Hubs
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.publication import publisher_for
from sluice_media.whip.server import running_whip
from sluice_media.whip.service import WhipService
from sluice_media.whip.settings import WhipSettings
from tests.support.hub_rig import Rig as HubRig
from tests.support.ports import free_port, free_udp_port
from tests.support.whip_offers import OFFER
from tests.support.whip_rig import aiortc_publisher, until


@pytest.fixture(autouse=True)
def loopback_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])


@pytest.fixture
async def hub() -> AsyncIterator[HubRig]:
    async with HubRig(protocols=["WHIP"]).running() as hub:
        yield hub


@pytest.fixture
async def service(hub: HubRig) -> AsyncIterator[WhipService]:
    settings = WhipSettings(
        bind="127.0.0.1",
        public_host="127.0.0.1",
        whip_port=0,
        whip_media_port=0,
        output_lines=90,
        video_bitrate_kbps=200,
    )

    async def locate(_namespace: str, _stream: str) -> str:
        return hub.url

    registry = CollectorRegistry()
    async with aiohttp.ClientSession() as http:
        hubs = Hubs(http, locate, settings, GatewayMetrics(registry), RetentionBudget(1 << 30))
        publish = publisher_for("WHIP", hubs, AddressLimits(settings, time.monotonic))
        async with running_whip(settings, publish, registry) as service:
            yield service


async def test_a_reader_of_the_hub_gets_an_even_stream(hub: HubRig, service: WhipService) -> None:
    url = f"http://127.0.0.1:{service.http_port}"
    async with aiortc_publisher(url, hub.key):
        await until(lambda: hub.hub.delivering)
        async with hub.reading() as reader:
            await until(lambda: len(reader.units) > 150)
    pictures = [unit.dts for unit in reader.units if unit.track == 0]
    assert {b - a for a, b in itertools.pairwise(pictures)} == {3_000}
    await until(lambda: service.sessions == 0)


async def test_the_hub_decides_who_may(hub: HubRig, service: WhipService) -> None:
    url = f"http://127.0.0.1:{service.http_port}"

    async def status(key: str) -> int:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/whip/demo/cam", data=OFFER, headers=headers) as answer,
        ):
            return answer.status

    assert await status("wrong") == 401
    async with aiortc_publisher(url, hub.key):
        await until(lambda: hub.hub.delivering)
        assert await status(hub.key) == 409
        assert service.sessions == 1


async def test_the_process_serves_and_ends_on_sigterm() -> None:
    http_port, status_port = free_port(), free_port()
    environment = {
        "PYTHONPATH": str(Path(sluice_media.__file__).parents[1]),
        "SLUICE_BIND": "127.0.0.1",
        "SLUICE_WHIP_PORT": str(http_port),
        "SLUICE_WHIP_MEDIA_PORT": str(free_udp_port()),
        "SLUICE_STATUS_PORT": str(status_port),
        "SLUICE_GRACE_SECONDS": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sluice_media", "whip"), env=environment
    )
    try:
        async with aiohttp.ClientSession() as http:

            async def ask(port: int, path: str) -> str:
                try:
                    async with http.get(f"http://127.0.0.1:{port}{path}") as answer:
                        return f"{answer.status} {await answer.text()}"
                except aiohttp.ClientConnectionError:
                    return ""

            async with asyncio.timeout(60):
                while not (page := await ask(http_port, "/live/demo/cam")):
                    await asyncio.sleep(0.1)
            assert "Go live from this browser" in page
            assert (await ask(status_port, "/readyz")).startswith("200")
            assert "sluice_whip_sessions 0.0" in await ask(status_port, "/metrics")
        os.kill(process.pid, signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 40) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
