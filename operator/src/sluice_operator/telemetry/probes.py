"""HTTP server of ``/healthz``, ``/readyz`` and ``/metrics``.

It starts before every other part of the operator. kopf's own probes start too late.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4


@asynccontextmanager
async def serve_probes(
    host: str, port: int, *, registry: CollectorRegistry, ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Serve while the context lasts; yield the port, which the kernel chooses if ``port`` is 0.

    Every answer of ``/healthz`` is "ok": all parts run on the same event loop, and a part that
    fails ends the process.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
