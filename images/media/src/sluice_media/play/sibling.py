"""Copies of old segments from another play pod of the same stream.

The hub has the last minute of a session. What viewers can rewind beyond that, and what was missed,
a pod gets from its siblings before it is ready. So all pods of a stream serve equal playlists.

``GET /sibling/session`` returns the session and its numbers, ``GET /sibling/<session>/<number>`` a
closed segment in the form of :mod:`sluice_media.play.segment_file`. Both need the hub's token.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus

import aiohttp
import structlog
from aiohttp import web
from pydantic import SecretStr, ValidationError

from sluice_media.contract import Model
from sluice_media.net.authority import authority
from sluice_media.play.dvr import SegmentGoneError
from sluice_media.play.segment_file import SegmentFileError, StoredSegment, decode
from sluice_media.play.session import PlaySession
from sluice_media.pod.status_server import bearer_matches

_STATE_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_SEGMENT_TIMEOUT = aiohttp.ClientTimeout(total=20.0, sock_read=5.0)
_MAX_FILE_BYTES = 256 << 20
_log = structlog.get_logger(__name__)


class SiblingState(Model):
    """The session that a pod has."""

    pod_uid: str
    session: str | None = None
    first: int = 0
    """Number of the oldest segment."""
    last: int = -1
    """Number of the newest closed segment."""


class SiblingApi:
    """The handlers for other pods."""

    def __init__(
        self,
        *,
        pod_uid: str,
        session: Callable[[str | None], PlaySession | None],
        token: Callable[[], SecretStr | None],
    ) -> None:
        self._pod_uid = pod_uid
        self._session = session
        self._token = token

    async def state(self, request: web.Request) -> web.Response:
        self._authorize(request)
        state = SiblingState(pod_uid=self._pod_uid)
        session = self._session(None)
        closed = [s.number for s in session.table.segments if s.is_closed] if session else []
        if session is not None and closed:
            state = SiblingState(
                pod_uid=self._pod_uid, session=session.id, first=closed[0], last=closed[-1]
            )
        return web.json_response(text=state.to_json())

    async def segment(self, request: web.Request) -> web.Response:
        self._authorize(request)
        session = self._session(request.match_info["session"])
        number = request.match_info["number"]
        segment = session.table.get(int(number)) if session and number.isdigit() else None
        if session is None or segment is None or not segment.is_closed:
            raise web.HTTPNotFound(text="this pod does not have the segment")
        try:
            return web.Response(body=await session.dvr.file(segment))
        except SegmentGoneError:
            raise web.HTTPNotFound(text="this pod does not have the segment any more") from None

    def _authorize(self, request: web.Request) -> None:
        if not bearer_matches(request, self._token()):
            raise web.HTTPUnauthorized(text="the bearer token is missing or wrong")


async def find_urls(host: str, port: int) -> list[str]:
    """Return the URLs of the ready pods behind the name ``host``."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []  # no pod is ready
    addresses = sorted({str(entry[4][0]) for entry in found})
    return [f"http://{authority(each, port)}" for each in addresses]


Locate = Callable[[str, int], Awaitable[list[str]]]


class SiblingClient:
    """Reader of the other pods."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        *,
        locate: Locate,
        port: int,
        pod_uid: str,
        token: Callable[[], SecretStr | None],
    ) -> None:
        self._http = http
        self._locate = locate
        self._port = port
        self._pod_uid = pod_uid
        self._token = token

    async def copy_to(self, session: PlaySession, host: str, before: int) -> tuple[int, bool]:
        """Copy the segments with a lower number than ``before`` that the session lacks.

        Return their number, and whether all were there: a segment may still be open at the other
        pod. ``host`` is the name of the pods' Service; it may be empty. Pods that do not answer are
        left out."""
        copied, is_complete = 0, True
        for url in await self._locate(host, self._port) if host else []:
            state = await self._state(url)
            if state is None or state.pod_uid == self._pod_uid or state.session != session.id:
                continue
            for number in _wanted(session, state, before):
                stored = await self._segment(url, session.id, number)
                if stored is None:
                    break
                session.insert(stored.segment, stored.formats)
                copied += 1
            is_complete = is_complete and session.table.get(before - 1) is not None
        return copied, is_complete

    async def _state(self, url: str) -> SiblingState | None:
        data = await self._get(f"{url}/sibling/session", _STATE_TIMEOUT)
        try:
            return SiblingState.model_validate_json(data) if data is not None else None
        except ValidationError:
            _log.warning("sibling_not_understood", url=url)
            return None

    async def _segment(self, url: str, session: str, number: int) -> StoredSegment | None:
        data = await self._get(f"{url}/sibling/{session}/{number}", _SEGMENT_TIMEOUT)
        try:
            stored = decode(data) if data is not None else None
        except SegmentFileError as error:
            _log.warning("sibling_segment_unusable", url=url, number=number, error=str(error))
            return None
        if stored is None or (stored.session, stored.segment.number) != (session, number):
            return None
        return stored

    async def _get(self, url: str, timeout: aiohttp.ClientTimeout) -> bytes | None:
        token = self._token()
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        try:
            async with self._http.get(url, headers=headers, timeout=timeout) as response:
                if response.status != HTTPStatus.OK:
                    return None
                if (response.content_length or 0) > _MAX_FILE_BYTES:
                    return None
                return await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            _log.info("sibling_not_read", url=url, error=type(error).__name__)
            return None


def _wanted(session: PlaySession, state: SiblingState, before: int) -> Iterator[int]:
    """Yield the numbers to copy, the newest first, so that the window has no hole meanwhile."""
    for number in range(min(before - 1, state.last), state.first - 1, -1):
        if session.table.get(number) is None:
            yield number
