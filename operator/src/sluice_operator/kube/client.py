"""Requests to the API server: raw JSON objects in and out, one typed error for each way to fail.

On top of ``kubernetes.aio``: its configuration (kubeconfig, in-cluster, token refresh) and its
REST client (TLS, connection pool). The generated classes are left out: they cost megabytes and
would drop fields of newer servers.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from sluice_operator.kube.errors import UnauthorizedError, UnavailableError, error_of
from sluice_operator.kube.login import LoginError, authorization, load_configuration
from sluice_operator.kube.resources import SECRETS, Resource, resource_of

FIELD_MANAGER = "sluice-operator"

Manifest = dict[str, Any]

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_LIST_CHUNK = 500
_RELOGIN_SECONDS = 5.0
_USER_AGENT = f"{FIELD_MANAGER} (kubernetes.aio)"
_CONNECTIONS = 100
_TIMEOUT = aiohttp.ClientTimeout(total=15.0, sock_connect=5.0)
"""For one request; long polls through the pod proxy bring their own."""


@dataclass(slots=True)
class ListPage:
    items: list[Manifest]
    resource_version: str
    """Of the whole list: what the items are consistent with."""


@asynccontextmanager
async def _transport_errors() -> AsyncIterator[None]:
    """Turns what aiohttp raises into :class:`UnavailableError`."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        detail = str(error) or type(error).__name__
        raise UnavailableError(f"the API server cannot be reached: {detail}") from error
    except TimeoutError as error:
        raise UnavailableError("the API server did not answer in time") from error


