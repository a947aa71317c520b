"""Generator of ``crds/*.yaml`` from the models of `sluice_operator.api`, and a lint for it."""

from sluice_operator.crd.lint import Finding, lint
from sluice_operator.crd.manifest import crd_files, crd_manifest, write_crds

__all__ = ["Finding", "crd_files", "crd_manifest", "lint", "write_crds"]
