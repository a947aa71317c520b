"""Does our managedFields entry still hold every path we set?

The API server records per field manager which paths it set last (KEP-555, structured-merge-diff's
FieldsV1: ``f:name`` a field, ``k:{…}`` an element of a keyed list, ``v:…`` an element of a set;
an empty object owns the path with everything below it). Whoever changes a value takes its path
away from us, so a path that is missing means that the value is no longer ours: ``kubectl scale``
and a removed field leave our hash annotation in place, but not our entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_IDENTITY = {"apiVersion", "kind"}
_IDENTITY_META = {"name", "namespace", "uid", "resourceVersion"}

Fields = Mapping[str, Any]


def entry_of(obj: Mapping[str, Any], manager: str) -> Fields | None:
    """FieldsV1 of what this manager applied, or None."""
    for entry in obj["metadata"].get("managedFields", ()):
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            fields: Fields = entry.get("fieldsV1", {})
            return fields
    return None


def holds_every_path(obj: Mapping[str, Any], manifest: Mapping[str, Any], manager: str) -> bool:
    entry = entry_of(obj, manager)
    return entry is not None and next(missing_paths(entry, manifest), None) is None


def missing_paths(entry: Fields, manifest: Mapping[str, Any]) -> Iterator[str]:
    """The paths that the manifest sets and the entry does not hold, as ``.spec.replicas``."""
    for name, value in manifest.items():
        if name in _IDENTITY:
            continue
        if name == "metadata":
            value = {k: v for k, v in value.items() if k not in _IDENTITY_META}
        yield from _field(entry, name, value, "")


def _field(fields: Fields, name: str, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    path = f"{path}.{name}"
    below = fields.get(f"f:{name}")
    if below is None:
        # An empty map or list that the server dropped is nobody's.
        if value not in ({}, []):
            yield path
    elif below:
        yield from _value(below, value, path)


def _value(fields: Fields, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _field(fields, name, inner, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _item(fields, item, f"{path}[{index}]")


def _item(fields: Fields, item: Any, path: str) -> Iterator[str]:
    if not isinstance(item, Mapping):
        if not any(k.startswith("v:") and json.loads(k[2:]) == item for k in fields):
            yield path
        return
    for key, below in fields.items():
        if key.startswith("k:") and _is_key_of(json.loads(key[2:]), item):
            if below:
                yield from _value(below, item, path)
            return
    yield path


def _is_key_of(key: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether a list-map key is this item's; what the item leaves out was defaulted (protocol)."""
    return all(name not in item or item[name] == value for name, value in key.items())
