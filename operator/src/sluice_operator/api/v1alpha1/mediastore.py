"""MediaStore: the storage of recordings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    QUANTITY,
    ApiModel,
    Column,
    CrdNames,
    ObjectName,
    Resource,
    Rule,
    SecretKeyRef,
    dns_label_rule,
    rules,
)
from sluice_operator.api.v1alpha1.conditions import Conditions

_NEW = "make a new MediaStore"


def _bytes_rules(field: str) -> dict[str, Any]:
    return rules(
        Rule(
            "!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))",
            f"{field} must be greater than 0",
        ),
        Rule("isQuantity(self)", f"{field} must be a quantity such as 20Gi"),
    )


class ClaimTemplate(ApiModel):
    """A PersistentVolumeClaim that the operator creates for this store. It stays when the store is
    deleted."""

    size: Annotated[
        str,
        Field(
            min_length=1,
            max_length=32,
            pattern=QUANTITY,
            json_schema_extra=_bytes_rules("size"),
        ),
    ]
    """Size of the claim, e.g. 20Gi."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the claim. Absent: the default of the cluster."""
    access_modes: Annotated[
        list[Literal["ReadWriteOnce", "ReadWriteMany"]],
        Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=["ReadWriteOnce"])
    """Access modes of the claim. With ReadWriteOnce, all recorders and the store run on one node.
    With ReadWriteMany, recording survives the loss of a node."""


class ClaimSource(ApiModel):
    """A PersistentVolumeClaim in the same namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.claimName) != has(self.template)",
                "exactly one of claimName and template must be set",
            )
        )
    )

    claim_name: ObjectName | None = None
    """Name of an existing claim."""
    template: ClaimTemplate | None = None
    """A claim that the operator creates."""


_ENDPOINT_RULES = rules(
    Rule(
        r"self.matches('^https?://([-.A-Za-z0-9]+|\\[[0-9a-fA-F:]+\\])(:[0-9]{1,5})?/?$')",
        "endpoint must be https://HOST or http://HOST, with :PORT where needed and nothing behind "
        "it",
    )
)
_PREFIX_RULES = rules(
    Rule(
        "self.matches('^[-_.=A-Za-z0-9]+(/[-_.=A-Za-z0-9]+)*$') && !self.matches('(^|/)[.]+(/|$)')",
        "prefix must consist of letters, digits and -_.= with single slashes in between, and no "
        "part of it may be only dots",
    )
)
_PAIR = "has(self.accessKeySecretRef) == has(self.secretKeySecretRef)"


class S3(ApiModel):
    """A bucket in a storage with the S3 protocol."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(_PAIR, "accessKeySecretRef and secretKeySecretRef go together"),
            Rule(
                f"!({_PAIR}) || has(self.accessKeySecretRef) != has(self.serviceAccountName)",
                "exactly one must be set: accessKeySecretRef with secretKeySecretRef, or "
                "serviceAccountName",
            ),
            Rule(
                "!has(self.sessionTokenSecretRef) || has(self.accessKeySecretRef)",
                "sessionTokenSecretRef needs accessKeySecretRef",
            ),
            Rule(
                "!has(self.caSecretRef) || "
                "(has(self.endpoint) && self.endpoint.startsWith('https://'))",
                "caSecretRef needs an endpoint that begins with https://",
            ),
        )
    )

    endpoint: Annotated[str, Field(max_length=512, json_schema_extra=_ENDPOINT_RULES)] | None = None
    """Server: https://HOST[:PORT], or http://HOST[:PORT] inside a trusted network. Absent: Amazon
    S3."""
    region: Annotated[str, Field(max_length=64, pattern=r"^[-a-zA-Z0-9]+$")] = "us-east-1"
    """Region of the bucket. Most self-hosted servers accept any region."""
    bucket: Annotated[
        str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][-.a-z0-9]*[a-z0-9]$")
    ]
    """Name of the bucket. It must exist."""
    prefix: (
        Annotated[str, Field(min_length=1, max_length=512, json_schema_extra=_PREFIX_RULES)] | None
    ) = None
    """Prefix of all object keys, e.g. recordings/studio-a. Absent: the store uses the whole bucket.
    Two MediaStores must not use the same bucket and prefix."""
    path_style: bool = True
    """true: URLs are https://ENDPOINT/BUCKET/KEY, which every server supports. false: the bucket is
    part of the host name."""
    access_key_secret_ref: SecretKeyRef | None = None
    """Secret with the access key id."""
    secret_key_secret_ref: SecretKeyRef | None = None
    """Secret with the secret access key."""
    session_token_secret_ref: SecretKeyRef | None = None
    """Secret with the session token. Only for temporary keys."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with the certificate authorities (PEM) that verify the certificate of the endpoint.
    Absent: the public authorities."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the store's pods, used instead of keys: the cloud gives the pods its
    identity (IRSA, EKS Pod Identity or similar)."""


