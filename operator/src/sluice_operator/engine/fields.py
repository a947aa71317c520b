"""Comparison of a manifest with the paths in our managedFields entry.

The API server records for each field manager the paths that it set last. The format is FieldsV1 of
structured-merge-diff (KEP-555): ``f:name`` is a field, ``k:{…}`` an element of a keyed list, and
``v:…`` an element of a set. An empty object owns its path and all paths below. When another manager
changes a value, our entry loses the path. So a missing path shows a foreign change. The hash
annotation does not: ``kubectl scale`` and the removal of a field leave it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_IDENTITY = {"apiVersion", "kind"}
_IDENTITY_META = {"name", "namespace", "uid", "resourceVersion"}

Fields = Mapping[str, Any]


def entry_of(obj: Mapping[str, Any], manager: str) -> Fields | None:
    """Return the FieldsV1 of this manager's applies, or None."""
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
    """Return whether the manager's entry has every path that the manifest sets."""
    entry = entry_of(obj, manager)
    return entry is not None and next(missing_paths(entry, manifest), None) is None


def missing_paths(entry: Fields, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that the manifest sets and the entry lacks, e.g. ``.spec.replicas``."""
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
        # The server drops empty maps and lists, and then no manager owns them.
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
    """Return whether a list-map key belongs to this item.

    A key field that the item lacks has a server default, such as the protocol of a port."""
    return all(name not in item or item[name] == value for name, value in key.items())
