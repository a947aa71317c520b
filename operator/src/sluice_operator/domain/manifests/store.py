"""The store pod of a MediaStore, its claim, and the default MediaStore of a namespace."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import STORE_PORT, StoreConfig
from sluice_operator.api.v1alpha1 import DEFAULT_STORE, MediaStore, MediaStoreSpec
from sluice_operator.api.v1alpha1.mediastore import ClaimTemplate
from sluice_operator.domain.manifests.keys import own_token
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.manifests.place import StorePlace
from sluice_operator.domain.manifests.pod import PodShape, pod_template
from sluice_operator.domain.names import API_VERSION, NAME_LABEL
from sluice_operator.domain.observed import DefaultBucket, DefaultStore, DomainSettings
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.quantities import bytes_of

_GRACE_SECONDS = 30


def claim_manifest(owner: Owner, template: ClaimTemplate) -> dict[str, Any]:
    """Return a claim without an owner, so that the recordings outlive the MediaStore.

    It is labelled with the MediaStore's name only, not with its uid. So a new MediaStore of this
    name uses the claim again."""
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
    spec: dict[str, Any] = {}
    if template.bucket is not None:
        spec["s3"] = _default_s3(namespace, template.bucket)
    else:
        claim: dict[str, Any] = {"size": template.size}
        if template.storage_class_name is not None:
            claim["storageClassName"] = template.storage_class_name
        spec["persistentVolumeClaim"] = {"template": claim}
    if template.limit:
        spec["limit"] = template.limit
    return {
        "apiVersion": API_VERSION,
        "kind": MediaStore.crd.kind,
        "metadata": {"name": DEFAULT_STORE, "namespace": namespace},
        "spec": spec,
    }


def _default_s3(namespace: str, template: DefaultBucket) -> dict[str, Any]:
    """Return the bucket with a prefix per namespace, which keeps their recordings apart."""
    s3: dict[str, Any] = {
        "bucket": template.bucket,
        "region": template.region,
        "prefix": f"{template.prefix}/{namespace}" if template.prefix else namespace,
        "pathStyle": template.path_style,
        "serviceAccountName": template.service_account_name,
    }
    return s3 | ({"endpoint": template.endpoint} if template.endpoint else {})


def store_config(
    owner: Owner, spec: MediaStoreSpec, place: StorePlace, settings: DomainSettings
) -> StoreConfig:
    return StoreConfig(
        namespace=owner.namespace,
        name=owner.name,
        uid=owner.uid,
        generation=owner.generation,
        uri_base=place.uri_base,
        s3=place.s3,
        limit_bytes=bytes_of(spec.limit) if spec.limit else None,
        warn_at_percent=spec.warn_at_percent,
        scratch_limit_bytes=settings.store_scratch_bytes if place.s3 is not None else None,
    )


def store_template(owner: Owner, settings: DomainSettings, place: StorePlace) -> dict[str, Any]:
    """Return the template. With a claim, MP4s in progress are on the claim, not on a spool."""
    shape = PodShape(
        keys=(own_token(owner), *place.keys),
        ports=(("store", STORE_PORT),),
        claim=place.claim,
        spool_bytes=settings.store_scratch_bytes if place.s3 is not None else None,
        spool_capped=False,
        service_account=place.service_account,
        priority_class=settings.store_priority_class or None,
        grace_seconds=_GRACE_SECONDS,
    )
    return pod_template(owner, settings, shape)
