"""From the models of `sluice_operator.api` to ``crds/*.yaml``, and a lint of the result."""

from sluice_operator.crd.lint import Finding, lint
from sluice_operator.crd.manifest import crd_manifest
from sluice_operator.crd.write import crd_files, write_crds

__all__ = ["Finding", "crd_files", "crd_manifest", "lint", "write_crds"]