class MediaStoreSpec(ApiModel):
    """Desired storage of recordings. Claim, bucket and prefix cannot be changed later. Credentials,
    endpoint and limit can."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.persistentVolumeClaim) != has(self.s3)",
                "exactly one of persistentVolumeClaim and s3 must be set",
            ),
            Rule(
                "has(self.s3) == has(oldSelf.s3)",
                f"a MediaStore cannot move between a claim and S3; {_NEW}",
            ),
            Rule(
                "!has(self.persistentVolumeClaim) || !has(oldSelf.persistentVolumeClaim) || "
                "self.persistentVolumeClaim == oldSelf.persistentVolumeClaim",
                f"persistentVolumeClaim of a MediaStore cannot be changed; {_NEW}",
            ),
            Rule(
                "!has(self.s3) || !has(oldSelf.s3) || (self.s3.bucket == oldSelf.s3.bucket && "
                "has(self.s3.prefix) == has(oldSelf.s3.prefix) && "
                "(!has(self.s3.prefix) || self.s3.prefix == oldSelf.s3.prefix))",
                f"bucket and prefix of a MediaStore cannot be changed; {_NEW}",
            ),
        )
    )

    persistent_volume_claim: ClaimSource | None = None
    """A PersistentVolumeClaim in the same namespace."""
    s3: S3 | None = None
    """A bucket in a storage with the S3 protocol."""
    limit: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=32,
                pattern=QUANTITY,
                json_schema_extra=_bytes_rules("limit"),
            ),
        ]
        | None
    ) = None
    """Maximum size of all recordings together, e.g. 500Gi. A Recording that reaches the limit ends
    cleanly (StorageLimit). Absent: no limit except the size of the storage."""
    warn_at_percent: Annotated[int, Field(ge=1, le=100)] = 90
    """Fill level, in percent of the limit or of the volume, from which the condition
    StorageHeadroom is False (AlmostExceeded)."""


class MediaStoreStatus(ApiModel):
    """Measurements of the store."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the spec that this status was computed from. -1: not computed yet."""
    location: Annotated[str, Field(max_length=1_024)] | None = None
    """Location of the recordings: pvc://CLAIM/ or s3://BUCKET/PREFIX/."""
    claim_name: Annotated[str, Field(max_length=253)] | None = None
    """Name of the PersistentVolumeClaim in use."""
    used_bytes: Annotated[int, Field(ge=0)] | None = None
    """Size of all recordings in bytes, at observedAt."""
    limit_bytes: Annotated[int, Field(ge=0)] | None = None
    """Maximum size of all recordings in bytes: the limit, or the size of the volume."""
    available_bytes: Annotated[int, Field(ge=0)] | None = None
    """Free bytes on the volume, at observedAt."""
    seconds_to_full: Annotated[int, Field(ge=0)] | None = None
    """Seconds until the storage is full, at the rate of the last minutes. Absent while the size
    does not grow."""
    observed_at: datetime | None = None
    """Time at which the sizes and secondsToFull were measured (UTC)."""
    conditions: Conditions | None = None
    """Ready: recordings can be written. StorageHeadroom: there is enough free space. Reconciling
    and Stalled are present only while true."""


class MediaStore(Resource):
    """A storage for recordings. Recordings without storeRef use the MediaStore named default."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="MediaStore",
        plural="mediastores",
        singular="mediastore",
        short_name="mst",
        columns=(
            Column(
                "Ready",
                "string",
                '.status.conditions[?(@.type=="Ready")].status',
                "Recordings can be written.",
            ),
            Column("Location", "string", ".status.location", "Location of the recordings."),
            Column("Used", "integer", ".status.usedBytes", "Size of all recordings in bytes."),
            Column("Limit", "integer", ".status.limitBytes", "Maximum size in bytes."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
        ),
        name_rules=dns_label_rule("MediaStore", 56, letter_first=True),
    )

    spec: MediaStoreSpec
    """Desired storage of recordings."""
    status: MediaStoreStatus | None = None
    """Observed state of the store, written by the operator."""
