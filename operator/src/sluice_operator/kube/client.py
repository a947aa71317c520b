"""Requests to the API server: raw JSON objects in and out, and a typed error for each failure.

The generated classes of ``kubernetes.aio`` are not used. They cost megabytes and would drop fields
of newer servers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import Configuration

from sluice_operator.kube.errors import UnavailableError, error_of
from sluice_operator.kube.login import load_configuration
from sluice_operator.kube.resources import SECRETS, Resource, resource_of
from sluice_operator.kube.transport import CONNECTIONS, JSON, HttpRequest, Transport

FIELD_MANAGER = "sluice-operator"

Manifest = dict[str, Any]

_MERGE_PATCH = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_LIST_CHUNK = 500


@dataclass(slots=True)
class ListPage:
    """Objects of a list."""

    items: list[Manifest]
    resource_version: str
    """Resource version of the whole list: the items are consistent with it."""


class KubeClient:
    """A client of the API server with its own connections; safe to use from many tasks.

    ``on_request(verb, kind)`` is called for each request that was answered, for the metrics.
    ``connections``: see `Transport`.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_request: Callable[[str, str], None] = lambda verb, kind: None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._transport = Transport(configuration, connections=connections)
        self._on_request = on_request

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        on_request: Callable[[str, str], None] = lambda verb, kind: None,
        *,
        connections: int = CONNECTIONS,
    ) -> AsyncIterator[KubeClient]:
        """Log in; close the connections when the context ends. Raises LoginError."""
        client = cls(await load_configuration(), on_request=on_request, connections=connections)
        try:
            yield client
        finally:
            await client.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    # ------------------------------------------------------------------ reading

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """Return an object. Raises NotFoundError."""
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

        Raises ExpiredError (410) when the list took too long."""
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
                accept=_METADATA_LIST if metadata_only else JSON,
            )
            for item in page.get("items") or ():
                # The API server omits apiVersion and kind in the items of a list.
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
                items.append(item)
            token = page["metadata"].get("continue", "")
            if at_most or not token:
                return ListPage(items, page["metadata"].get("resourceVersion", ""))

    async def served(self, group: str, version: str) -> set[str]:
        """Return the plural names of the kinds in a group's version; empty without the group."""
        code, body = await self._transport.send(HttpRequest("GET", f"/apis/{group}/{version}"))
        if code == 404:
            return set()
        document = _checked(code, body, secret=False)
        return {r["name"] for r in document.get("resources", ()) if "/" not in r["name"]}

    # ------------------------------------------------------------------ writing

    async def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Create an object. Raises AlreadyExistsError when the name is taken."""
        resource = resource_of(manifest)
        path = resource.path(manifest["metadata"]["namespace"])
        return await self._request(
            "create", resource, "POST", path, body=manifest, query={"fieldManager": FIELD_MANAGER}
        )

    async def apply(self, manifest: Mapping[str, Any]) -> Manifest:
        """Apply an object on the server side with our field manager, by force.

        ``metadata.uid`` and ``metadata.resourceVersion`` in the manifest are preconditions. Raises
        ConflictError when the object has another uid or version.
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
        """Replace an object (PUT).

        Raises ConflictError unless ``metadata`` has the object's resourceVersion and uid."""
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
        """Send a JSON merge patch.

        ``metadata.uid`` and ``metadata.resourceVersion`` in the patch are preconditions."""
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
        """Delete the object with this uid. Raises ConflictError if the name has another uid."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            # The default for a Job over REST would leave its pods in the cluster.
            "propagationPolicy": "Background",
        }
        path = resource.path(namespace, name)
        await self._request("delete", resource, "DELETE", path, body=body)

    # ------------------------------------------------------------------ the pod proxy

    def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request, such as one to the pod proxy; yield the response as its body arrives."""
        request = HttpRequest(method, path, body, headers=headers)
        return self._transport.stream(request, timeout)

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
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Manifest:
        target = f"{path}?{urlencode(query)}" if query else path
        request = HttpRequest(method, target, body, content_type, {"Accept": accept})
        code, raw = await self._transport.send(request)
        self._on_request(verb, resource.kind)
        return _checked(code, raw, secret=resource is SECRETS)


def _checked(code: int, raw: bytes, *, secret: bool) -> Manifest:
    """Return the JSON document of an answer. Raises the ApiError for its HTTP status."""
    try:
        document: Manifest = json.loads(raw) if raw else {}
    except ValueError as error:
        raise UnavailableError(f"the API server answered {code} with no JSON") from error
    if code < 300:
        return document
    reason = str(document.get("reason", ""))
    # The message about a refused Secret quotes its content.
    message = reason if secret else str(document.get("message", "")) or f"HTTP {code}"
    causes = {c.get("reason", "") for c in (document.get("details") or {}).get("causes") or ()}
    raise error_of(code, reason, message, causes)
