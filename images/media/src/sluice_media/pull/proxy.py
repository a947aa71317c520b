"""The HTTP proxy of one FFmpeg child: it fetches everything that the child requests over HTTP.

The child knows this proxy and one host name that does not exist, ``<random>.invalid``. It never
receives a URI of the source. The proxy resolves, checks and dials each URL and verifies TLS, again
for each redirect and each line of a playlist. It refuses every other host name. Source: RFC 9112
(3.2.2, absolute-form), RFC 9110 (15.4).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from base64 import b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sluice_media.net.address_guard import (
    CONNECT_SECONDS,
    RESOLVE_SECONDS,
    TLS_SECONDS,
    DialGuard,
    NotAllowedError,
)
from sluice_media.pull.failures import (
    Outcome,
    PullFailure,
    from_dial_error,
    from_http_status,
)
from sluice_media.pull.playlist import MAX_PLAYLIST_BYTES, is_playlist, rewrite_playlist
from sluice_media.pull.uri import InvalidUriError, PullUri, parse_pull_uri

MAX_REDIRECTS = 5
MAX_NAMES = 4_096
"""Maximum number of URLs that a child may request. The oldest are forgotten."""
MAX_REQUESTS = 16
READ_SECONDS = 15.0
"""Timeout between two reads of a body. The pull's state machine normally ends a try sooner."""
_CHUNK_BYTES = 64 << 10
_HEAD_BYTES = 16
_EXTENSIONS = frozenset({"ts", "m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "aac", "m3u8"})
_PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _GuardedResolver(AbstractResolver):
    """A resolver that returns checked addresses only. aiohttp dials exactly these."""

    def __init__(self, guard: DialGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.addresses(host)
        ]

    async def close(self) -> None:
        """Do nothing: the resolver holds no resources."""


class _FetchError(Exception):
    """A request that failed, with the failure to report."""

    def __init__(self, failure: PullFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class HttpProxy:
    """The proxy of one child and the URLs that it may request. Made by :func:`http_proxy`."""

    def __init__(
        self,
        uri: PullUri,
        guard: DialGuard,
        http: aiohttp.ClientSession,
        tls: ssl.SSLContext,
        problem: Callable[[PullFailure], None],
    ) -> None:
        self._uri = uri
        self._guard = guard
        self._http = http
        self._tls = tls
        self._problem = problem
        self._host = f"{secrets.token_hex(16)}.invalid"
        self._urls: OrderedDict[str, str] = OrderedDict()
        """URLs by name, the oldest first."""
        self._names: dict[str, str] = {}
        """Names by URL."""
        self._count = 0
        self._answering: set[asyncio.Task[object]] = set()
        self.port = 0
        self._root = ""
        self._root = self._name(uri.url)

    @property
    def url(self) -> str:
        """URL that the child opens. It reveals nothing about the source."""
        return f"http://{self._host}/{self._root}"

    @property
    def proxy_url(self) -> str:
        """URL of the proxy itself."""
        return f"http://127.0.0.1:{self.port}"

    def _name(self, url: str) -> str:
        """Return the name under which the child may request a URL."""
        name = self._names.get(url)
        if name is None:
            extension = urlsplit(url).path.rpartition(".")[2].lower()
            # FFmpeg refuses segments without a media file's extension.
            ending = extension if extension in _EXTENSIONS else "ts"
            name = f"{self._count}.{ending}"
            self._count += 1
            self._names[url] = name
        self._urls[name] = url
        self._urls.move_to_end(name)
        while len(self._urls) > MAX_NAMES:
            self._names.pop(self._urls.popitem(last=False)[1], None)
        if self._root in self._urls:
            self._urls.move_to_end(self._root)
        return name

    def hang_up(self) -> None:
        """End every request and refuse new ones."""
        self._urls.clear()
        for answering in self._answering:
            answering.cancel()

    # ------------------------------------------------------------------ the child's side

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of the child."""
        requested = urlsplit(request.raw_path if "://" in request.raw_path else str(request.url))
        name = requested.path.removeprefix("/")
        url = self._urls.get(name)
        if (
            request.method != "GET"
            or requested.hostname != self._host
            or requested.scheme != "http"
        ):
            self._problem(
                PullFailure(
                    Outcome.NOT_ALLOWED, f"{self._uri.place} refers to a place that is not allowed."
                )
            )
            return web.Response(status=403)
        if url is None:
            return web.Response(status=404)
        task = asyncio.current_task()
        if len(self._answering) >= MAX_REQUESTS or task is None:
            return web.Response(status=503)
        self._answering.add(task)
        try:
            return await self._answer(request, url, is_root=name == self._root)
        except _FetchError as error:
            self._problem(error.failure)
            return web.Response(status=502)
        finally:
            self._answering.discard(task)

    async def _answer(
        self, request: web.BaseRequest, url: str, *, is_root: bool
    ) -> web.StreamResponse:
        byte_range = request.headers.get("Range", "")
        response = await self._fetch(url, "" if byte_range == "bytes=0-" else byte_range)
        try:
            place = _place(str(response.url))
            if (refused := from_http_status(response.status, place)) is not None:
                if is_root:
                    self._problem(refused)
                return web.Response(status=response.status)
            try:
                head = await _read_head(response.content)
                if is_playlist(head):
                    return await self._playlist(head, response)
                return await _copy(request, response, head)
            except (aiohttp.ClientError, TimeoutError) as broken:
                raise _FetchError(
                    PullFailure(Outcome.RESET, f"{place} ended the connection during an answer.")
                ) from broken
        finally:
            response.close()

    async def _playlist(self, head: bytes, response: aiohttp.ClientResponse) -> web.Response:
        body = bytearray(head)
        async for part in response.content.iter_chunked(_CHUNK_BYTES):
            body += part
            if len(body) > MAX_PLAYLIST_BYTES:
                raise _FetchError(
                    PullFailure(Outcome.NO_MEDIA, "The playlist is larger than 1 MiB.")
                )
        base = str(response.url)

        def rename(written: str) -> str:
            url = urljoin(base, written)
            parse_pull_uri(url)
            if not url.startswith(("http://", "https://")):
                raise InvalidUriError("A playlist may only refer to http:// and https://.")
            return f"http://{self._host}/{self._name(url)}"

        try:
            text = rewrite_playlist(bytes(body).decode("utf-8", "replace"), rename)
        except ValueError as refused:
            raise _FetchError(
                PullFailure(
                    Outcome.NOT_ALLOWED,
                    f"The playlist of {_place(base)} refers to a place that is not allowed.",
                )
            ) from refused
        return web.Response(text=text, content_type=_PLAYLIST_TYPE)

    # ------------------------------------------------------------------ the source's side

    async def _fetch(self, url: str, byte_range: str) -> aiohttp.ClientResponse:
        """Return the response after all redirects. Raise _FetchError."""
        for _ in range(MAX_REDIRECTS + 1):
            place = _place(url)
            try:
                response = await self._request(url, byte_range)
            except NotAllowedError as refused:
                raise _FetchError(PullFailure(Outcome.NOT_ALLOWED, str(refused))) from refused
            except aiohttp.ClientConnectorError as error:
                raise _FetchError(_dial_failure(error, place)) from error
            except (TimeoutError, OSError) as error:
                failure = error if isinstance(error, OSError) else TimeoutError()
                raise _FetchError(from_dial_error(failure, place)) from error
            except aiohttp.ClientError as error:
                raise _FetchError(
                    PullFailure(Outcome.NO_MEDIA, f"{place} breaks the HTTP protocol.")
                ) from error
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            try:
                url = urljoin(url, location)
                if parse_pull_uri(url).scheme not in ("http", "https"):
                    raise InvalidUriError("A redirect may only lead to http:// and https://.")
            except ValueError as invalid:
                raise _FetchError(
                    PullFailure(
                        Outcome.REDIRECTED,
                        f"{place} redirects to a URI that cannot be pulled over HTTP.",
                    )
                ) from invalid
        raise _FetchError(
            PullFailure(Outcome.REDIRECTED, f"{self._uri.place} redirects in a circle.")
        )

    async def _request(self, url: str, byte_range: str) -> aiohttp.ClientResponse:
        uri = parse_pull_uri(url)
        # aiohttp calls the resolver for names only, so a literal address is checked here.
        self._guard.rules.host(uri.host)
        headers = {"User-Agent": "Sluice", "Accept": "*/*", "Accept-Encoding": "identity"}
        if byte_range:
            headers["Range"] = byte_range
        login = uri if uri.user or uri.password else self._uri
        if (login.user or login.password) and uri.place == login.place:
            pair = f"{login.user}:{login.password}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        # The URL has no login, is encoded already and must not be changed.
        return await self._http.get(
            URL(uri.url, encoded=True), headers=headers, allow_redirects=False, ssl=self._tls
        )


def _place(url: str) -> str:
    try:
        return parse_pull_uri(url).place
    except InvalidUriError:
        return "The source"


def _dial_failure(error: aiohttp.ClientConnectorError, place: str) -> PullFailure:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return from_dial_error(
            error.certificate_error
            if isinstance(error.certificate_error, ssl.SSLError)
            else ssl.SSLError(),
            place,
        )
    return from_dial_error(error.os_error, place)


async def _read_head(content: aiohttp.StreamReader) -> bytes:
    head = b""
    while len(head) < _HEAD_BYTES and (part := await content.read(_HEAD_BYTES - len(head))):
        head += part
    return head


async def _copy(
    request: web.BaseRequest, response: aiohttp.ClientResponse, head: bytes
) -> web.StreamResponse:
    answer = web.StreamResponse(status=response.status)
    for name in ("Content-Type", "Content-Range"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    length = response.content_length
    if length is not None:
        answer.content_length = length
    await answer.prepare(request)
    try:
        await answer.write(head)
        async for part in response.content.iter_chunked(_CHUNK_BYTES):
            await answer.write(part)
        await answer.write_eof()
    except ConnectionError:
        # The child closed the connection: it needs no more data, or it was stopped.
        request.protocol.force_close()
    return answer


@asynccontextmanager
async def http_proxy(
    uri: PullUri,
    guard: DialGuard,
    tls: ssl.SSLContext,
    problem: Callable[[PullFailure], None],
) -> AsyncIterator[HttpProxy]:
    """Yield the proxy of one child, which runs until the context ends.

    ``problem`` is called with each failure of the source.
    """
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(guard), use_dns_cache=False, limit=MAX_REQUESTS
    )
    # aiohttp dials the addresses side by side itself (RFC 8305).
    dial_seconds = CONNECT_SECONDS + TLS_SECONDS
    timeout = aiohttp.ClientTimeout(
        total=None,
        sock_connect=dial_seconds,
        connect=RESOLVE_SECONDS + dial_seconds,
        sock_read=READ_SECONDS,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
    ) as http:
        proxy = HttpProxy(uri, guard, http, tls, problem)
        runner = web.ServerRunner(web.Server(proxy.serve, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=MAX_REQUESTS).start()
            proxy.port = int(runner.addresses[0][1])
            yield proxy
        finally:
            await asyncio.shield(runner.cleanup())
