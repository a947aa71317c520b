"""WHIP over HTTP (RFC 9725 section 4): one endpoint for each stream, one resource for each session.

Trickle ICE and ICE restarts are not offered: the answer has all candidates, and PATCH is answered
with 405 (section 4.3). TLS ends before us.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.net.http_server import serving
from sluice_media.whip.forwarded import Range, publisher_address
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.metrics import WhipMetrics
from sluice_media.whip.offer import MAX_OFFER_BYTES
from sluice_media.whip.page import add_page
from sluice_media.whip.problem import Problem
from sluice_media.whip.publish import Publish
from sluice_media.whip.service import WhipService
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
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running_whip(
    settings: WhipSettings, publish: Publish, registry: CollectorRegistry
) -> AsyncIterator[WhipService]:
    """Serves HTTP and media while the context lasts; then every session is ended."""
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
    app = web.Application(middlewares=[_answers], client_max_size=MAX_OFFER_BYTES)

    async def post(request: web.Request) -> web.Response:
        namespace, stream = _stream_of(request)
        if request.content_type != _SDP:
            raise Problem(415, "BadOffer", f"the offer must be sent as {_SDP}")
        key = _key_of(request)
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        remote = publisher_address(request.remote or "", forwarded_for, proxies)
        begun = await service.begin(namespace, stream, key, remote, await _body(request))
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
            raise Problem(404, "UnknownSession", "there is no such session (any more)")
        return web.Response()

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT | {"Accept-Post": _SDP})

    app.router.add_post(_ENDPOINT, post)
    app.router.add_delete(_SESSION, delete)
    app.router.add_options(_ENDPOINT, preflight)
    app.router.add_options(_SESSION, preflight)
    add_page(app)
    return app


@web.middleware
async def _answers(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refusals in one form, and what scripts of other sites may read."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except web.HTTPRequestEntityTooLarge:
        detail = f"an offer has at most {MAX_OFFER_BYTES} bytes"
        response = Problem(413, "BadOffer", detail).response()
    except web.HTTPMethodNotAllowed as error:
        allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
        response = Problem(405, "MethodNotAllowed", "not possible here", allowed).response()
    except web.HTTPNotFound:
        response = Problem(404, "NotFound", "there is nothing here").response()
    if request.path.startswith("/whip/"):
        response.headers.update(_CORS)
    return response


def _stream_of(request: web.Request) -> tuple[str, str]:
    namespace, stream = request.match_info["namespace"], request.match_info["stream"]
    if not _NAME.fullmatch(namespace) or not _NAME.fullmatch(stream):
        raise Problem(404, "UnknownStream", "there is no such stream")
    return namespace, stream


def _key_of(request: web.Request) -> SecretStr:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _KEY.fullmatch(key.strip()):
        raise Problem(401, "BadKey", "the stream's key is missing")
    return SecretStr(key.strip())


async def _body(request: web.Request) -> str:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return (await request.read()).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, "BadOffer", "the offer is not UTF-8") from None
    except TimeoutError:
        raise Problem(408, "BadOffer", "the offer did not come in time") from None
