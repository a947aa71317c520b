"""The store's HTTP API: requests for recordings, their results, and downloads of files.

``PUT /v1/recordings/<uid>`` (StoredRecording) and ``GET /v1/recordings/<uid>`` return a
StoredResult; ``GET`` with ``?limit=N`` and ``before=INDEX`` returns one page of its files.
``DELETE`` deletes all of a recording: 409 while a recorder may still write, 202 until nothing is
left, 200 from then on. ``GET /v1/recordings/<uid>/files/<name>`` streams a file, with ranges (RFC
9110, clause 14). ``GET /v1/recordings?namespace=NAMESPACE&name=NAME`` returns the result of the
latest Recording of that name that ended and was not deleted, or 404. All requests need the store's
token as a bearer token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from pydantic import SecretStr, ValidationError

from sluice_media.contract import FileState, RecordedFile, StoredRecording, StoredResult
from sluice_media.net.http_server import serving
from sluice_media.pod.status_server import bearer_matches
from sluice_media.recording import keys
from sluice_media.storage.errors import MissingObjectError, StorageError
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import load_finalized, load_request, load_view
from sluice_media.store.deletion import Deleter, load_deletion
from sluice_media.store.ended import find_ended
from sluice_media.store.results import load_result, page_of, prefix_of

_MAX_BODY_BYTES = 64 << 10
_MAX_DIGITS = 9
_log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StoreApi:
    """The handlers of the store's HTTP API."""

    def __init__(
        self,
        storage: ObjectStore,
        *,
        token: Callable[[], SecretStr | None],
        on_request: Callable[[str], None],
        deleter: Deleter,
    ) -> None:
        """``on_request`` is called with the uid of each recording that was PUT."""
        self._deleter = deleter
        self._storage = storage
        self._token = token
        self._on_request = on_request

    def application(self) -> web.Application:
        app = web.Application(
            middlewares=[self._authorize, self._explain], client_max_size=_MAX_BODY_BYTES
        )
        app.router.add_get("/v1/recordings", self.find)
        app.router.add_put("/v1/recordings/{uid}", self.put)
        app.router.add_get("/v1/recordings/{uid}", self.get)
        app.router.add_delete("/v1/recordings/{uid}", self.delete)
        app.router.add_get("/v1/recordings/{uid}/files/{name}", self.download)
        return app

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not bearer_matches(request, self._token()):
            raise web.HTTPUnauthorized(text="the store's bearer token is missing or wrong")
        uid = request.match_info.get("uid")
        if uid is not None and not keys.is_id(uid):
            raise web.HTTPNotFound(text="the path has no valid uid of a recording")
        return await handler(request)

    @web.middleware
    async def _explain(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except MissingObjectError:
            raise web.HTTPNotFound(text="there is no such file") from None
        except StorageError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error

    async def put(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        try:
            recording = StoredRecording.model_validate_json(await request.read())
        except ValidationError:
            raise web.HTTPUnprocessableEntity(text="the body is not a StoredRecording") from None
        parts = recording.prefix.split("/")
        # The prefix must belong to this recording alone, because it is deleted as a whole.
        if recording.uid != uid or not all(map(keys.is_id, parts)) or parts[-1] != uid:
            raise web.HTTPUnprocessableEntity(text="the uid or the prefix does not fit the path")
        if (deletion := await load_deletion(self._storage, uid)) is not None:
            return _json(deletion.result())
        before = await load_request(self._storage, uid)
        if before is not None and before.recorder_gone and not recording.recorder_gone:
            # A recorder that is gone does not come back: this PUT is an old one that is late.
            recording = recording.model_copy(update={"recorder_gone": True})
        if before is not None and before.deleted:
            recording = recording.model_copy(update={"deleted": True})
        if recording != before:
            await self._storage.put(keys.request_key(uid), recording.to_json().encode())
        if recording.deleted and keys.is_id(recording.namespace) and keys.is_id(recording.name):
            await self._storage.delete(keys.ended_key(recording.namespace, recording.name, uid))
        self._on_request(uid)
        return _json(await load_result(self._storage, uid))

    async def get(self, request: web.Request) -> web.Response:
        limit, before = _number(request, "limit"), _number(request, "before")
        result = await load_result(self._storage, request.match_info["uid"])
        return _json(result if limit is None else page_of(result, limit, before))

    async def find(self, request: web.Request) -> web.Response:
        namespace, name = request.query.get("namespace", ""), request.query.get("name", "")
        if not keys.is_id(namespace) or not keys.is_id(name):
            raise web.HTTPBadRequest(text="the query needs namespace and name")
        uid = await find_ended(self._storage, namespace, name)
        if uid is None:
            raise web.HTTPNotFound(text="no Recording of that name has ended here")
        limit = _number(request, "limit")
        result = await load_result(self._storage, uid)
        return _json(result if limit is None else page_of(result, limit, None))

    async def delete(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        deletion = await load_deletion(self._storage, uid)
        if deletion is None:
            if await load_finalized(self._storage, uid) is None:
                view = await load_view(self._storage, uid)
                if view.may_grow:
                    raise web.HTTPConflict(text="a recorder may still write")
            prefix = await prefix_of(self._storage, uid)
            deletion = await self._deleter.request(uid, prefix)
        return _json(deletion.result(), 202 if deletion.done_at is None else 200)

    async def download(self, request: web.Request) -> web.StreamResponse:
        uid, name = request.match_info["uid"], request.match_info["name"]
        file = _find((await load_result(self._storage, uid)).files, name)
        if file is None:
            raise web.HTTPNotFound(text="there is no such file")
        key = keys.mp4_key(await prefix_of(self._storage, uid), uid, file.index)
        size = await self._storage.size(key)
        start, end, partial = _range(request, size)
        response = web.StreamResponse(status=206 if partial else 200)
        response.content_type = "video/mp4"
        response.content_length = end - start
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        if file.sha256:
            response.headers["ETag"] = f'"{file.sha256}"'
        if partial:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        await response.prepare(request)
        if request.method != "HEAD" and end > start:
            async for part in self._storage.stream(key, start=start, end=end):
                await response.write(part)
        await response.write_eof()
        return response


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_DIGITS or not int(text):
        raise web.HTTPBadRequest(text=f"{name} must be a positive number")
    return int(text)


def _find(files: list[RecordedFile], name: str) -> RecordedFile | None:
    return next((f for f in files if f.name == name and f.state == FileState.READY), None)


def _range(request: web.Request, size: int) -> tuple[int, int, bool]:
    """Return the first byte, the byte after the last one, and whether the range is partial."""
    try:
        wanted = request.http_range
    except ValueError:
        raise web.HTTPRequestRangeNotSatisfiable(
            headers={"Content-Range": f"bytes */{size}"}
        ) from None
    if wanted.start is None and wanted.stop is None:
        return 0, size, False
    start = wanted.start or 0
    if start < 0:
        return max(0, size + start), size, True
    end = min(size, wanted.stop) if wanted.stop is not None else size
    if start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end, True


def _json(result: StoredResult, status: int = 200) -> web.Response:
    return web.Response(text=result.to_json(), status=status, content_type="application/json")


@asynccontextmanager
async def serve_store(api: StoreApi, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts, and yield the port."""
    async with serving(api.application(), host, port, shutdown_seconds=5.0) as bound:
        yield bound
