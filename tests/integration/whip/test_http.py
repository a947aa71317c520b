"""The HTTP side of WHIP: sessions, refusals, CORS and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from sluice_media.publishing.publication import HubUnavailable, PublishEnd, PublishRefused
from tests.support.whip_offers import OFFER, without
from tests.support.whip_rig import BACKUP_KEY, KEY, Rig, is_running, until

SDP = {"Content-Type": "application/sdp"}
AUTH = {"Authorization": f"Bearer {KEY}"}


class Client:
    def __init__(self, rig: Rig, http: aiohttp.ClientSession) -> None:
        self.rig = rig
        self._http = http

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> tuple[int, Mapping[str, str], str]:
        async with self._http.request(
            method,
            self.rig.url + path,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            return answer.status, answer.headers, await answer.text()

    async def post(
        self, body: str = OFFER, path: str = "/whip/demo/cam", **headers: str
    ) -> tuple[int, Mapping[str, str], str]:
        return await self.ask("POST", path, SDP | AUTH | headers, body)


@asynccontextmanager
async def running(rig: Rig | None = None, **settings: Any) -> AsyncIterator[Client]:
    async with (rig or Rig()).running(**settings) as running_rig, aiohttp.ClientSession() as http:
        yield Client(running_rig, http)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


async def test_an_offer_is_answered_with_a_session_that_can_be_deleted(client: Client) -> None:
    status, headers, answer = await client.post()
    assert status == 201
    assert headers["Content-Type"] == "application/sdp"
    assert headers["ETag"].startswith('"')
    location = headers["Location"]
    assert location.startswith("/whip/demo/cam/")
    assert f"127.0.0.1 {client.rig.service.media_port} typ host" in answer
    assert "a=end-of-candidates" in answer
    assert "H264/90000" in answer
    assert "VP8" not in answer
    (pid,) = client.rig.service.transcoder_pids or [0]

    assert (await client.ask("DELETE", location))[0] == 200
    assert (client.rig.service.sessions, client.rig.publication.finished) == (0, True)
    assert (await client.ask("DELETE", location))[0] == 404
    assert pid == 0 or not is_running(pid)


async def test_the_session_of_another_stream_cannot_be_deleted(client: Client) -> None:
    _, headers, _ = await client.post()
    wrong = headers["Location"].replace("/cam/", "/other/")
    assert (await client.ask("DELETE", wrong))[0] == 404
    assert client.rig.service.sessions == 1


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"Authorization": ""}, 401, "missing"),
        ({"Authorization": f"Basic {KEY}"}, 401, "missing"),
        ({"Authorization": "Bearer wrong"}, 401, "wrong"),
        ({"Authorization": f"Bearer {BACKUP_KEY}"}, 403, "WHIP has no backup"),
        ({"Content-Type": "text/plain"}, 415, "application/sdp"),
        ({"path": "/whip/demo/nothing"}, 404, "no such stream"),
        ({"path": "/whip/DEMO/cam"}, 404, "no such stream"),
        ({"body": "v=0"}, 406, "H.264"),
        ({"body": "m=audio"}, 400, "SDP"),
        ({"body": without("H264/90000", "VP9/90000")}, 406, "H.264 video"),
        ({"body": without("packetization-mode=1", "packetization-mode=2")}, 406, "Baseline"),
        ({"body": OFFER + "a=x\r\n" * 20_000}, 413, "bytes"),
    ],
)
async def test_a_refusal_has_its_status_and_names_the_fault(
    client: Client, change: dict[str, str], status: int, words: str
) -> None:
    got, headers, body = await client.post(**change)
    assert (got, words in body) == (status, True), body
    assert headers["Content-Type"].startswith("application/problem+json")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert KEY not in body
    await until(lambda: client.rig.service.sessions == 0)
    assert client.rig.service._port.sessions == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PublishRefused("Busy", "somebody else is live"), 409),
        (PublishRefused("Disabled", "switched off"), 403),
        (PublishRefused("ProtocolNotAllowed", "no WHIP here"), 403),
        (PublishRefused("TooManyFailures", "wait a minute"), 429),
        (PublishRefused("SomethingNew", "no"), 403),
        (HubUnavailable("no hub accepted the publisher in time"), 503),
    ],
)
async def test_a_hubs_refusal_becomes_a_status(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()

    async def refuse(*_: object) -> Any:
        raise error

    monkeypatch.setattr(rig, "publish", refuse)
    async with running(rig) as client:
        got, headers, body = await client.post()
    assert (got, str(error) in body) == (status, True)
    assert ("Retry-After" in headers) == (status in (429, 503))
    assert sum(rig.figure_of("sessions_refused_total").values()) == 1


async def test_trickle_ice_is_refused(client: Client) -> None:
    _, headers, _ = await client.post()
    patch = {"Content-Type": "application/trickle-ice-sdpfrag"}
    status, answer, _ = await client.ask("PATCH", headers["Location"], patch | AUTH, "a=x")
    assert (status, answer["Allow"]) == (405, "DELETE, OPTIONS")
    assert (await client.ask("GET", "/whip/demo/cam"))[0] == 405


async def test_pages_of_other_sites_may_publish(client: Client) -> None:
    for path in ("/whip/demo/cam", "/whip/demo/cam/session"):
        status, headers, _ = await client.ask("OPTIONS", path)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        assert headers["Accept-Post"] == "application/sdp"
    _, headers, _ = await client.post()
    assert "Location" in headers["Access-Control-Expose-Headers"]


async def test_sessions_are_limited_for_an_address() -> None:
    async with running(max_connections_per_address=2) as client:
        locations = [(await client.post())[1]["Location"] for _ in range(2)]
        status, headers, _ = await client.post()
        assert (status, headers["Retry-After"]) == (429, "60")
        await client.ask("DELETE", locations[0])
        assert (await client.post())[0] == 201


async def test_behind_a_trusted_proxy_the_publishers_own_address_is_limited() -> None:
    async with running(max_connections_per_address=1, trusted_proxies=["127.0.0.0/8"]) as client:
        for address in ("192.0.2.1", "192.0.2.2"):
            forwarded = {"X-Forwarded-For": f"1.1.1.1, {address}"}
            assert (await client.post(**forwarded))[0] == 201
            assert (await client.post(**forwarded))[0] == 429
    async with running(max_connections_per_address=1) as client:
        for address, status in (("192.0.2.1", 201), ("192.0.2.2", 429)):
            assert (await client.post(**{"X-Forwarded-For": address}))[0] == status


async def test_a_session_without_media_ends_by_itself() -> None:
    async with running(connect_seconds=0.3) as client:
        await client.post()
        await until(lambda: client.rig.service.sessions == 0)
        assert client.rig.publication.finished


async def test_the_hub_ends_a_session(client: Client) -> None:
    await client.post()
    client.rig.publication.ended.set_result(PublishEnd("KeyRotated", "the key has changed"))
    await until(lambda: client.rig.service.sessions == 0)
    assert client.rig.publication.finished


async def test_a_drain_refuses_offers_and_ends_the_sessions(client: Client) -> None:
    await client.post()
    draining = asyncio.create_task(client.rig.service.drain(0.2))
    await asyncio.sleep(0.05)
    status, headers, _ = await client.post()
    assert (status, headers["Retry-After"]) == (503, "2")
    await asyncio.wait_for(draining, 10)
    assert client.rig.service.sessions == 0


async def test_without_a_public_address_offers_are_refused() -> None:
    async with running(public_host="does-not-exist.invalid") as client:
        assert (await client.post())[0] == 503
    assert client.rig.publications == []


async def test_neither_key_nor_ice_password_is_logged() -> None:
    with capture_logs() as lines:
        async with running() as client:
            await client.post()
            await client.post(Authorization="Bearer another-canary")
            await client.post(without("a=fingerprint:sha-256", "a=fingerprint:sha-1 x y z"))
    logged = repr(lines)
    assert "whip_accepted" in logged
    for secret in (KEY, "another-canary", "abcdefghijklmnopqrstuvwx", "ABcd"):
        assert secret not in logged


async def test_the_page_is_served_with_a_strict_policy(client: Client) -> None:
    status, headers, _ = await client.ask("GET", "/")
    assert (status, headers["Location"]) == (302, "/live")
    for path in ("/live", "/live/demo/cam", "/assets/live.js", "/assets/live.css"):
        status, headers, body = await client.ask("GET", path)
        assert status == 200
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "https://" not in body.replace("Open this page with https://.", "")
    for path in ("/assets/page.py", "/assets/..%2fpage.py", "/live/x", "/nothing"):
        assert (await client.ask("GET", path))[0] == 404
