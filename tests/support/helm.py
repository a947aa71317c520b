"""The real Helm, for tests: it renders the chart, or returns its refusal."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from pydantic_settings import BaseSettings

from tests.kube.binaries import Binaries
from tests.kube.errors import KubeToolError
from tests.kube.paths import REPOSITORY, Paths

__all__ = [
    "CHART",
    "RELEASE",
    "VALUES_FILES",
    "Helm",
    "Object",
    "environment",
    "helm_binary",
    "one",
    "pod_specs",
    "read_settings",
]

CHART = REPOSITORY / "charts" / "sluice"
VALUES_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE = "sluice"
NAMESPACE = "sluice-system"

Object = dict[str, Any]
S = TypeVar("S", bound=BaseSettings)

_rendered: dict[tuple[tuple[Path, ...], str], subprocess.CompletedProcess[str]] = {}
"""Helm's results by values. The chart does not change while tests run."""


@cache
def helm_binary() -> str:
    """Return the path of Helm: ``$SLUICE_HELM``, the cluster tool's, or the one on the PATH.

    Without Helm, fail the test with the remedy.
    """
    if given := os.environ.get("SLUICE_HELM"):
        return given
    try:
        return str(Binaries(Paths.from_environment()).path("helm"))
    except KubeToolError:
        found = shutil.which("helm")
    if found is None:
        pytest.fail("no helm: run `python3 -m tests.kube binaries`, or install Helm")
    return found


@dataclass(slots=True, frozen=True)
class Helm:
    """Helm on this chart. ``values`` are merged over the chart's own as a values file is."""

    environment: Mapping[str, str]
    folder: Path
    """Folder for values files and Helm's own state."""

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [helm_binary(), *args],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def template(self, *files: Path, values: Mapping[str, Any] | None = None) -> list[Object]:
        """Return the objects of a release. Fail if Helm fails."""
        done = self._template(files, values or {})
        assert done.returncode == 0, done.stderr
        # libyaml: the definitions alone are half a second in pure Python.
        return [d for d in yaml.load_all(done.stdout, yaml.CSafeLoader) if d]

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Return Helm's error for ``values``, which it must refuse."""
        done = self._template((), values)
        assert done.returncode != 0, f"Helm accepted {values}"
        return done.stderr

    def _template(
        self, files: tuple[Path, ...], values: Mapping[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump(dict(values))
        if (files, text) not in _rendered:
            own = self.folder / "values.yaml"
            own.write_text(text, encoding="utf-8")
            options = [f"--values={file}" for file in (*files, own)]
            done = self("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *options)
            _rendered[files, text] = done
        return _rendered[files, text]


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield (name, pod spec) of each object that makes pods."""
    for document in objects:
        template = document.get("spec", {}).get("template")
        if document["kind"] != "CustomResourceDefinition" and template:
            yield document["metadata"]["name"], template["spec"]


def one(objects: list[Object], kind: str, name: str) -> Object:
    [found] = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def environment(objects: list[Object], deployment: str) -> dict[str, Any]:
    spec = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def read_settings(
    model: type[S], environment: Mapping[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> S:
    """Return the settings that the pod reads."""
    for name, value in environment.items():
        filled = {"SLUICE_MEMORY_LIMIT_BYTES": str(1 << 30)}.get(name, "a-pod-uid")
        monkeypatch.setenv(name, filled if value is None else value)
    return model()
