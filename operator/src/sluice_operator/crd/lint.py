"""Rules for CustomResourceDefinitions, stricter than those of the API server; see `lint`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_CLOSED_IN_STATUS = frozenset({"status.conditions[].status"})
"""Status fields that may be enums: Kubernetes fixes the values True, False and Unknown."""


@dataclass(slots=True, frozen=True)
class Finding:
    """A field of a schema that breaks a rule."""

    where: str
    """Path in the schema, e.g. ``spec.uri``."""
    what: str
    """The rule that it breaks."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def lint(crd: Mapping[str, Any]) -> list[Finding]:
    """Return the fields of a CustomResourceDefinition that break a rule.

    Every field has a description. Every string, list and map has a maximum size, because the API
    server needs it to estimate the cost of CEL rules. Every list has a merge type. Numbers in
    ``spec`` are integers with bounds. The schema is structural. No string in ``status`` is an enum:
    a newer operator must be able to write a new value while older CustomResourceDefinitions are
    installed.
    """
    findings: list[Finding] = []
    for version in crd["spec"]["versions"]:
        root = version["schema"]["openAPIV3Schema"]
        for name in ("spec", "status"):
            if name in root["properties"]:
                findings += _node(root["properties"][name], name, in_spec=name == "spec")
    return findings


def _node(schema: Mapping[str, Any], where: str, *, in_spec: bool) -> Iterator[Finding]:
    yield from _shape(schema, where)
    if not schema.get("description") and not where.endswith(("[]", ".*")):
        yield Finding(where, "has no description")
    kind = schema.get("type")
    if kind == "string":
        yield from _string(schema, where)
        if not in_spec and "enum" in schema and where not in _CLOSED_IN_STATUS:
            yield Finding(where, "is an enum in status")
    elif kind == "array":
        if "maxItems" not in schema:
            yield Finding(where, "has no maxItems")
        if "x-kubernetes-list-type" not in schema:
            yield Finding(where, "has no x-kubernetes-list-type")
        yield from _node(schema["items"], f"{where}[]", in_spec=in_spec)
    elif kind == "object":
        yield from _object(schema, where, in_spec=in_spec)
    elif kind in {"integer", "number"} and in_spec:
        if kind == "number":
            yield Finding(where, "is a float in spec")
        if not {"minimum", "maximum"} <= schema.keys():
            yield Finding(where, "has no minimum or no maximum")


def _shape(schema: Mapping[str, Any], where: str) -> Iterator[Finding]:
    for key in ("$ref", "const", "oneOf", "allOf", "title"):
        if key in schema:
            yield Finding(where, f"{key} is not structural")
    if schema.get("x-kubernetes-int-or-string"):
        return
    if "anyOf" in schema:
        yield Finding(where, "anyOf is not structural")
    if "type" not in schema:
        yield Finding(where, "has no type")


def _string(schema: Mapping[str, Any], where: str) -> Iterator[Finding]:
    bounded = {"maxLength", "enum"} & schema.keys() or schema.get("format") == "date-time"
    if not bounded:
        yield Finding(where, "has no maxLength")


def _object(schema: Mapping[str, Any], where: str, *, in_spec: bool) -> Iterator[Finding]:
    if "additionalProperties" in schema:
        if "maxProperties" not in schema:
            yield Finding(where, "has no maxProperties")
        yield from _node(schema["additionalProperties"], f"{where}.*", in_spec=in_spec)
    elif "properties" not in schema:
        yield Finding(where, "has neither properties nor additionalProperties")
    for name, child in schema.get("properties", {}).items():
        yield from _node(child, f"{where}.{name}", in_spec=in_spec)
