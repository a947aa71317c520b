"""Interfaces of the engine: a controller per kind, the API server, and the client of the stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sluice_operator.domain.decision import Decision, StoreCall
from sluice_operator.engine.cache import Manifest
from sluice_operator.kube.client import ListPage
from sluice_operator.kube.resources import Resource

O = TypeVar("O")  # noqa: E741  the observed state of a kind


class Controller(Protocol[O]):
    """The reconciliation of one kind: ``gather`` does the I/O, ``decide`` is pure."""

    @property
    def resource(self) -> Resource:
        """The kind, as the API server serves it."""

    async def gather(self, obj: Manifest) -> O:
        """Collect all facts that the decision needs. Raises ApiError."""

    def decide(self, observed: O, now: datetime) -> Decision:
        """Return the decision for the facts. Raises InvalidSpecError."""


class StoreCaller(Protocol):
    """Client of the store pods."""

    async def call(self, namespace: str, call: StoreCall) -> None:
        """Send a call to a store. Raises ApiError when the store does not accept it."""


class Api(Protocol):
    """Requests to the API server; see :class:`sluice_operator.kube.client.KubeClient`."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]: ...

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        at_most: int | None = None,
    ) -> ListPage: ...

    async def served(self, group: str, version: str) -> set[str]: ...

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]: ...

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]: ...

    async def replace(
        self, manifest: Mapping[str, Any], subresource: str = ""
    ) -> dict[str, Any]: ...

    async def merge_patch(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]: ...

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None: ...
