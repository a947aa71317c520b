"""HTTP server of a pod's state: ``/v1/status`` (long poll), ``/metrics``, ``/healthz``,
``/readyz``.

``GET /v1/status?version=N&wait=S`` returns at once when the status has a version other than N.
Otherwise it returns at the next change, or after S seconds (at most 60). Meanwhile the server sends
a space every 2 s, which JSON allows. A client that receives no spaces detects a frozen process.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Generic, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import SecretStr

from sluice_media.contract import TOKEN_HEADER, PodConfig, PodStatus
from sluice_media.net.http_server import serving

HEARTBEAT_SECONDS = 2.0
MAX_WAIT_SECONDS = 60.0

S = TypeVar("S", bound=PodStatus)

_HEAD_FIELDS = {"version", "observed_at", "pod_uid", "config_generation", "config_hash"}


def bearer_matches(request: web.Request, token: SecretStr | None) -> bool:
    """Return whether the request has this bearer token (RFC 6750), compared in constant time.

    Requests through the API server's pod proxy have it in TOKEN_HEADER, because the API server
    consumes ``Authorization``.
    """
    header = request.headers.get(TOKEN_HEADER) or request.headers.get("Authorization") or ""
    scheme, _, given = header.partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())


class StatusBoard(Generic[S]):
    """Present status of a pod, with a version that grows at each change.

    ``ticking`` names the fields that change all the time (a duration, a byte count). An answer has
    their newest values, but their changes do not end a long poll.
    """

    def __init__(self, first: S, *, ticking: frozenset[str] = frozenset()) -> None:
        self._status = first
        self._versioned = frozenset(type(first).model_fields) - ticking - _HEAD_FIELDS
        # The first version is the time, so that versions also grow over restarts of the container.
        self._version = time.time_ns() // 1_000_000
        self._changed = asyncio.Event()
        self.tick: Callable[[], None] | None = None
        """Function that is called before each answer, to refresh ticking fields; None for no
        function."""

    @property
    def status(self) -> S:
        return self._status

    @property
    def version(self) -> int:
        return self._version

    def publish(self, status: S) -> bool:
        """Set the status; return True when a field that is not ticking has changed."""
        before, self._status = self._status, status
        if not any(getattr(status, name) != getattr(before, name) for name in self._versioned):
            return False
        self._wake()
        return True

    def update(self, **changes: object) -> bool:
        """Change single fields, by their Python names; return the result of :meth:`publish`."""
        return self.publish(self._status.model_copy(update=changes))

    def configured(self, config: PodConfig, error: tuple[str, str] | None = None) -> None:
        """Set the configuration that is in force and its error, as reason and sentence."""
        self._status = self._status.model_copy(
            update={
                "config_generation": config.generation,
                "config_hash": config.hash,
                "config_error_reason": error[0] if error else None,
                "config_error": error[1] if error else None,
            }
        )
        self._wake()

    def answer(self) -> str:
        """Return the status as JSON, with its version and the present time."""
        if self.tick is not None:
            self.tick()
        stamp = {"version": self._version, "observed_at": datetime.now(UTC)}
        return self._status.model_copy(update=stamp).to_json()

    async def wait(self, version: float, timeout_seconds: float) -> bool:
        """Wait until the version differs from ``version``; return False after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        while self._version == version:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            changed = self._changed
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                return False
        return True

    def _wake(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        number = float(request.query.get(name, default))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise web.HTTPBadRequest(text=f"{name} is not a number")
    return number


@asynccontextmanager
async def serve_status(
    *,
    board: StatusBoard[S] | None,
    token: Callable[[], SecretStr | None],
    ready: Callable[[], bool],
    registry: CollectorRegistry,
    host: str,
    port: int,
) -> AsyncIterator[int]:
    """Serve while the context lasts; yield the port (useful when ``port`` is 0).

    ``token`` is called for each request, so that a rotated token takes effect at once. A role
    without a status (the gateway) passes ``board=None``.
    """

    async def status(request: web.Request) -> web.StreamResponse:
        if board is None:
            raise web.HTTPNotFound(text="this role has no status; see /metrics")
        if not bearer_matches(request, token()):
            raise web.HTTPUnauthorized(text="this request needs a bearer token")
        version = _number(request, "version", -1)
        until = time.monotonic() + min(_number(request, "wait", 0.0), MAX_WAIT_SECONDS)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while (left := until - time.monotonic()) > 0:
            if await board.wait(version, min(HEARTBEAT_SECONDS, left)):
                break
            await response.write(b" ")
        await response.write(board.answer().encode())
        await response.write_eof()
        return response

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app = web.Application()
    app.router.add_get("/v1/status", status)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    async with serving(app, host, port) as bound:
        yield bound
