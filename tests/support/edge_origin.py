"""A play pod for tests of the edge: a process that keeps the contract between edge and play.

Its media is made from the clock, so two of these with one epoch have the same bytes at any time.
`/control/...` is for tests: `counts` returns the requests by path, `set` changes a setting.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from functools import lru_cache

from aiohttp import web

__all__ = ["SESSION", "media_bytes", "sign"]

SESSION = "0123456789abcdef"
HOLD_SECONDS = 0.9
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
NO_STORE = {"Cache-Control": "no-store"}
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
SHOWN_SEGMENTS = 20


def sign(key: str, stream: str, expiry: int) -> str:
    """Return the token of a signed URL: `<expiry>~<mac>`."""
    mac = hmac.new(key.encode(), f"/{stream}/{expiry}".encode(), hashlib.sha256)
    return f"{expiry}~{mac.hexdigest()}"


@lru_cache(1000)
def media_bytes(name: str, size: int) -> bytes:
    """Return the bytes of a part or an init segment."""
    return random.Random(name).randbytes(size)


class Origin:
    """The state of one play pod."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.stream: str = options.stream
        self.bearers = {
            "Bearer "
            + hmac.new(options.edge_key.encode(), name.encode(), hashlib.sha256).hexdigest()
            for name in [options.stream, *options.also.split(",")]
        }
        self.signing_key: str = options.signing_key
        self.epoch: float = options.epoch
        self.part_seconds: float = options.part_seconds
        self.parts: int = options.parts
        self.part_bytes: int = options.part_bytes
        self.max_age: float = options.max_age
        self.counts: Counter[str] = Counter()
        #: Changed by tests. broken 1: 500 to everything. last: no part after this one. half: see
        #: the method.
        self.settings: dict[str, int] = {"ready": 1, "broken": 0, "last": -1, "half": 0}

    @property
    def finished(self) -> int:
        """Return the number of finished parts. A test may set the last one."""
        now = int((time.time() - self.epoch) / self.part_seconds)
        last = self.settings["last"]
        return min(now, last) if last >= 0 else now

    async def wait_for(self, parts: int) -> bool:
        """Hold a request until this many parts are finished; false after the longest time."""
        deadline = time.monotonic() + HOLD_SECONDS
        while self.finished < parts:
            if time.monotonic() > deadline:
                return False
            at = self.epoch + parts * self.part_seconds - time.time()
            await asyncio.sleep(min(max(at, 0.002), 0.05))
        return True

    def part(self, name: str) -> bytes:
        return media_bytes(name, self.part_bytes)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/")
        if path.startswith("control/"):
            return self.control(path, request)
        self.counts[request.path_qs] += 1
        if request.headers.get("Authorization") not in self.bearers:
            return web.Response(status=401)
        if not self.settings["ready"]:
            return web.Response(status=503, headers={"Retry-After": "5"})
        if self.settings["broken"]:
            return web.Response(status=500)
        if path == "ready":
            return web.Response(text="ready\n")
        if path == "access":
            return self.access(request.query.get("token", ""))
        answer = await self.media(path, request)
        if self.settings["half"] and path.endswith((".m4s", ".m3u8")) and answer.status == 200:
            return await self.half(request, answer)
        return answer

    async def half(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """Send the first half of an answer, then close the connection (1) or stop (2)."""
        assert isinstance(answer.body, bytes)
        headers = {**answer.headers, "Content-Length": str(len(answer.body))}
        stream = web.StreamResponse(headers=headers)
        await stream.prepare(request)
        await stream.write(answer.body[: len(answer.body) // 2])
        if self.settings["half"] == 2:
            await asyncio.sleep(10)
        if request.transport is not None:
            request.transport.abort()
        return stream

    def control(self, path: str, request: web.Request) -> web.Response:
        if path == "control/set":
            self.settings |= {name: int(value) for name, value in request.query.items()}
        if path == "control/reset":
            self.counts.clear()
        return web.json_response(self.counts)

    def access(self, token: str) -> web.Response:
        verdict = "deny"
        if not self.signing_key:
            verdict = "deny" if token else "allow"
        elif token:
            expiry = int(token.split("~", maxsplit=1)[0])
            if hmac.compare_digest(token, sign(self.signing_key, self.stream, expiry)):
                verdict = "allow" if expiry > time.time() else "expired"
        return web.json_response({"verdict": verdict, "max_age": self.max_age}, headers=NO_STORE)

    async def media(self, path: str, request: web.Request) -> web.Response:
        if path == "info.json":
            return web.json_response({"title": "a title", "live": True}, headers=NO_STORE)
        if path in ("index.m3u8", "mpegts.m3u8"):
            body = f"#EXTM3U\n# {request.query_string}\n" + f"{SESSION}/video.m3u8\n" * 40
            return web.Response(text=body, content_type=PLAYLIST_TYPE, headers=NO_STORE)
        if path == "index.mpd":
            text = "<MPD/>" + " " * 2000
            return web.Response(text=text, content_type="application/dash+xml", headers=NO_STORE)
        if path == "screenshot.jpg":
            headers = {"Cache-Control": "max-age=2", "ETag": '"picture"'}
            return web.Response(body=self.part("jpg"), content_type="image/jpeg", headers=headers)
        session, _, rest = path.partition("/")
        if session != SESSION:
            return web.Response(status=410 if session == "f" * 16 else 404)
        if rest.endswith(".m3u8"):
            return await self.playlist(request)
        return await self.file(rest)

    async def playlist(self, request: web.Request) -> web.Response:
        if "_HLS_msn" in request.query:
            number = int(request.query["_HLS_msn"])
            part = int(request.query.get("_HLS_part", self.parts - 1))
            wanted = number * self.parts + part + 1
            if wanted > self.finished + 2 * self.parts:
                return web.Response(status=400)
            await self.wait_for(wanted)
        return web.Response(text=self.playlist_text(), content_type=PLAYLIST_TYPE, headers=NO_STORE)

    def playlist_text(self) -> str:
        number, part = divmod(self.finished, self.parts)
        lines = ["#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-PART-INF:PART-TARGET={self.part_seconds}"]
        for shown in range(max(0, number - SHOWN_SEGMENTS), number + 1):
            count = 0 if shown < number - 2 else self.parts if shown < number else part
            names = [f"video/{shown}.{at}.m4s" for at in range(count)]
            lines += [f'#EXT-X-PART:DURATION=0.5,URI="{name}"' for name in names]
            if shown < number:
                lines += ["#EXTINF:2.0,", f"video/{shown}.m4s"]
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="video/{number}.{part}.m4s"')
        return "\n".join(lines) + "\n"

    async def file(self, path: str) -> web.Response:
        track, _, name = path.partition("/")
        if name.startswith("init."):
            return self.found(self.part(path))
        numbers = [int(number) for number in name.split(".")[:-1]]
        first = numbers[0] * self.parts
        if len(numbers) == 1:
            if first + self.parts <= self.finished:
                parts = [f"{track}/{numbers[0]}.{at}.m4s" for at in range(self.parts)]
                return self.found(b"".join(self.part(part) for part in parts))
            if first <= self.finished:
                return web.Response(status=204, headers={"Sluice-Growing": "1", **NO_STORE})
            return web.Response(status=404)
        if numbers[1] >= self.parts:
            return web.Response(status=204, headers={"Sluice-Ended": "1", **NO_STORE})
        if first + numbers[1] > self.finished + 1:
            return web.Response(status=404)
        if not await self.wait_for(first + numbers[1] + 1):
            return web.Response(status=503, headers={"Retry-After": "0"})
        return self.found(self.part(path))

    def found(self, body: bytes) -> web.Response:
        return web.Response(body=body, content_type="video/mp4", headers=IMMUTABLE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--also", default="", help="more streams, separated by commas")
    parser.add_argument("--edge-key", required=True)
    parser.add_argument("--signing-key", default="")
    parser.add_argument("--epoch", type=float, required=True)
    parser.add_argument("--part-seconds", type=float, default=0.5)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--part-bytes", type=int, default=20_000)
    parser.add_argument("--max-age", type=float, default=30)
    options = parser.parse_args()
    app = web.Application()
    app.router.add_get("/{path:.*}", Origin(options).handle)
    web.run_app(app, host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
