"""The cache of binaries: what counts as built, and Kubernetes' staging modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kube.binaries import RECIPES, Binaries, Recipe, build, replace_directives
from tests.kube.errors import KubeToolError
from tests.kube.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "cache", tmp_path / "state")


def test_only_in_tree_replacements_become_versions() -> None:
    go_mod = {
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "example.com/fork"}, "New": {"Path": "example.com/other"}},
        ]
    }
    assert replace_directives(go_mod, "v0.35.4") == ["k8s.io/api => k8s.io/api v0.35.4"]


def test_a_module_without_replacements_needs_none() -> None:
    assert replace_directives({}, "v0.35.4") == []


def test_kubernetes_is_told_its_version() -> None:
    flags = RECIPES["kubernetes"].ldflags
    assert "-X k8s.io/component-base/version.gitVersion=v1.35.4" in flags
    assert RECIPES["kubernetes"].staging_version == "v0.35.4"


def test_a_binary_is_missing_until_its_file_is_there(paths: Paths) -> None:
    binaries = Binaries(paths)
    assert [binary for _, binary in binaries.missing(["etcd"])] == ["etcd"]
    with pytest.raises(KubeToolError, match="etcd is not built; run: python3"):
        binaries.path("etcd")
    target = RECIPES["etcd"].folder(paths) / "etcd"
    target.parent.mkdir(parents=True)
    target.touch()
    assert binaries.missing(["etcd"]) == []
    assert binaries.path("etcd") == target


def test_one_binary_of_a_recipe_can_be_asked_for(paths: Paths) -> None:
    missing = Binaries(paths).missing(["kubernetes"], only={"kubectl"})
    assert [binary for _, binary in missing] == ["kubectl"]


def test_another_main_package_is_another_folder(paths: Paths) -> None:
    def folder(source: str) -> Path:
        return Recipe("dns", "m", "v1", {"dns": "."}, main_source=source).folder(paths)

    assert folder("package main") != folder("package main // changed")


def test_an_unknown_recipe_is_named(paths: Paths) -> None:
    with pytest.raises(KubeToolError, match="no recipe named 'etdc'"):
        build(paths, ["etdc"])
