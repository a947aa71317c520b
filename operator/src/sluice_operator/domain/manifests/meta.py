"""Names and labels of children."""

from __future__ import annotations

from typing import Any

from sluice_operator.domain.names import (
    KIND_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    ROLE_LABEL,
    UID_LABEL,
)
from sluice_operator.domain.owner import Owner

Manifest = dict[str, Any]


def labels(owner: Owner) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": f"sluice-{owner.role}",
        "app.kubernetes.io/part-of": "sluice",
        "app.kubernetes.io/instance": owner.name,
        MANAGED_BY_LABEL: MANAGED_BY,
        ROLE_LABEL: owner.role,
        KIND_LABEL: owner.kind,
        NAME_LABEL: owner.name,
        UID_LABEL: owner.uid,
    }


def selector(owner: Owner) -> dict[str, str]:
    """Return labels with the uid, so that a new object never adopts pods of an earlier one."""
    return {ROLE_LABEL: owner.role, UID_LABEL: owner.uid}


def metadata(owner: Owner, name: str, annotations: dict[str, str] | None = None) -> Manifest:
    found: Manifest = {"name": name, "namespace": owner.namespace, "labels": labels(owner)}
    return found | ({"annotations": annotations} if annotations else {})
