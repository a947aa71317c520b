"""Models and helpers that all kinds share: model base, references, workloads, CEL rules.

The models are the source of ``crds/``: an attribute's docstring is what ``kubectl explain`` shows,
and a constraint on a field is a constraint in the schema. The operator reads objects that the API
server has already validated and defaulted, so the models tolerate fields of a newer version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
QUANTITY = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
"""The pattern of a quantity in the schemas of Kubernetes itself."""


@dataclass(slots=True, frozen=True)
class Rule:
    """A CEL rule of ``x-kubernetes-validations``, with the message for an object that breaks it."""

    rule: str
    message: str
    field_path: str | None = None
    """Field that the error names, e.g. ``.uri``; None: the field that carries the rule."""

    def as_schema(self) -> dict[str, str]:
        """Return the rule as an entry of ``x-kubernetes-validations``."""
        schema = {"rule": self.rule, "message": self.message}
        return schema | ({"fieldPath": self.field_path} if self.field_path else {})


def rules(*given: Rule) -> dict[str, Any]:
    """Return the rules as ``json_schema_extra`` of a model or a field."""
    return {"x-kubernetes-validations": [rule.as_schema() for rule in given]}


def frozen(field: str, kind: str, advice: str) -> Rule:
    """Return a rule that forbids changing the field, and setting or removing it later.

    The rule belongs to the parent of the field. A rule on the field itself does not run when the
    field is set for the first time or removed."""
    same = f"has(self.{field}) == has(oldSelf.{field})"
    equal = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return Rule(f"{same} && {equal}", f"{field} of a {kind} cannot be changed; {advice}")


def dns_label_rule(kind: str, max_length: int, *, letter_first: bool) -> tuple[Rule, Rule]:
    """Return rules for ``metadata.name``, which must leave room for the children's suffixes."""
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
    """Return the schema of a list that server-side apply merges by the field ``key``."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ApiModel(BaseModel):
    """Base of all models: camelCase aliases, frozen, described by attribute docstrings."""

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
    """Reference to an object in the same namespace."""

    name: ObjectName
    """Name of the object. It is in the same namespace as the object that refers to it."""


class SecretKeyRef(ApiModel):
    """Reference to one key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in the data of the Secret."""


class ContainerResources(ApiModel):
    """CPU and memory, in the format of a container in a Pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] | None = None
    """Resources that the scheduler reserves, e.g. {cpu: 100m, memory: 128Mi}."""
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] | None = None
    """Maximum resources that the container may use, e.g. {memory: 512Mi}."""


class Toleration(ApiModel):
    """Toleration of a node taint, in the format of a Pod."""

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint. Absent, with operator Exists: every taint."""
    operator: Literal["Equal", "Exists"] | None = None
    """Comparison of key and value. Absent: Equal."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint, for operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: all effects."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds that the taint is tolerated, for effect NoExecute. Absent: for ever."""


class Workload(ApiModel):
    """Resources, nodes and priority of the pods of a stream."""

    resources: ContainerResources | None = None
    """CPU and memory of the ingest pod. Absent: the default of the installation."""
    node_selector: (
        Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] | None
    ) = None
    """Labels that a node must have to run pods of this stream (ingest, recorders, pushers)."""
    tolerations: (
        Annotated[
            list[Toleration],
            Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Node taints that the pods of this stream tolerate."""
    image_pull_secrets: (
        Annotated[list[LocalRef], Field(max_length=8, json_schema_extra=list_map("name"))] | None
    ) = None
    """Secrets in this namespace for pulling the media image, in addition to the Secrets of the
    installation."""
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
    """1: shown only with ``-o wide``."""


@dataclass(slots=True, frozen=True)
class CrdNames:
    """The parts of a CustomResourceDefinition that are not its schema."""

    kind: str
    plural: str
    singular: str
    short_name: str
    columns: Sequence[Column]
    selectable_fields: Sequence[str] = ()
    """JSON paths that field selectors may use, e.g. ``.spec.streamRef.name``."""
    name_rules: Sequence[Rule] = ()
    """Rules for ``metadata.name``. Kubernetes allows them only at the root of the schema."""


class Resource(ApiModel):
    """Base of the kinds. A subclass adds ``spec``, ``status`` and its `CrdNames`."""

    crd: ClassVar[CrdNames]
