"""The result of a `decide()`: the complete desired state, not a list of steps.

One pass of the engine is gather -> ``decide(observed, now)`` -> apply children -> delete ->
finalizer -> one status write. So a decision names every child that must exist, the whole status,
and the time of the next pass. The engine finds the differences from the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Manifest = Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Condition:
    """A Kubernetes condition without its time; the engine adds ``lastTransitionTime``."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


@dataclass(slots=True, frozen=True)
class Child:
    """An object that must exist, owned by the object that the decision is about.

    The engine adds the controller owner reference (``blockOwnerDeletion: false``), the managed-by
    label and the spec hash. It never changes an object that another controller owns.
    """

    manifest: Manifest
    """apiVersion, kind, metadata.name, and the fields to set by server-side apply."""
    create_only: bool = False
    """Created once and never applied again (Jobs)."""
    owned: bool = True
    """False: no owner reference, so that the object outlives its owner (a MediaStore's claim)."""
    optional: bool = False
    """Created after everything else. A refusal does not stop the pass: it is posted as an event,
    and the object is tried again."""
    over_version: str = ""
    """The resource version that the manifest was made from. Set when the manifest repeats values
    that a user may change (a token): it replaces that version only. If the object has another
    version, the pass starts again."""


@dataclass(slots=True, frozen=True)
class Deletion:
    """A child to delete, with the event for it."""

    api_version: str
    kind: str
    name: str
    uid: str
    reason: str = ""
    """Reason of the event, e.g. RecorderFinished; empty when the deletion makes no event."""
    text: str = ""
    """Message of the event."""


@dataclass(slots=True, frozen=True)
class PodConfigHash:
    """An annotation to patch onto a pod, so that its kubelet refreshes the mounts at once."""

    pod_name: str
    pod_uid: str
    value: str


@dataclass(slots=True, frozen=True)
class PodAnnotations:
    """Annotations to patch onto a running pod. Its template does not have them."""

    pod_name: str
    pod_uid: str
    values: Mapping[str, str | None]
    """Name -> value; None removes the annotation."""


@dataclass(slots=True, frozen=True)
class StoreCall:
    """An idempotent request to a store pod about a Recording (``/v1/recordings/<uid>``)."""

    store_name: str
    body: Mapping[str, Any]
    """A `sluice_media.contract.StoredRecording` as JSON."""
    occasion: str
    """The news in the request. The store is called once for each occasion."""
    delete: bool = False
    """DELETE instead of PUT; then only the uid in the body counts."""


@dataclass(slots=True, frozen=True)
class Notice:
    """An event that no condition's transition causes. It is posted in each pass that decides it."""

    type: Literal["Normal", "Warning"]
    reason: str
    text: str


@dataclass(slots=True, frozen=True)
class Decision:
    """The desired state of one object."""

    status: Mapping[str, Any]
    """The whole status without its conditions."""
    conditions: tuple[Condition, ...]
    """All conditions that must exist; a type that is missing here is removed."""
    children: tuple[Child, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    pod_config_hashes: tuple[PodConfigHash, ...] = ()
    pod_annotations: tuple[PodAnnotations, ...] = ()
    store_calls: tuple[StoreCall, ...] = ()
    status_when_acknowledged: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are added to the status only when the store acknowledged every call."""
    notices: tuple[Notice, ...] = ()
    finalizer: bool = False
    """True: our finalizer must be on the object."""
    requeue_after_seconds: float | None = None
    """Time until the next pass if nothing changes; None when only a change causes one."""
    event_reasons: Mapping[str, str] = field(default_factory=dict)
    """Condition type -> event type (Normal or Warning) of the event that its transition makes. A
    type that is missing here makes no event."""
