"""Converter from a pydantic model to a structural OpenAPI v3 schema.

Kubernetes accepts a subset of JSON schema, which the documentation of CustomResourceDefinitions
calls "structural": no ``$ref``, no ``null`` alternatives, no ``const``, a ``type`` everywhere.
pydantic writes full JSON schema, and this module rewrites it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = frozenset(
    {
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "required",
        "type",
    }
)
_REF = "#/$defs/"


class SchemaError(ValueError):
    """A model uses a type that a CustomResourceDefinition cannot express."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of the model, with its aliases as field names."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(whole, whole.get("$defs", {}), model.__name__)


def _structural(node: Mapping[str, Any], defs: Mapping[str, Any], where: str) -> Schema:
    node = _resolved(node, defs, where)
    if node.get("x-kubernetes-int-or-string"):
        return dict(node)
    out: Schema = {}
    for key, value in node.items():
        if key == "description":
            out[key] = " ".join(value.split())
        elif key == "default":
            out[key] = _without_nulls(value)
        elif key in _KEPT or key.startswith("x-kubernetes-"):
            out[key] = value
        elif key == "properties":
            out[key] = {
                name: _structural(child, defs, f"{where}.{name}") for name, child in value.items()
            }
        elif key == "additionalProperties":
            if isinstance(value, Mapping):
                out[key] = _structural(value, defs, f"{where}.*")
        elif key == "const":
            out["enum"] = [value]
        elif key not in {"title", "$defs"}:
            raise SchemaError(f"{where}: {key} is not part of a structural schema")
    if "items" in out:
        out["items"] = _structural(out["items"], defs, f"{where}[]")
    if out.get("type") == "object" and "additionalProperties" in out:
        _rename_length_to_properties(out)
    return out


def _resolved(node: Mapping[str, Any], defs: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the node without ``$ref`` and ``null``.

    Keys beside a reference override the same keys in its target."""
    if "$ref" in node:
        target = defs[node["$ref"].removeprefix(_REF)]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _resolved({**target, **beside}, defs, where)
    alternatives = node.get("anyOf")
    if alternatives is None or node.get("x-kubernetes-int-or-string"):
        return node
    real = [a for a in alternatives if a.get("type") != "null"]
    if len(real) != 1:
        raise SchemaError(f"{where}: a structural schema cannot have a union of types")
    beside = {
        key: value
        for key, value in node.items()
        if key != "anyOf" and not (key == "default" and value is None)
    }
    return _resolved({**real[0], **beside}, defs, where)


def _without_nulls(default: Any) -> Any:
    """Return a default without its null values, which the API server would refuse."""
    if isinstance(default, Mapping):
        return {k: _without_nulls(v) for k, v in default.items() if v is not None}
    return default


def _rename_length_to_properties(schema: Schema) -> None:
    for ours, theirs in (("minLength", "minProperties"), ("maxLength", "maxProperties")):
        if ours in schema:
            schema[theirs] = schema.pop(ours)