class KubeClient:
    """A client with connections of its own; safe to use from many tasks.

    ``on_request(verb, kind)`` is called for each request that was answered, for the metrics.
    ``connections`` is how many there may be at the same time; further requests wait. Streams are
    not among them, because each holds a connection for as long as it lasts.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_request: Callable[[str, str], None] = lambda verb, kind: None,
        connections: int = _CONNECTIONS,
    ) -> None:
        self._connections = connections
        self._use(configuration)
        self._on_request = on_request
        self._logged_in_at = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        on_request: Callable[[str, str], None] = lambda verb, kind: None,
        *,
        connections: int = _CONNECTIONS,
    ) -> AsyncIterator[KubeClient]:
        """Logs in (LoginError) and closes the connections at the end."""
        client = cls(await load_configuration(), on_request=on_request, connections=connections)
        try:
            yield client
        finally:
            await client.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()
        await self._streams.close()

    # ------------------------------------------------------------------ reading

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        return await self._request("get", resource, "GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        at_most: int | None = None,
    ) -> ListPage:
        """Return the objects of a kind, read in chunks; with ``at_most``, one chunk of that size.

        ExpiredError lists begin anew once (410)."""
        items: list[Manifest] = []
        token = ""
        while True:
            query = {"limit": str(at_most or _LIST_CHUNK)}
            if label_selector:
                query["labelSelector"] = label_selector
            if field_selector:
                query["fieldSelector"] = field_selector
            if token:
                query["continue"] = token
            page = await self._request(
                "list",
                resource,
                "GET",
                resource.path(namespace),
                query=query,
                accept=_METADATA_LIST if metadata_only else _JSON,
            )
            for item in page.get("items") or ():
                # Items of a list come without these two.
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
                items.append(item)
            token = page["metadata"].get("continue", "")
            if at_most or not token:
                return ListPage(items, page["metadata"].get("resourceVersion", ""))

    async def served(self, group: str, version: str) -> set[str]:
        """The plural names of what a group's version serves; empty when there is no such group."""
        code, body = await self._send("GET", f"/apis/{group}/{version}")
        if code == 404:
            return set()
        document = _checked(code, body, secret=False)
        return {r["name"] for r in document.get("resources", ()) if "/" not in r["name"]}

    # ------------------------------------------------------------------ writing

    async def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Raises AlreadyExistsError when the name is taken."""
        resource = resource_of(manifest)
        path = resource.path(manifest["metadata"]["namespace"])
        return await self._request(
            "create", resource, "POST", path, body=manifest, query={"fieldManager": FIELD_MANAGER}
        )

    async def apply(self, manifest: Mapping[str, Any]) -> Manifest:
        """Server-side apply with our field manager, by force.

        With ``metadata.uid`` in the manifest the object must exist and be that one, and with
        ``metadata.resourceVersion`` it must be in that version, else ConflictError.
        """
        resource, meta = resource_of(manifest), manifest["metadata"]
        return await self._request(
            "apply",
            resource,
            "PATCH",
            resource.path(meta["namespace"], meta["name"]),
            body=manifest,
            content_type=_APPLY,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
        )

    async def replace(self, manifest: Mapping[str, Any], subresource: str = "") -> Manifest:
        """PUT; ConflictError unless ``metadata`` has the object's resourceVersion and uid."""
        resource, meta = resource_of(manifest), manifest["metadata"]
        return await self._request(
            "update",
            resource,
            "PUT",
            resource.path(meta["namespace"], meta["name"], subresource or None),
            body=manifest,
            query={"fieldManager": FIELD_MANAGER},
        )

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> Manifest:
        """JSON merge patch; ``metadata.uid`` and ``resourceVersion`` in it are preconditions."""
        return await self._request(
            "patch",
            resource,
            "PATCH",
            resource.path(namespace, name),
            body=patch,
            content_type=_MERGE_PATCH,
            query={"fieldManager": FIELD_MANAGER},
        )

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Deletes this very object (ConflictError if the name belongs to another by now)."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            # The default of batch/v1 over REST would leave the pods behind.
            "propagationPolicy": "Background",
        }
        path = resource.path(namespace, name)
        await self._request("delete", resource, "DELETE", path, body=body)

    # ------------------------------------------------------------------ the pod proxy

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request whose answer is read as it comes (through the API server's pod proxy)."""
        async with _transport_errors():
            response = await self._open(
                method, path, _JSON, dict(headers), body, timeout, self._streams
            )
        try:
            yield response
        finally:
            response.close()

    # ------------------------------------------------------------------ inside

    async def _request(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Manifest:
        target = f"{path}?{urlencode(query)}" if query else path
        code, raw = await self._send(method, target, content_type, accept, body)
        self._on_request(verb, resource.kind)
        return _checked(code, raw, secret=resource is SECRETS)

    async def _send(
        self,
        method: str,
        target: str,
        content_type: str = _JSON,
        accept: str = _JSON,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, bytes]:
        headers = {"Accept": accept}
        for last_try in (False, True):
            async with _transport_errors():
                response = await self._open(
                    method, target, content_type, headers, body, _TIMEOUT, self._rest
                )
                async with response:
                    raw = await response.read()
            if response.status == 401 and not last_try and await self._log_in_again():
                continue
            break
        if response.status in (429, 503):
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else None
            raise UnavailableError(
                f"the API server is busy ({response.status})", retry_after_seconds=seconds
            )
        return response.status, raw

    async def _open(
        self,
        method: str,
        target: str,
        content_type: str,
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        timeout: aiohttp.ClientTimeout,
        pool: RESTClientObject,
    ) -> aiohttp.ClientResponse:
        answer = await pool.request(  # type: ignore[no-untyped-call]
            method,
            self._configuration.host + target,
            headers={
                "User-Agent": _USER_AGENT,
                **headers,
                **await authorization(self._configuration),
                "Content-Type": content_type,
            },
            body=body,
            _request_timeout=timeout,
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _log_in_again(self) -> bool:
        """Fresh credentials after a 401; not more often than every few seconds."""
        if time.monotonic() - self._logged_in_at < _RELOGIN_SECONDS:
            return False
        self._logged_in_at = time.monotonic()
        former = self._rest, self._streams
        try:
            self._use(await load_configuration())
        except LoginError as error:
            raise UnauthorizedError(str(error)) from error
        for pool in former:
            await pool.close()
        return True

    def _use(self, configuration: Configuration) -> None:
        self._configuration = configuration
        configuration.connection_pool_maxsize = self._connections
        self._rest = RESTClientObject(configuration)
        configuration.connection_pool_maxsize = 0  # no limit
        self._streams = RESTClientObject(configuration)


def _checked(code: int, raw: bytes, *, secret: bool) -> Manifest:
    """The document of an answer, or the error that it stands for."""
    try:
        document: Manifest = json.loads(raw) if raw else {}
    except ValueError as error:
        raise UnavailableError(f"the API server answered {code} with no JSON") from error
    if code < 300:
        return document
    reason = str(document.get("reason", ""))
    # A refused Secret is quoted in the message.
    message = reason if secret else str(document.get("message", "")) or f"HTTP {code}"
    causes = {c.get("reason", "") for c in (document.get("details") or {}).get("causes") or ()}
    raise error_of(code, reason, message, causes)
