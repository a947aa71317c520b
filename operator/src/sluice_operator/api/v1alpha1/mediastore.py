"""MediaStore: where recordings are kept."""

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
    """A PersistentVolumeClaim that is made for this store, and stays when the store is deleted."""

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
    """StorageClass of the claim; absent: the cluster's default."""
    access_modes: Annotated[
        list[Literal["ReadWriteOnce", "ReadWriteMany"]],
        Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=["ReadWriteOnce"])
    """With ReadWriteOnce all recorders and the store share one node; ReadWriteMany survives the
    loss of a node."""


class ClaimSource(ApiModel):
    """A PersistentVolumeClaim of the same namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.claimName) != has(self.template)",
                "exactly one of claimName and template must be set",
            )
        )
    )

    claim_name: ObjectName | None = None
    """An existing claim."""
    template: ClaimTemplate | None = None
    """A claim to be made."""


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
    """Storage that speaks S3."""

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
    """https://HOST[:PORT], or http:// inside a trusted network; absent: Amazon's."""
    region: Annotated[str, Field(max_length=64, pattern=r"^[-a-zA-Z0-9]+$")] = "us-east-1"
    """Region of the bucket; servers of your own mostly take any."""
    bucket: Annotated[
        str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][-.a-z0-9]*[a-z0-9]$")
    ]
    """Name of the bucket. It must exist."""
    prefix: (
        Annotated[str, Field(min_length=1, max_length=512, json_schema_extra=_PREFIX_RULES)] | None
    ) = None
    """What all keys begin with, e.g. recordings/studio-a; absent: the store has the whole bucket.
    No two MediaStores may have the same place."""
    path_style: bool = True
    """true: https://ENDPOINT/BUCKET/KEY, which every server understands; false: the bucket is part
    of the host name."""
    access_key_secret_ref: SecretKeyRef | None = None
    """Secret with the access key id."""
    secret_key_secret_ref: SecretKeyRef | None = None
    """Secret with the secret access key."""
    session_token_secret_ref: SecretKeyRef | None = None
    """Secret with the session token, where the two keys are temporary ones."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with PEM certificates that the endpoint's certificate is verified with; absent: the
    public authorities."""
    service_account_name: ObjectName | None = None
    """Instead of keys: the pods run as this ServiceAccount, and the cloud gives them its identity
    (IRSA, EKS Pod Identity and the like)."""


class MediaStoreSpec(ApiModel):
    """Where recordings are kept. The place cannot be changed later; credentials, the way to it and
    the limit can."""

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
    """A PersistentVolumeClaim of the same namespace."""
    s3: S3 | None = None
    """A bucket of a storage that speaks S3."""
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
    """How much all recordings together may take up, e.g. 500Gi. A Recording that reaches it ends
    cleanly (StorageLimit). Absent: as much as there is."""
    warn_at_percent: Annotated[int, Field(ge=1, le=100)] = 90
    """From so much of the limit, or of the volume, on: StorageHeadroom=False/AlmostExceeded."""


class MediaStoreStatus(ApiModel):
    """What the store measures."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The generation of the spec that this status was decided about; -1: not decided yet."""
    location: Annotated[str, Field(max_length=1_024)] | None = None
    """Where the recordings are: pvc://CLAIM/ or s3://BUCKET/PREFIX/."""
    claim_name: Annotated[str, Field(max_length=253)] | None = None
    """The PersistentVolumeClaim in use."""
    used_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that recordings take up, at observedAt."""
    limit_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that they may take up: the limit, or the size of the volume."""
    available_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that are free on the volume, at observedAt."""
    seconds_to_full: Annotated[int, Field(ge=0)] | None = None
    """How long the rest lasts at the rate of the last minutes; absent: it does not grow."""
    observed_at: datetime | None = None
    """When the bytes and seconds were measured (UTC)."""
    conditions: Conditions | None = None
    """Ready: recordings can be written. StorageHeadroom: there is room. Reconciling, Stalled: only
    while true."""


class MediaStore(Resource):
    """A place where recordings are kept; the one named default when nothing else is said."""

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
            Column("Location", "string", ".status.location", "Where the recordings are."),
            Column("Used", "integer", ".status.usedBytes", "Bytes taken up by recordings."),
            Column("Limit", "integer", ".status.limitBytes", "Bytes that they may take up."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
        ),
        name_rules=dns_label_rule("MediaStore", 56, letter_first=True),
    )

    spec: MediaStoreSpec
    """Where recordings are kept."""
    status: MediaStoreStatus | None = None
    """What is measured; written by the operator."""
