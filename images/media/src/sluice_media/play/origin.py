"""HTTP server of a play pod, for the edge: playlists, parts, segments and screenshots.

Every answer has a known length: a segment that grows is read part by part. A request for the next
part or playlist waits for at most HOLD_SECONDS. The edge takes a longer silence for the death of
the pod.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import format_datetime

from aiohttp import web
from pydantic import SecretStr

from sluice_media.contract import PlayConfig
from sluice_media.formats.cmaf import init_segment
from sluice_media.formats.codecs import CodecError
from sluice_media.play.access import MAX_AGE_SECONDS, Decision, Verdict, judge
from sluice_media.play.dvr import SegmentGoneError
from sluice_media.play.metrics import PlayMetrics
from sluice_media.play.mpegts import ts_segment
from sluice_media.play.screenshot import Screenshots
from sluice_media.play.segment import track_number
from sluice_media.play.session import SESSION_ID, PlaySession
from sluice_media.pod.status_server import bearer_matches

HOLD_SECONDS = 0.9
"""Maximum time for which a request waits for the future."""
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MPD_TYPE = "application/dash+xml"
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_NO_STORE = {"Cache-Control": "no-store"}
_INIT = re.compile(r"init\.(\d{1,9})\.mp4")
_SEGMENT = re.compile(r"(\d{1,10})\.m4s")
_PART = re.compile(r"(\d{1,10})\.(\d{1,4})\.m4s")
_TS = re.compile(r"(\d{1,10})\.ts")
_DURATIONS = ("1", "true")


class Origin:
    """The handlers. ``session`` returns the session with that id, or with None the one on air."""

    def __init__(
        self,
        *,
        session: Callable[[str | None], PlaySession | None],
        config: Callable[[], PlayConfig],
        token: Callable[[], SecretStr | None],
        keys: Callable[[], list[str]],
        ready: Callable[[], bool],
        screenshots: Screenshots,
        metrics: PlayMetrics,
    ) -> None:
        self._session = session
        self._config = config
        self._token = token
        self._keys = keys
        self._ready = ready
        self._screenshots = screenshots
        self._metrics = metrics
        self._fixed: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "ready": self._readiness,
            "access": self._access,
            "info.json": self._info,
            "index.m3u8": self._multivariant,
            "index.mpd": self._mpd,
            "mpegts.m3u8": self._ts_multivariant,
            "screenshot.jpg": self._screenshot,
        }

    async def get(self, request: web.Request) -> web.Response:
        """Answer a GET."""
        if not bearer_matches(request, self._token()):
            return web.Response(status=401, text="only the edge reads from this port\n")
        names = request.path.removeprefix("/").split("/")
        try:
            response = await self._dispatch(request, names)
        except SegmentGoneError:
            response = _missing("the segment has left the window")
        self._metrics.answered(response.status, response.content_length or 0)
        return response

    async def _dispatch(self, request: web.Request, names: list[str]) -> web.Response:
        if len(names) == 1:
            handler = self._fixed.get(names[0])
            return await handler(request) if handler else _missing("no such file")
        if len(names) > 3 or not SESSION_ID.fullmatch(names[0]):
            return _missing("no such file")
        session = self._session(names[0])
        if session is None:
            return _answer(410, "the session is over\n")
        if len(names) == 2:
            return await self._media_playlist(request, session, names[1])
        if names[1] == "ts":
            return await self._ts_segment(session, names[2])
        track = track_number(names[1])
        if track is None:
            return _missing("no such track")
        if found := _PART.fullmatch(names[2]):
            return await self._part(session, track, int(found[1]), int(found[2]))
        if found := _SEGMENT.fullmatch(names[2]):
            return await self._segment(session, track, int(found[1]))
        if found := _INIT.fullmatch(names[2]):
            return self._init(session, track, int(found[1]))
        return _missing("no such file")

    # ------------------------------------------------------------------ the stream

    async def _readiness(self, _: web.Request) -> web.Response:
        return _answer(200, "ready\n") if self._ready() else _answer(503, "not ready\n")

    async def _access(self, request: web.Request) -> web.Response:
        config = self._config()
        decision = Decision(Verdict.ALLOW, MAX_AGE_SECONDS)
        token = request.query.get("token", "")
        if config.signed or token:
            decision = judge(token, config.namespace, config.stream.name, self._keys(), time.time())
        return web.json_response(
            {"verdict": decision.verdict, "max_age": decision.max_age_seconds}, headers=_NO_STORE
        )

    async def _info(self, _: web.Request) -> web.Response:
        config, session = self._config(), self._session(None)
        is_live = session is not None and session.is_live
        has_poster = is_live or (config.keep_last_screenshot and self._screenshots.newest)
        info = {
            "title": config.stream.title,
            "projection": config.projection,
            "live": is_live,
            "session": session.id if session is not None and is_live else None,
            "hls": config.hls,
            "dash": config.dash,
            "hlsMpegts": config.hls_mpegts,
            "dvrSeconds": config.dvr_seconds,
            "poster": "screenshot.jpg" if has_poster else None,
        }
        return web.json_response(info, headers=_NO_STORE, dumps=json.dumps)

    async def _multivariant(self, _: web.Request) -> web.Response:
        session = await self._on_air() if self._config().hls else None
        if session is None:
            return _missing("the stream is not on air")
        return _playlist(session.multivariant())

    async def _ts_multivariant(self, request: web.Request) -> web.Response:
        session = await self._on_air() if self._config().hls_mpegts else None
        if session is None:
            return _missing("the stream is not on air")
        return _playlist(session.ts_multivariant(with_durations=_with_durations(request)))

    async def _mpd(self, _: web.Request) -> web.Response:
        if not self._config().dash:
            return _missing("DASH is switched off")
        # The MPD has one URL for all sessions. Players that watched the last one read its end here.
        ended = self._session(None)
        is_ended = ended is not None and ended.table.is_ended and ended.table.is_published
        session = ended if is_ended else await self._on_air()
        if session is None:
            return _missing("the stream is not on air")
        return _body(session.mpd(), MPD_TYPE, _NO_STORE)

    async def _screenshot(self, _: web.Request) -> web.Response:
        config = self._config()
        interval = config.screenshot_seconds
        shot = await self._screenshots.get(interval, keeps_last=config.keep_last_screenshot)
        if shot is None:
            return _missing("the stream is not on air")
        left = interval - shot.age_seconds(time.time())
        headers = {
            "Cache-Control": f"max-age={max(1, round(left))}",
            "ETag": shot.etag,
            "Last-Modified": format_datetime(shot.taken_utc, usegmt=True),
        }
        return _body(shot.data, "image/jpeg", headers)

    async def _on_air(self) -> PlaySession | None:
        session = self._session(None)
        if session is None or session.table.is_ended:
            return None
        await session.until(lambda: session.table.is_published, HOLD_SECONDS)
        return session if session.is_live else None

    # ------------------------------------------------------------------ a session

    async def _media_playlist(
        self, request: web.Request, session: PlaySession, name: str
    ) -> web.Response:
        config = self._config()
        table = session.table
        if not table.is_published:
            return _missing("the session has no segment yet")
        if name == "mpegts.m3u8":
            if not config.hls_mpegts:
                return _missing("HLS with MPEG-TS is switched off")
            return _playlist(session.ts_playlist(with_durations=_with_durations(request)))
        track = track_number(name.removesuffix(".m3u8")) if name.endswith(".m3u8") else None
        if track is None or track not in table.tracks or not config.hls:
            return _missing("no such playlist")
        try:
            number = _number(request, "_HLS_msn")
            part = _number(request, "_HLS_part")
        except ValueError:
            return _answer(400, "_HLS_msn and _HLS_part are whole numbers\n")
        if number is None and part is not None:
            # RFC 8216bis, 6.2.5.2
            return _answer(400, "_HLS_part needs _HLS_msn\n")
        if number is not None:
            if table.is_too_far(track, number) and not table.is_ended:
                return _answer(400, "_HLS_msn is too far ahead\n")
            await session.until(lambda: table.has_reached(track, number, part), HOLD_SECONDS)
        skip = request.query.get("_HLS_skip") in ("YES", "v2")
        return _playlist(session.media_playlist(track, skip=skip))

    async def _part(
        self, session: PlaySession, track: int, number: int, index: int
    ) -> web.Response:
        table = session.table
        await session.until(lambda: not _is_next_part(session, track, number, index), HOLD_SECONDS)
        if table.part(track, number, index) is not None:
            segment = table.get(number)
            assert segment is not None
            return _media(await session.dvr.part(segment, track, index), session, number, index)
        found = table.track(track, number)
        if found is not None and found.is_closed:
            return web.Response(status=204, headers={**_NO_STORE, "Sluice-Ended": "1"})
        if _is_next_part(session, track, number, index):
            return web.Response(status=503, headers={**_NO_STORE, "Retry-After": "0"})
        return _missing("no such part")

    async def _segment(self, session: PlaySession, track: int, number: int) -> web.Response:
        table = session.table
        await session.until(lambda: not _is_next_part(session, track, number, 0), HOLD_SECONDS)
        segment, found = table.get(number), table.track(track, number)
        if segment is None or found is None:
            if _is_next_part(session, track, number, 0):
                return web.Response(status=503, headers={**_NO_STORE, "Retry-After": "0"})
            return _missing("no such segment")
        if not found.is_closed:
            return web.Response(status=204, headers={**_NO_STORE, "Sluice-Growing": "1"})
        if found.is_empty:
            return _missing("the track has no media in this segment")
        return _media(await session.dvr.track(segment, track), session, number)

    def _init(self, session: PlaySession, track: int, format_number: int) -> web.Response:
        found = session.table.format_of(track, format_number)
        if found is None:
            return _missing("no such format")
        return _body(init_segment(found), "video/mp4", _IMMUTABLE)

    async def _ts_segment(self, session: PlaySession, name: str) -> web.Response:
        match = _TS.fullmatch(name)
        segment = session.table.get(int(match[1])) if match else None
        if segment is None or not segment.is_closed or not self._config().hls_mpegts:
            return _missing("no such segment")
        formats = session.table.formats[segment.format_number]
        parts = {
            number: [await session.dvr.part(segment, number, i) for i in range(len(track.parts))]
            for number, track in segment.tracks.items()
        }
        try:
            data = await asyncio.to_thread(ts_segment, formats, parts, shift=segment.shift)
        except CodecError:
            return _missing("MPEG-TS cannot carry this segment")
        return _body(data, "video/mp2t", _IMMUTABLE)


def _is_next_part(session: PlaySession, track: int, number: int, index: int) -> bool:
    """Return whether a part does not exist yet and is the next one that will."""
    table = session.table
    if table.is_ended:
        return False
    found = table.track(track, number)
    if found is not None:
        return not found.is_closed and len(found.parts) == index
    last = table.last(track)
    newest = last[0] if last else -1
    return index == 0 and newest < number <= newest + 1


def _number(request: web.Request, name: str) -> int | None:
    """Return a directive of the query; None when it is absent. Raises ValueError."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError(name)
    return int(text)


def _with_durations(request: web.Request) -> bool:
    return request.query.get("get_duration_sec") in _DURATIONS


def _media(
    data: bytes, session: PlaySession, number: int, index: int | None = None
) -> web.Response:
    name = f"{number}" if index is None else f"{number}.{index}"
    return _body(data, "video/mp4", {**_IMMUTABLE, "ETag": f'"{session.id}-{name}"'})


def _playlist(data: bytes) -> web.Response:
    return _body(data, PLAYLIST_TYPE, _NO_STORE)


def _body(data: bytes, content_type: str, headers: dict[str, str]) -> web.Response:
    return web.Response(body=data, content_type=content_type, headers=headers)


def _missing(why: str) -> web.Response:
    return _answer(404, f"{why}\n")


def _answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=_NO_STORE)
