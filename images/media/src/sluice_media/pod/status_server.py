"""What a pod says of itself: ``/v1/status`` (long poll), ``/metrics``, ``/healthz``, ``/readyz``.

The answer to ``GET /v1/status?version=N&wait=S`` comes at once when the status has another version
than N, else when it changes, at the latest after S seconds (25). While the asker waits, a space is
sent every 2 s: JSON allows it, and its absence tells that this process is frozen.
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
    """Whether the request carries this bearer token (RFC 6750); compared in constant time.

    What comes through the API server's pod proxy has it in TOKEN_HEADER: the API server keeps
    ``Authorization`` to itself."""
    header = request.headers.get(TOKEN_HEADER) or request.headers.get("Authorization") or ""
    scheme, _, given = header.partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())


class StatusBoard(Generic[S]):
    """The present status of a pod, with a version that grows at each change.

    ``ticking`` names the fields that change all the time (a duration, a byte count): they are
    always up to date in an answer, but do not wake anybody.
    """

    def __init__(self, first: S, *, ticking: frozenset[str] = frozenset()) -> None:
        self._status = first
        self._loud = frozenset(type(first).model_fields) - ticking - _HEAD_FIELDS
        # Starts at the clock, so that it also grows over restarts of the container.
        self._version = time.time_ns() // 1_000_000
        self._changed = asyncio.Event()
        self.tick: Callable[[], None] | None = None
        """Called before each answer: brings ticking fields up to date that nobody keeps so."""

    @property
    def status(self) -> S:
        return self._status

    @property
    def version(self) -> int:
        return self._version

    def publish(self, status: S) -> bool:
        """Takes a new status; returns whether anything but ticking fields differs."""
        before, self._status = self._status, status
        if not any(getattr(status, name) != getattr(before, name) for name in self._loud):
            return False
        self._wake()
        return True

    def update(self, **changes: object) -> bool:
        """The same for single fields, by their Python names."""
        return self.publish(self._status.model_copy(update=changes))

    def configured(self, config: PodConfig, error: tuple[str, str] | None = None) -> None:
        """Echoes which configuration is in force; ``error`` is (reason, sentence)."""
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
        """The status as JSON, stamped now."""
        if self.tick is not None:
            self.tick()
        stamp = {"version": self._version, "observed_at": datetime.now(UTC)}
        return self._status.model_copy(update=stamp).to_json()

    async def wait(self, version: float, timeout_seconds: float) -> bool:
        """Waits until the version differs from ``version``; False when time ran out."""
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
    """Serves while the context lasts; yields the port (useful when ``port`` is 0).

    ``token`` is asked at every request, so that a rotated token counts at once. A role without a
    status (the gateway) passes ``board=None``.
    """

    async def status(request: web.Request) -> web.StreamResponse:
        if board is None:
            raise web.HTTPNotFound(text="this role has no status; see /metrics")
        if not bearer_matches(request, token()):
            raise web.HTTPUnauthorized(text="a bearer token is needed")
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
