"""A fake edge: the player page, ``info.json`` and a live LL-HLS stream made from a clip.

The clip is one fragmented MP4 with a fragment every half second. Time passes as the test lives:
a fragment is a part and begins with a keyframe, and four parts are a segment. Only the player is
tested with it, so it has no more of HLS than a player needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support import clip_store

__all__ = ["LiveHls", "Parts", "make_parts"]

PART_SECONDS = 0.5
PARTS_EACH = 4
FRAMES_PER_SECOND = 30
SEGMENT_SECONDS = PART_SECONDS * PARTS_EACH
PREFIX = "/demo/cam"
KEPT_WITH_PARTS = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """A clip in the form of an init segment and its parts."""

    init: bytes = field(repr=False)
    parts: tuple[bytes, ...] = field(repr=False)

    def segment(self, number: int) -> bytes:
        return b"".join(self.parts[number * PARTS_EACH : (number + 1) * PARTS_EACH])


def make_parts(folder: Path, *, size: str | None = "640x360", seconds: int = 120) -> Parts:
    """Encode a moving picture with a tone. Each part begins with a keyframe.

    Without a size there is no video. Parts are then 2.4 % longer than the playlist says, because
    they have whole frames of audio.
    """
    path = folder / f"{size}.mp4"
    if size is None:
        command = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
        command += ["-t", str(seconds), "-c:a", "aac", "-b:a", "64k", "-f", "mp4"]
        command += ["-movflags", "empty_moov+default_base_moof", "-frag_duration", "500000"]
        return _parts_of(path, command)
    frames = int(PART_SECONDS * FRAMES_PER_SECOND)
    command = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={FRAMES_PER_SECOND}"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", str(seconds)]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]
    command += ["-pix_fmt", "yuv420p", "-g", str(frames), "-keyint_min", str(frames)]
    command += ["-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k", "-f", "mp4"]
    command += ["-movflags", "empty_moov+default_base_moof+frag_keyframe"]
    return _parts_of(path, command)


def _parts_of(path: Path, command: list[str]) -> Parts:
    clip_store.encode(command, path)
    boxes = list(_boxes(path.read_bytes()))
    first = next(n for n, (kind, _) in enumerate(boxes) if kind == b"moof")
    media = boxes[first:]
    parts = [moof + mdat for (kind, moof), (_, mdat) in pairwise(media) if kind == b"moof"]
    return Parts(b"".join(data for _, data in boxes[:first]), tuple(parts))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and bytes of each top-level box (ISO/IEC 14496-12, clause 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


@dataclass
class LiveHls:
    """A stream that is on air or off air, and the server of its page."""

    page: Path
    clip: Parts
    title: str = "Harbour camera"
    projection: str = "Regular"
    codecs: str = "avc1.42c01e,mp4a.40.2"
    poster: bytes | None = None
    dvr_segments: int = 20
    session: str | None = None
    refusal: int | None = None
    """Status of all answers but the page's; None: the stream is served."""
    stalled: bool = False
    """No new parts appear."""
    requests: list[str] = field(default_factory=list)
    url: str = ""
    _ended: str | None = None
    _began: float = 0
    _frozen: int = 0

    def begin(self, session: str, *, seconds: float = 0) -> None:
        """Go on air with a new session that began some seconds ago."""
        self.session, self._ended, self.stalled = session, None, False
        self._began = time.time() - seconds

    def end(self, *, endlist: bool = True) -> None:
        """Go off air. The last playlist stays, with or without its end mark."""
        self._frozen = self._parts()
        self._ended, self.session = (self.session if endlist else None), None

    def stall(self) -> None:
        self._frozen, self.stalled = self._parts(), True

    def _parts(self) -> int:
        if self.stalled or self._ended:
            return self._frozen
        return min(len(self.clip.parts), int((time.time() - self._began) / PART_SECONDS))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LiveHls]:
        app = web.Application(middlewares=[self._watch])
        # The page's own files, as the edge serves them.
        app.router.add_static("/_player", self.page)
        app.router.add_get(f"{PREFIX}/", self._page)
        app.router.add_get(f"{PREFIX}/info.json", self._info)
        app.router.add_get(f"{PREFIX}/screenshot.jpg", self._screenshot)
        app.router.add_get(f"{PREFIX}/index.m3u8", self._index)
        app.router.add_get(f"{PREFIX}/{{session}}/video.m3u8", self._playlist)
        app.router.add_get(f"{PREFIX}/{{session}}/{{name:.+\\.(m4s|mp4)}}", self._media)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}{PREFIX}/"
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request.path)
        answer: web.StreamResponse
        page = request.path == f"{PREFIX}/" or request.path.startswith("/_player")
        if self.refusal and not page:
            answer = web.Response(status=self.refusal, text="Refused.")
        else:
            answer = await handler(request)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.page / "index.html")

    async def _info(self, _: web.Request) -> web.Response:
        about = {
            "title": self.title,
            "projection": self.projection,
            "live": self.session is not None,
            "session": self.session,
            "hls": True,
            "dash": True,
            "hlsMpegts": False,
            "poster": "screenshot.jpg" if self.poster else None,
        }
        return web.json_response(about)

    async def _screenshot(self, _: web.Request) -> web.Response:
        if self.poster is None:
            raise web.HTTPNotFound
        return web.Response(body=self.poster, content_type="image/jpeg")

    async def _index(self, _: web.Request) -> web.Response:
        if self.session is None:
            raise web.HTTPNotFound
        lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-INDEPENDENT-SEGMENTS"]
        lines.append(f'#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="{self.codecs}"')
        return self._text([*lines, f"{self.session}/video.m3u8"])

    async def _playlist(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        if "_HLS_msn" in request.query:
            number = int(request.query["_HLS_msn"]) * PARTS_EACH
            await self._until(number + int(request.query.get("_HLS_part", PARTS_EACH - 1)), session)
        if session not in {self.session, self._ended}:
            raise web.HTTPNotFound
        return self._text(list(self._lines()))

    def _lines(self) -> Iterator[str]:
        ready = self._parts()
        whole = ready // PARTS_EACH
        first = max(0, whole - self.dvr_segments)
        yield from ("#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2")
        yield f"#EXT-X-PART-INF:PART-TARGET={PART_SECONDS + 0.02}"
        yield "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.56,HOLD-BACK=6"
        yield f"#EXT-X-MEDIA-SEQUENCE:{first}"
        yield '#EXT-X-MAP:URI="video/init.0.mp4"'
        for number in range(first, whole + 1):
            begin = datetime.fromtimestamp(self._began + number * SEGMENT_SECONDS, UTC)
            if number < whole or ready % PARTS_EACH:
                yield f"#EXT-X-PROGRAM-DATE-TIME:{begin.isoformat(timespec='milliseconds')}"
            if number > whole - KEPT_WITH_PARTS and not self._ended:
                for part in range(min(PARTS_EACH, ready - number * PARTS_EACH)):
                    uri = f'URI="video/{number}.{part}.m4s"'
                    yield f"#EXT-X-PART:DURATION={PART_SECONDS},{uri},INDEPENDENT=YES"
            if number < whole:
                yield f"#EXTINF:{SEGMENT_SECONDS},"
                yield f"video/{number}.m4s"
        if self._ended:
            yield "#EXT-X-ENDLIST"
        else:
            uri = f"video/{whole}.{ready % PARTS_EACH}.m4s"
            yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{uri}"'

    async def _media(self, request: web.Request) -> web.Response:
        session, name = request.match_info["session"], request.match_info["name"]
        if session not in {self.session, self._ended}:
            raise web.HTTPNotFound
        stem = name.removeprefix("video/")
        if stem == "init.0.mp4":
            return web.Response(body=self.clip.init, content_type="video/mp4")
        number, _, part = stem.removesuffix(".m4s").partition(".")
        if not part:
            return web.Response(body=self.clip.segment(int(number)), content_type="video/mp4")
        index = int(number) * PARTS_EACH + int(part)
        await self._until(index, session)
        if self._parts() <= index:
            raise web.HTTPNotFound
        return web.Response(body=self.clip.parts[index], content_type="video/mp4")

    async def _until(self, part: int, session: str, seconds: float = 0.9) -> None:
        """Wait until the part is there, as the origin does, for a short time."""
        deadline = time.monotonic() + seconds
        while session == self.session and self._parts() <= part and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    @staticmethod
    def _text(lines: list[str]) -> web.Response:
        body = "\n".join([*lines, ""])
        return web.Response(text=body, content_type="application/vnd.apple.mpegurl")
