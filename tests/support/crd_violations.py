"""A small, strict check of a value against a structural schema (unknown fields are errors)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["violations"]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def violations(schema: Mapping[str, Any], value: Any, where: str) -> list[str]:
    """Return the parts of ``value`` that the API server would refuse or silently drop."""
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{where}: neither integer nor string"]
    kind: str = schema["type"]
    given: Any = value
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where}: {value!r} is no {kind}"]
    found = _bounds(schema, value, where)
    if kind == "array":
        for index, item in enumerate(given):
            found += violations(schema["items"], item, f"{where}[{index}]")
    if kind == "object":
        found += _object(schema, given, where)
    return found


def _object(schema: Mapping[str, Any], value: dict[str, Any], where: str) -> list[str]:
    found = [f"{where}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        child = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if child is None:
            found.append(f"{where}.{name}: unknown field")
        else:
            found += violations(child, item, f"{where}.{name}")
    return found


def _bounds(schema: Mapping[str, Any], value: Any, where: str) -> list[str]:
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if isinstance(value, str | list) and len(value) > schema.get(
        "maxLength" if isinstance(value, str) else "maxItems", len(value)
    ):
        found.append(f"{where}: too long")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{where}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        found.append(f"{where}: {value} is too small")
    return found
