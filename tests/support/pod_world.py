"""An observer, media pods on local ports, and the reports of the observer about these pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from sluice_media.contract import IngestStatus, PodStatus
from sluice_operator.domain.names import KIND_LABEL, NAME_LABEL, ROLE_LABEL, UID_LABEL
from sluice_operator.engine.clock import SystemClock
from sluice_operator.engine.queue import Key
from sluice_operator.pods.http import DirectHttp, PodRequest
from sluice_operator.pods.observer import ObserverTimes, StatusObserver
from sluice_operator.pods.samples import Samples
from sluice_operator.telemetry.metrics import Metrics

OWNER = Key("LiveStream", "ns", "show")
TOKEN = SecretStr("a-token")
TIMES = ObserverTimes(
    wait_seconds=5,
    silence_seconds=0.5,
    connect_seconds=0.5,
    last_retry_seconds=0.2,
    unchanged_pause_seconds=0.9,
)


def make_pod(uid: str = "pod-1", role: str = "ingest", **status: Any) -> dict[str, Any]:
    labels = {ROLE_LABEL: role, KIND_LABEL: "LiveStream", NAME_LABEL: "show", UID_LABEL: "owner"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"show-{uid}",
            "namespace": "ns",
            "uid": uid,
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": labels,
        },
        "status": {"phase": "Running", "podIP": "127.0.0.1", **status},
    }


def make_status(uid: str = "pod-1", **more: Any) -> IngestStatus:
    return IngestStatus(pod_uid=uid, version=0, observed_at=datetime.now(UTC), **more)


class LocalHttp(DirectHttp):
    """Requests to pods by name, at local ports instead of port 9100."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, int] = {}

    @asynccontextmanager
    async def open(self, request: PodRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        local = self.ports.get(request.pod.name, 9)
        async with super().open(replace(request, port=local)) as response:
            yield response


class World:
    """An observer with its environment and its reports."""

    def __init__(self, http: LocalHttp) -> None:
        self.http = http
        self.metrics = Metrics()
        self.samples = Samples(SystemClock())
        self.answers: list[PodStatus] = []
        self.liveness = 0
        self.token: SecretStr | None = TOKEN
        self.fresh_token_reads = 0
        self.owners = {"owner"}
        self.observer = StatusObserver(
            http,
            self.samples,
            SystemClock(),
            self.metrics,
            token_of=self._token,
            is_current=lambda target: target.owner_uid in self.owners,
            on_answer=self._answer,
            on_liveness=self._alive,
            times=TIMES,
        )

    async def _token(self, owner: Key, fresh: bool) -> SecretStr | None:
        assert owner == OWNER
        self.fresh_token_reads += fresh
        return self.token

    def _answer(self, owner: Key, former: PodStatus | None, status: PodStatus) -> None:
        assert owner == OWNER
        self.answers.append(status)

    def _alive(self, owner: Key) -> None:
        self.liveness += 1

    def results(self, result: str) -> float:
        return float(self.metrics.poll_answers.labels(result)._value.get())


def polls() -> list[str]:
    names = (task.get_name() for task in asyncio.all_tasks())
    return [name for name in names if name.startswith("poll-")]


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def raw_pod(
    handler: Callable[[web.Request], Any],
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/v1/status", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()
