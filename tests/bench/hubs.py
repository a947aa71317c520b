"""``python -m tests.bench.hubs COUNT``: so many real hubs in one process, each on its own port.

Nobody records and nobody reads. Prints the ports as JSON once all of them listen.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.hub.http.server import HubServer
from sluice_media.hub.hub import Hub
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.metrics import HubMetrics
from tests.support.broadcast_rig import KEY
from tests.support.hub_world import config
from tests.support.recorder_rig import ROOT

__all__ = ["running_hubs"]


@asynccontextmanager
async def running_hubs(count: int) -> AsyncIterator[list[int]]:
    """The ports of so many hubs, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.hubs", str(count)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield json.loads(line)
    finally:
        process.kill()
        await process.wait()


async def _serve(count: int) -> None:
    ports = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for _ in range(count):
            hub = Hub(config(protocols=["RTMP", "SRT"], resume_window_seconds=2))
            server = HubServer(
                hub,
                keys=lambda: {LegName.PRIMARY: SecretStr(KEY)},
                token=lambda: None,
                metrics=HubMetrics(CollectorRegistry(), hub),
            )
            ports.append(await stack.enter_async_context(server.listen("127.0.0.1", 0)))
            tasks.create_task(server.run())
        print(json.dumps(ports), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
