"""WHIP over HTTP (RFC 9725 section 4): an endpoint for each stream, a resource for each session.

The server also delivers the web page with which a browser publishes. Trickle ICE and ICE restarts
are not supported: the answer has all candidates, and PATCH is answered with 405 (section 4.3). A
proxy in front of us terminates TLS.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.net.http_server import serving
from sluice_media.publishing.publication import Publish
from sluice_media.whip.forwarded import Range, publisher_address
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.metrics import WhipMetrics
from sluice_media.whip.offer import MAX_OFFER_BYTES
from sluice_media.whip.problem import Problem, Reason
from sluice_media.whip.service import PostedOffer, WhipService
from sluice_media.whip.settings import WhipSettings

_SDP = "application/sdp"
_BODY_SECONDS = 10.0
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Retry-After, WWW-Authenticate",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
}
_ENDPOINT = "/whip/{namespace}/{stream}"
_SESSION = _ENDPOINT + "/{session}"
_PAGE_TYPES = {"live.css": "text/css", "live.js": "text/javascript"}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running_whip(
    settings: WhipSettings, publish: Publish, registry: CollectorRegistry
) -> AsyncIterator[WhipService]:
    """Serve HTTP and media until the context ends; then end every session."""
    metrics = WhipMetrics(registry)
    port = await MediaPort.open(
        settings.bind, settings.whip_media_port, metrics.datagrams_dropped.inc
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            service = WhipService(settings, publish, metrics, port, tasks)
            app = _app(service, settings.trusted_proxies)
            async with serving(app, settings.bind, settings.whip_port) as http_port:
                service.http_port = http_port
                try:
                    yield service
                finally:
                    await service.close()
    finally:
        port.close()


def _app(service: WhipService, proxies: Sequence[Range]) -> web.Application:
    app = web.Application(middlewares=[_problems_and_cors], client_max_size=MAX_OFFER_BYTES)

    async def post(request: web.Request) -> web.Response:
        namespace, stream = _stream_of(request)
        if request.content_type != _SDP:
            raise Problem(415, Reason.BAD_OFFER, f"the offer must be sent as {_SDP}")
        key = _key_of(request)
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        remote = publisher_address(request.remote or "", forwarded_for, proxies)
        sdp = await _body(request)
        begun = await service.begin(PostedOffer(namespace, stream, key, remote, sdp))
        headers = {
            "Location": f"/whip/{namespace}/{stream}/{begun.id}",
            "ETag": f'"{begun.id[:8]}"',
        }
        return web.Response(
            status=201, body=begun.answer.encode(), content_type=_SDP, headers=headers
        )

    async def delete(request: web.Request) -> web.Response:
        namespace, stream = _stream_of(request)
        if not await service.end(namespace, stream, request.match_info["session"]):
            raise Problem(404, Reason.UNKNOWN_SESSION, "the session does not exist or has ended")
        return web.Response()

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT | {"Accept-Post": _SDP})

    app.router.add_post(_ENDPOINT, post)
    app.router.add_delete(_SESSION, delete)
    app.router.add_options(_ENDPOINT, preflight)
    app.router.add_options(_SESSION, preflight)
    _add_page(app)
    return app


def _add_page(app: web.Application) -> None:
    """Add the page's routes. ``/live/<namespace>/<stream>`` presets the stream."""
    folder = files("sluice_media.whip") / "page"
    html = (folder / "live.html").read_text("utf-8")
    assets = {name: (folder / name).read_text("utf-8") for name in _PAGE_TYPES}

    async def home(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/live"})

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html", headers=_PAGE_HEADERS)

    async def asset(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in assets:
            raise web.HTTPNotFound
        return web.Response(
            text=assets[name], content_type=_PAGE_TYPES[name], headers=_PAGE_HEADERS
        )

    app.router.add_get("/", home)
    app.router.add_get("/live", live)
    app.router.add_get("/live/{namespace}/{stream}", live)
    app.router.add_get("/assets/{name}", asset)


@web.middleware
async def _problems_and_cors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every refusal into problem+json, and add the CORS headers."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except web.HTTPRequestEntityTooLarge:
        detail = f"the offer is larger than {MAX_OFFER_BYTES} bytes"
        response = Problem(413, Reason.BAD_OFFER, detail).response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"this method is not allowed here; allowed: {allowed}"
        headers = {"Allow": allowed}
        response = Problem(405, Reason.METHOD_NOT_ALLOWED, detail, headers).response()
    except web.HTTPNotFound:
        response = Problem(404, Reason.NOT_FOUND, "this address does not exist").response()
    if request.path.startswith("/whip/"):
        response.headers.update(_CORS)
    return response


def _stream_of(request: web.Request) -> tuple[str, str]:
    namespace, stream = request.match_info["namespace"], request.match_info["stream"]
    if not _NAME.fullmatch(namespace) or not _NAME.fullmatch(stream):
        raise Problem(404, Reason.UNKNOWN_STREAM, "there is no such stream")
    return namespace, stream


def _key_of(request: web.Request) -> SecretStr:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _KEY.fullmatch(key.strip()):
        raise Problem(401, Reason.BAD_KEY, "the stream key is missing from the request")
    return SecretStr(key.strip())


async def _body(request: web.Request) -> str:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return (await request.read()).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, Reason.BAD_OFFER, "the offer is not UTF-8") from None
    except TimeoutError:
        detail = f"the offer did not arrive within {_BODY_SECONDS:g} s"
        raise Problem(408, Reason.BAD_OFFER, detail) from None
