"""A web server with media, playlists, redirects, logins and stalls."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

__all__ = ["WebSource"]


class WebSource:
    """A web server with ``media`` and ``redirects`` by path. It stores every request."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make the server. The present files of ``folder`` are media too."""
        self._folder = folder
        self.media: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.login: tuple[str, str] | None = None
        self.stall_after_seconds: float | None = None
        """Seconds after which media stops. Media is sent at the speed of a clip of 60 s."""
        self.requests: list[str] = []
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[WebSource]:
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = int(runner.addresses[0][1])
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path)
        if self.login is not None:
            wanted = b64encode(":".join(self.login).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                return web.Response(status=401)
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        body = self.media.get(request.path) or self._file(request.path)
        if body is None:
            return web.Response(status=404)
        if self.stall_after_seconds is None:
            return web.Response(body=body)
        return await self._stall(request, body, self.stall_after_seconds)

    def _file(self, path: str) -> bytes | None:
        found = self._folder / path.lstrip("/") if self._folder is not None else None
        return found.read_bytes() if found is not None and found.is_file() else None

    async def _stall(
        self, request: web.BaseRequest, body: bytes, seconds: float
    ) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        step = len(body) // 1_200  # 50 ms
        for number in range(int(seconds * 20)):
            await answer.write(body[number * step : (number + 1) * step])
            await asyncio.sleep(0.05)
        await asyncio.sleep(60)
        return answer
