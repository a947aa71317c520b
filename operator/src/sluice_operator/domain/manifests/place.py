"""The place where a MediaStore keeps recordings: the values for its store pod and its recorders."""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.contract import (
    S3_ACCESS_KEY_FILE,
    S3_CA_FILE,
    S3_SECRET_KEY_FILE,
    S3_SESSION_TOKEN_FILE,
    BucketLocation,
)
from sluice_operator.api.v1alpha1 import MediaStoreSpec
from sluice_operator.api.v1alpha1.common import SecretKeyRef
from sluice_operator.api.v1alpha1.mediastore import S3
from sluice_operator.domain.manifests.keys import users_key
from sluice_operator.domain.manifests.pod import KeyMount
from sluice_operator.domain.names import child_name
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.specs import read_spec


@dataclass(slots=True, frozen=True)
class StorePlace:
    """A claim or a bucket: exactly one of ``claim`` and ``s3`` is set."""

    uri_base: str
    """Prefix of the URIs: ``pvc://CLAIM/`` or ``s3://BUCKET/PREFIX/``."""
    claim: str | None = None
    s3: BucketLocation | None = None
    keys: tuple[KeyMount, ...] = ()
    """Mounts of the user's Secrets with credentials and authorities."""
    secrets: tuple[SecretKeyRef, ...] = ()
    """The references to these Secrets in the spec."""
    service_account: str | None = None
    """ServiceAccount with access to the bucket; set when no keys are given."""


def claim_name(store: Raw) -> str | None:
    """Return the PersistentVolumeClaim of a MediaStore: the one it names, or the one made for it.

    It reads the raw object, because the gatherer needs the name before the spec is validated."""
    claim = store["spec"].get("persistentVolumeClaim")
    if claim is None:
        return None
    return str(claim.get("claimName") or child_name(store["metadata"]["name"], "store"))


def store_place(store: Raw) -> StorePlace:
    """Return the place of a MediaStore. Raises InvalidSpecError."""
    s3 = read_spec(MediaStoreSpec, store).s3
    if s3 is None:
        claim = claim_name(store)
        return StorePlace(uri_base=f"pvc://{claim}/", claim=claim)
    prefix = f"{s3.prefix}/" if s3.prefix else ""
    return StorePlace(
        uri_base=f"s3://{s3.bucket}/{prefix}",
        s3=_target(s3),
        keys=_keys(s3),
        secrets=tuple(ref for ref in _refs(s3) if ref is not None),
        service_account=s3.service_account_name,
    )


def _target(s3: S3) -> BucketLocation:
    return BucketLocation(
        endpoint=s3.endpoint.rstrip("/") if s3.endpoint else None,
        region=s3.region,
        bucket=s3.bucket,
        prefix=s3.prefix or "",
        path_style=s3.path_style,
        has_credentials=s3.access_key_secret_ref is not None,
        has_ca=s3.ca_secret_ref is not None,
    )


def _refs(s3: S3) -> tuple[SecretKeyRef | None, ...]:
    return (
        s3.access_key_secret_ref,
        s3.secret_key_secret_ref,
        s3.session_token_secret_ref,
        s3.ca_secret_ref,
    )


def _keys(s3: S3) -> tuple[KeyMount, ...]:
    files = (S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE, S3_SESSION_TOKEN_FILE, S3_CA_FILE)
    return tuple(
        users_key(file, ref) for file, ref in zip(files, _refs(s3), strict=True) if ref is not None
    )
