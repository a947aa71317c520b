"""What the kinds share: the base of all models, references, workloads, and CEL helpers.

The models are the source of ``crds/``: an attribute's docstring is what ``kubectl explain`` shows,
and a constraint on a field is a constraint in the schema. In Python they read objects that the API
server has already validated and defaulted, so they tolerate fields of a newer version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
QUANTITY = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
"""As Kubernetes writes it into its own schemas."""


@dataclass(slots=True, frozen=True)
class Rule:
    """One CEL rule of ``x-kubernetes-validations`` and what a user reads when it is broken."""

    rule: str
    message: str
    field_path: str | None = None
    """Where the error is shown, e.g. ``.uri``; None: at the rule's own place."""

    def as_schema(self) -> dict[str, str]:
        schema = {"rule": self.rule, "message": self.message}
        return schema | ({"fieldPath": self.field_path} if self.field_path else {})


def rules(*given: Rule) -> dict[str, Any]:
    """For ``json_schema_extra`` of a model or a field."""
    return {"x-kubernetes-validations": [rule.as_schema() for rule in given]}


def frozen(field: str, kind: str, advice: str) -> Rule:
    """The field cannot be changed, nor set or removed later.

    At the level of its parent, because a rule on the field itself does not run when the field is
    set for the first time or removed."""
    same = f"has(self.{field}) == has(oldSelf.{field})"
    equal = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return Rule(f"{same} && {equal}", f"{field} of a {kind} cannot be changed; {advice}")


def dns_label_rule(kind: str, max_length: int, *, letter_first: bool) -> tuple[Rule, Rule]:
    """``metadata.name`` leaves room for the suffixes of the children's names."""
    first = "[a-z]" if letter_first else "[a-z0-9]"
    must = "begin with a letter" if letter_first else "begin with a letter or digit"
    return (
        Rule(
            f"self.metadata.name.matches('^{first}([-a-z0-9]*[a-z0-9])?$')",
            f"the name of a {kind} must consist of lower-case letters, digits and '-', {must} "
            "and end with a letter or digit",
        ),
        Rule(
            f"self.metadata.name.size() <= {max_length}",
            f"the name of a {kind} must have at most {max_length} characters",
        ),
    )


def list_map(key: str) -> dict[str, Any]:
    """A list whose entries are told apart by one of their fields (for server-side apply)."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ApiModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )


# --------------------------------------------------------------------------- small types

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY,
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
        }
    ),
]


class LocalRef(ApiModel):
    """An object of the same namespace."""

    name: ObjectName
    """Name of the object, in the namespace of the object that refers to it."""


class SecretKeyRef(ApiModel):
    """One key of a Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in the Secret's data."""


class ContainerResources(ApiModel):
    """CPU and memory, as in a container of a Pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] | None = None
    """What the scheduler sets aside, e.g. {cpu: 100m, memory: 128Mi}."""
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] | None = None
    """What the container may use at most, e.g. {memory: 512Mi}."""


class Toleration(ApiModel):
    """A taint that the pods put up with, as in a Pod."""

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint; absent with operator Exists: every taint."""
    operator: Literal["Equal", "Exists"] | None = None
    """How key and value are compared (Equal when absent)."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent: all of them."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """With effect NoExecute: for how long the taint is put up with."""


class Workload(ApiModel):
    """How and where the pods of a stream run."""

    resources: ContainerResources | None = None
    """CPU and memory of the ingest pod; absent: the installation's default."""
    node_selector: (
        Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] | None
    ) = None
    """Labels that a node must have to run the pods of this stream (ingest, recorders, pushers)."""
    tolerations: (
        Annotated[
            list[Toleration],
            Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Taints that the pods of this stream put up with."""
    image_pull_secrets: (
        Annotated[list[LocalRef], Field(max_length=8, json_schema_extra=list_map("name"))] | None
    ) = None
    """Secrets of this namespace for pulling the media image, beside those of the installation."""
    priority_class_name: (
        Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)] | None
    ) = None
    """PriorityClass of the pods of this stream."""


# --------------------------------------------------------------------------- kinds


@dataclass(slots=True, frozen=True)
class Column:
    """A column of ``kubectl get``."""

    name: str
    type: str
    json_path: str
    description: str
    priority: int = 0
    """1: only with ``-o wide``."""


@dataclass(slots=True, frozen=True)
class CrdNames:
    """What a CustomResourceDefinition says beside its schema."""

    kind: str
    plural: str
    singular: str
    short_name: str
    columns: Sequence[Column]
    selectable_fields: Sequence[str] = ()
    """JSON paths that field selectors may use, e.g. ``.spec.streamRef.name``."""
    name_rules: Sequence[Rule] = ()
    """About ``metadata.name``; only the schema's root may look at it."""


class Resource(ApiModel):
    """Base of the kinds. Subclasses add ``spec`` and ``status`` and their `CrdNames`."""

    crd: ClassVar[CrdNames]
