"""A hub's address from the cluster's DNS: found, missing, or not known at the moment."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from sluice_media.publishing import locate as module
from sluice_media.publishing.locate import HubNotReachable, StreamNotFound, service_locator


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names looked up; the answer depends on the name."""
    names: list[str] = []
    answers: dict[str, Any] = {
        "four": [(socket.AF_INET, 1, 6, "", ("10.96.0.7", 9000))],
        "six": [(socket.AF_INET6, 1, 6, "", ("fd00::7", 9000, 0, 0))],
        "none": [],
        "silent": None,
        "missing": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        "later": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        "broken": OSError(5, "Input/output error"),
    }

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        names.append(host)
        answer = answers[host.split("-ingest.")[0]]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    loop = asyncio.BaseEventLoop
    monkeypatch.setattr(loop, "getaddrinfo", lambda _, host, port, **k: getaddrinfo(host, port))
    return names


async def test_the_name_is_fully_qualified_and_the_answer_an_address(asked: list[str]) -> None:
    locate = service_locator("cluster.local", 9000)
    assert await locate("ns", "four") == "http://10.96.0.7:9000"
    assert await locate("ns", "six") == "http://[fd00::7]:9000"
    assert asked[0] == "four-ingest.ns.svc.cluster.local."


async def test_only_a_name_that_does_not_exist_is_an_unknown_stream(asked: list[str]) -> None:
    locate = service_locator("cluster.local", 9000)
    with pytest.raises(StreamNotFound):
        await locate("ns", "missing")
    for name in ("later", "broken", "none"):
        with pytest.raises(HubNotReachable):
            await locate("ns", name)


async def test_a_dns_that_says_nothing_is_not_waited_for(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKUP_SECONDS", 0.1)
    locate = service_locator("cluster.local", 9000)
    async with asyncio.timeout(10):
        with pytest.raises(HubNotReachable, match="in time"):
            await locate("ns", "silent")
