"""A namespace that goes with the test, and its pods with it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.kubectl import Kubectl

__all__ = ["RESTRICTED", "own_namespace"]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@contextmanager
def own_namespace(
    kubectl: Kubectl, prefix: str, labels: Mapping[str, str] | None = None
) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace, which is told to go afterwards."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    metadata = {"name": name, "labels": dict(labels or {})}
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    inside = kubectl.within(name)
    try:
        yield inside
    finally:
        _end(inside)


def _end(kubectl: Kubectl) -> None:
    """Does not wait. Nothing new starts in a namespace that ends; what runs has one second, so
    that it takes no CPU from the tests that follow."""
    api = kubectl.api
    api.request("DELETE", api.resource("namespace").path("", kubectl.namespace))
    pods = api.resource("pods").path(kubectl.namespace)
    api.request("DELETE", pods, {"gracePeriodSeconds": 1})
