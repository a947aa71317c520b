"""A namespace that is deleted after the test, with its pods."""

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
    """Yield kubectl in a new namespace; delete the namespace afterwards."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    metadata = {"name": name, "labels": dict(labels or {})}
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    inside = kubectl.within(name)
    try:
        yield inside
    finally:
        _end(inside)


def _end(kubectl: Kubectl) -> None:
    """Delete the namespace without waiting. Nothing new starts in it. Running pods get one second
    to end, so that they take no CPU from later tests."""
    api = kubectl.api
    api.request("DELETE", api.resource("namespace").path("", kubectl.namespace))
    pods = api.resource("pods").path(kubectl.namespace)
    api.request("DELETE", pods, {"gracePeriodSeconds": 1})
