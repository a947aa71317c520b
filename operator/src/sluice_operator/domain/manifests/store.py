"""The store pod of a MediaStore, its claim, and the MediaStore that a namespace gets by itself."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import STORE_PORT, StoreConfig
from sluice_operator.api.v1alpha1 import DEFAULT_STORE, MediaStore, MediaStoreSpec
from sluice_operator.api.v1alpha1.mediastore import ClaimTemplate
from sluice_operator.domain.manifests.keys import own_token
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.names import API_VERSION, NAME_LABEL, child_name
from sluice_operator.domain.observed import DefaultStore, DomainSettings, Raw
from sluice_operator.domain.owner import Owner

__all__ = [
    "claim_manifest",
    "claim_name",
    "default_store_manifest",
    "store_config",
    "store_template",
]

_GRACE_SECONDS = 30


def claim_name(store: Raw) -> str:
    """The PersistentVolumeClaim of a MediaStore: the one it names, or the one made for it."""
    spec = MediaStoreSpec.model_validate(store["spec"])
    named = spec.persistent_volume_claim.claim_name
    return named or child_name(store["metadata"]["name"], "store")


def claim_manifest(owner: Owner, template: ClaimTemplate) -> dict[str, Any]:
    """A claim without an owner, so that the recordings outlive the MediaStore.

    Its only label of identity is the MediaStore's name: whoever makes a MediaStore of this name
    again finds the recordings again."""
    spec: dict[str, Any] = {
        "accessModes": [str(mode) for mode in template.access_modes],
        "resources": {"requests": {"storage": template.size}},
    }
    if template.storage_class_name is not None:
        spec["storageClassName"] = template.storage_class_name
    head = metadata(owner, owner.workload_name)
    head["labels"] = {
        "app.kubernetes.io/name": "sluice-store",
        "app.kubernetes.io/part-of": "sluice",
        "app.kubernetes.io/managed-by": "sluice",
        NAME_LABEL: owner.name,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": head, "spec": spec}


def default_store_manifest(namespace: str, template: DefaultStore) -> dict[str, Any]:
    claim: dict[str, Any] = {"size": template.size}
    if template.storage_class_name is not None:
        claim["storageClassName"] = template.storage_class_name
    return {
        "apiVersion": API_VERSION,
        "kind": MediaStore.crd.kind,
        "metadata": {"name": DEFAULT_STORE, "namespace": namespace},
        "spec": {"persistentVolumeClaim": {"template": claim}},
    }


def store_config(owner: Owner, claim: str) -> StoreConfig:
    return StoreConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        uri_base=f"pvc://{claim}/",
    )


def store_template(owner: Owner, settings: DomainSettings, claim: str) -> dict[str, Any]:
    shape = PodShape(
        keys=(own_token(owner),),
        ports=(("store", STORE_PORT),),
        claim=claim,
        grace_seconds=_GRACE_SECONDS,
    )
    return pod_template(owner, settings, shape)
