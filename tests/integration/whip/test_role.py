"""The WHIP role while its pod is replaced."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from sluice_media.whip import role
from sluice_media.whip.settings import WhipSettings
from tests.support.ports import free_port
from tests.support.whip_offers import OFFER
from tests.support.whip_rig import KEY, Rig

AUTH = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/sdp"}


async def test_a_pod_that_drains_stays_ready_for_the_sessions_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kube-proxy deletes the conntrack entries of a UDP endpoint that is not ready."""
    stop = asyncio.Event()
    monkeypatch.setattr(role, "termination", lambda: stop)
    settings = WhipSettings(
        bind="127.0.0.1", public_host="127.0.0.1", whip_port=free_port(), whip_media_port=0,
        status_port=free_port(), grace_seconds=60,
    )  # fmt: skip
    rig = Rig()
    url = f"http://127.0.0.1:{settings.whip_port}"
    readyz = f"http://127.0.0.1:{settings.status_port}/readyz"
    async with aiohttp.ClientSession() as http:

        async def get(path: str) -> int:
            try:
                async with http.get(path) as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                return 0

        async def post() -> tuple[int, str]:
            async with http.post(f"{url}/whip/demo/cam", headers=AUTH, data=OFFER) as answer:
                return answer.status, answer.headers.get("Location", "")

        serving = asyncio.create_task(role.serve_whip(settings, rig.publish, rig.registry))
        async with asyncio.timeout(60):
            while await get(readyz) != 200:
                await asyncio.sleep(0.05)
            _, session = await post()
            stop.set()
            while (await post())[0] != 503:
                await asyncio.sleep(0.05)
            assert await get(readyz) == 200
            assert not serving.done()
            await http.delete(url + session)
            await serving
