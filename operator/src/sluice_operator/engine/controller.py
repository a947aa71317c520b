"""What a kind brings along to be reconciled, and what the engine needs of the world."""

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
    """A kind: ``gather`` does the I/O, ``decide`` is pure."""

    @property
    def resource(self) -> Resource: ...

    async def gather(self, obj: Manifest) -> O:
        """Everything that the decision needs. Raises ApiError."""

    def decide(self, observed: O, now: datetime) -> Decision: ...


class StoreCaller(Protocol):
    async def call(self, namespace: str, call: StoreCall) -> None:
        """Raises ApiError (UnavailableError) when the store did not take it."""


class Api(Protocol):
    """What the engine asks of the API server; :class:`sluice_operator.kube.client.KubeClient`."""

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
