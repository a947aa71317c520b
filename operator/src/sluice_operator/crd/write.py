"""``crds/*.yaml``: the same models always give the same bytes."""

from __future__ import annotations

from pathlib import Path

import yaml

from sluice_operator.api.v1alpha1 import KINDS
from sluice_operator.crd.manifest import crd_manifest

_HEADER = "# Generated from the models in operator/src/sluice_operator/api; change those.\n"


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with lists set in under their key."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def crd_files() -> dict[str, str]:
    """File name -> content, for every kind."""
    files = {}
    for model in KINDS:
        manifest = crd_manifest(model)
        text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
        files[f"{manifest['metadata']['name']}.yaml"] = _HEADER + text
    return files


def write_crds(directory: Path) -> list[Path]:
    """Writes every kind's file into the directory (made when missing); returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in sorted(crd_files().items()):
        path = directory / name
        path.write_text(content, encoding="utf-8")
        paths.append(path)
    return paths
