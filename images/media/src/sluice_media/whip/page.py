"""The page that goes live from a browser: three files, and what a browser must not do with them."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

_TYPES = {"live.css": "text/css", "live.js": "text/javascript"}
_HEADERS = {
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


def add_page(app: web.Application) -> None:
    """``/`` leads to ``/live``; ``/live/<namespace>/<stream>`` knows its stream already."""
    folder = files("sluice_media.whip") / "page"
    html = (folder / "live.html").read_text("utf-8")
    assets = {name: (folder / name).read_text("utf-8") for name in _TYPES}

    async def home(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/live"})

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html", headers=_HEADERS)

    async def asset(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in assets:
            raise web.HTTPNotFound
        return web.Response(text=assets[name], content_type=_TYPES[name], headers=_HEADERS)

    app.router.add_get("/", home)
    app.router.add_get("/live", live)
    app.router.add_get("/live/{namespace}/{stream}", live)
    app.router.add_get("/assets/{name}", asset)
