"""What a `decide()` hands to the engine: the complete wish, not a list of steps.

One pass of the engine is gather -> ``decide(observed, now)`` -> apply children -> delete ->
finalizer -> one status write. A decision therefore names every child that shall exist, the whole
status, and when to look again; the engine finds out what differs from the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Manifest = Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Condition:
    """A Kubernetes condition without its times; the engine keeps ``lastTransitionTime``."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


@dataclass(slots=True, frozen=True)
class Child:
    """An object that shall exist, owned by the object decided about.

    The engine adds the controller owner reference (``blockOwnerDeletion: false``), the managed-by
    label and the spec hash, and refuses to touch an object that somebody else controls.
    """

    manifest: Manifest
    """apiVersion, kind, metadata.name, and what is to be set: for server-side apply."""
    create_only: bool = False
    """Made once and never applied again (Jobs)."""
    owned: bool = True
    """False: no owner reference, so that it outlives its maker (a MediaStore's claim)."""
    optional: bool = False
    """Made after everything else, and a refusal keeps nothing else from being done: it is posted as
    an event and tried again."""
    over_version: str = ""
    """The resource version that the manifest was made from, when it repeats values that a user may
    change (a token): it is written over that version only, else everything is gathered again."""


@dataclass(slots=True, frozen=True)
class Deletion:
    api_version: str
    kind: str
    name: str
    uid: str
    reason: str = ""
    """One word for the event, e.g. RecorderFinished; empty: no event, another one says it."""
    text: str = ""
    """The sentence for the event."""


@dataclass(slots=True, frozen=True)
class PodConfigHash:
    """Patch this annotation onto a pod, so that its kubelet refreshes the mounts at once."""

    pod_name: str
    pod_uid: str
    value: str


@dataclass(slots=True, frozen=True)
class PodAnnotations:
    """Annotations to be patched onto a running pod; its template knows nothing of them."""

    pod_name: str
    pod_uid: str
    values: Mapping[str, str | None]
    """None: the annotation is removed."""


@dataclass(slots=True, frozen=True)
class StoreCall:
    """Tell a store pod of a Recording, or to delete it (``/v1/recordings/<uid>``); idempotent."""

    store_name: str
    body: Mapping[str, Any]
    """A `sluice_media.contract.StoredRecording` as JSON."""
    occasion: str
    """What is new to the store: it is told once for each occasion."""
    delete: bool = False
    """DELETE instead of PUT; of the body only the uid counts."""


@dataclass(slots=True, frozen=True)
class Notice:
    """An event that no condition's transition tells. It is posted each time that it is decided."""

    type: Literal["Normal", "Warning"]
    reason: str
    text: str


@dataclass(slots=True, frozen=True)
class Decision:
    status: Mapping[str, Any]
    """The whole status but its conditions."""
    conditions: tuple[Condition, ...]
    """All conditions that shall exist; a type that is missing here is removed."""
    children: tuple[Child, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    pod_config_hashes: tuple[PodConfigHash, ...] = ()
    pod_annotations: tuple[PodAnnotations, ...] = ()
    store_calls: tuple[StoreCall, ...] = ()
    status_when_told: Mapping[str, Any] = field(default_factory=dict)
    """Fields that become part of the status only when the store took every call."""
    notices: tuple[Notice, ...] = ()
    finalizer: bool = False
    """Whether our finalizer shall be on the object now."""
    requeue_after_seconds: float | None = None
    """Look again after so long even if nothing changes; None: only when something does."""
    event_reasons: Mapping[str, str] = field(default_factory=dict)
    """Condition type -> event type (Normal or Warning) for a transition into this state; a type
    that is missing here makes no event."""
