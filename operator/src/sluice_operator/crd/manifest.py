"""The CustomResourceDefinition of each kind, as a dict and as a file of ``crds/``.

The same models always give the same bytes.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import yaml

from sluice_operator.api.v1alpha1 import KINDS
from sluice_operator.api.v1alpha1.common import Column, Resource
from sluice_operator.crd.schema import structural_schema
from sluice_operator.domain.names import GROUP, VERSION

_UNDECIDED = {"observedGeneration": -1}
"""Status of an object before its first reconciliation. Without it kstatus, which Flux uses, treats
a new object as ready."""
_HEADER = "# Generated from the models in operator/src/sluice_operator/api; change those.\n"


class _Dumper(yaml.SafeDumper):
    """YAML writer without anchors, and with lists indented below their key."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def crd_files() -> dict[str, str]:
    """Return file name -> content, for every kind."""
    files = {}
    for model in KINDS:
        manifest = crd_manifest(model)
        text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
        files[f"{manifest['metadata']['name']}.yaml"] = _HEADER + text
    return files


def write_crds(directory: Path) -> list[Path]:
    """Write the file of every kind into the directory, which is created if missing.

    Return the paths of the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in sorted(crd_files().items()):
        path = directory / name
        path.write_text(content, encoding="utf-8")
        paths.append(path)
    return paths


def crd_manifest(model: type[Resource]) -> dict[str, Any]:
    """Return the CustomResourceDefinition (apiextensions.k8s.io/v1) of a kind."""
    names = model.crd
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema(model)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in names.columns],
    }
    if names.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in names.selectable_fields]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short_name],
                "categories": ["sluice"],
            },
            "versions": [version],
        },
    }


def _root_schema(model: type[Resource]) -> dict[str, Any]:
    schema = structural_schema(model)
    schema["properties"]["status"]["default"] = dict(_UNDECIDED)
    own = {
        "apiVersion": {
            "type": "string",
            "description": "Group and version: sluice.video/v1alpha1.",
        },
        "kind": {"type": "string", "description": f"{model.crd.kind}."},
        "metadata": {"type": "object"},
    }
    root: dict[str, Any] = {
        "type": "object",
        "description": inspect.getdoc(model),
        "required": ["spec"],
        "properties": {**own, **schema["properties"]},
    }
    if model.crd.name_rules:
        root["x-kubernetes-validations"] = [rule.as_schema() for rule in model.crd.name_rules]
    return root


def _column(column: Column) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    }
    return out | ({"priority": column.priority} if column.priority else {})
