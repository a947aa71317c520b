"""MediaStore: where recordings are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    QUANTITY,
    ApiModel,
    Column,
    CrdNames,
    ObjectName,
    Resource,
    Rule,
    dns_label_rule,
    frozen,
    rules,
)
from sluice_operator.api.v1alpha1.conditions import Conditions

__all__ = ["MediaStore", "MediaStoreSpec", "MediaStoreStatus"]

_NEW = "make a new MediaStore"

_SIZE_RULES = rules(
    Rule(
        "!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))",
        "size must be greater than 0",
    ),
    Rule("isQuantity(self)", "size must be a quantity such as 20Gi"),
)


class ClaimTemplate(ApiModel):
    """A PersistentVolumeClaim that is made for this store, and stays when the store is deleted."""

    size: Annotated[
        str, Field(min_length=1, max_length=32, pattern=QUANTITY, json_schema_extra=_SIZE_RULES)
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


class MediaStoreSpec(ApiModel):
    """Where recordings are kept. Cannot be changed later."""

    model_config = ConfigDict(
        json_schema_extra=rules(frozen("persistentVolumeClaim", "MediaStore", _NEW))
    )

    persistent_volume_claim: ClaimSource
    """A PersistentVolumeClaim of the same namespace."""


class MediaStoreStatus(ApiModel):
    """What the store measures."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status was decided about."""
    claim_name: Annotated[str, Field(max_length=253)] | None = None
    """The PersistentVolumeClaim in use."""
    used_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that recordings take up, at observedAt."""
    available_bytes: Annotated[int, Field(ge=0)] | None = None
    """Bytes that are free on the volume, at observedAt."""
    observed_at: datetime | None = None
    """When usedBytes and availableBytes were measured (UTC)."""
    conditions: Conditions | None = None
    """Ready: recordings can be written. Reconciling, Stalled: only while true."""


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
            Column("Claim", "string", ".status.claimName", "The claim in use."),
            Column("Used", "integer", ".status.usedBytes", "Bytes taken up by recordings."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
        ),
        name_rules=dns_label_rule("MediaStore", 56, letter_first=True),
    )

    spec: MediaStoreSpec
    """Where recordings are kept."""
    status: MediaStoreStatus | None = None
    """What is measured; written by the operator."""
